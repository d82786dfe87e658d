"""Which person a record belongs to: a CSV file beside the data, with the columns `record_id,subject` or `file,subject`.

One row for each pair: a record may belong to several persons, and a person has many records. Messages name rows and
never what stands in them: file names and subject ids tell about people.
"""

from __future__ import annotations

import csv
from pathlib import Path

from unlearning.core.errors import UserError
from unlearning.data.records import other_id, record_ids
from unlearning.data.sources.base import SourceData

LONGEST = 200
"""Characters of a subject id."""


def read_subjects(path: Path, data: SourceData) -> dict[str, tuple[str, ...]]:
    """Persons by record id, over everything the source holds: two files with the same pixels are one record, which
    belongs to whoever either belongs to.

    Args:
        path: of the CSV file, in UTF-8, with a header. A file is named by its path below the data folder, with `/`.

    Raises:
        UserError: missing, not such a file, or a row whose record the source does not hold; the message names the row.
    """
    rows, key = _rows(path)
    ids = record_ids(data.records.images)
    known = dict(zip(_files(path, data) if key == "file" else ids, ids, strict=True))
    if key == "record_id":  # or by the other id that a grey picture may have
        others = ((other_id(image), identity) for image, identity in zip(data.records.images.numpy(), ids, strict=True))
        known |= {other: identity for other, identity in others if other is not None}
    found: dict[str, set[str]] = {}
    for number, (name, subject) in rows.items():
        if name not in known:
            raise UserError(f"subjects {path}, row {number}: the data holds no such {key}: correct or remove the row")
        if not subject or len(subject) > LONGEST or not subject.isprintable():
            raise UserError(
                f"subjects {path}, row {number}: a subject is 1 to {LONGEST} printable characters: correct the row"
            )
        found.setdefault(known[name], set()).add(subject)
    return {identity: tuple(sorted(subjects)) for identity, subjects in found.items()}


def _files(path: Path, data: SourceData) -> tuple[str, ...]:
    if data.files is None:
        raise UserError(f"subjects {path}: records of {data.source} are no files: give the columns record_id,subject")
    return data.files


def _rows(path: Path) -> tuple[dict[int, tuple[str, str]], str]:
    """Record and subject by the line of the file, and which column names the record."""
    try:
        # utf-8-sig: spreadsheets write a mark before the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.reader(handle, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            if sorted(header) not in (["record_id", "subject"], ["file", "subject"]):
                raise UserError(f"subjects {path}: the header must be record_id,subject or file,subject")
            person = header.index("subject")
            rows = {}
            for cells in reader:
                if cells and len(cells) != 2:
                    raise UserError(f"subjects {path}, row {reader.line_num}: it needs two columns: correct the row")
                if cells:
                    rows[reader.line_num] = (cells[1 - person].strip(), cells[person].strip())
    except UnicodeDecodeError:
        raise UserError(f"subjects {path}: it is not text in UTF-8: save it as UTF-8") from None
    except csv.Error:
        raise UserError(f"subjects {path}, row {reader.line_num}: it is not CSV: correct the row") from None
    except OSError as error:
        raise UserError(f"subjects {path} cannot be read ({error.strerror}): correct data.subjects") from None
    return rows, header[1 - person]
