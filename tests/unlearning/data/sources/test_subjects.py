from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unlearning.core.errors import UserError
from unlearning.data.records import Records, record_ids
from unlearning.data.sources import SourceData, open_source
from unlearning.data.sources.digits import digits
from unlearning.data.sources.image_folder import image_folder
from unlearning.data.sources.subjects import LONGEST, read_subjects

VALUES = {"a/1.png": 10, "a/2.png": 20, "b/again.png": 10, "b/3.png": 30}


def csv_file(path: Path, *rows: str, header: str = "file,subject") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four files of three different images."""
    for name, value in VALUES.items():
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((3, 3), value, np.uint8)).save(path)
    return tmp_path / "images"


@pytest.fixture
def data(folder: Path) -> SourceData:
    return image_folder(folder)


def test_files_are_named_by_their_path_below_the_folder(data: SourceData) -> None:
    assert data.files is not None
    assert data.files == ("a/1.png", "a/2.png", "b/3.png", "b/again.png")
    assert [VALUES[name] for name in data.files] == data.records.images[:, 0, 0, 0].tolist()


def test_a_record_belongs_to_everybody_who_uploaded_it_and_to_everybody_on_it(folder: Path, data: SourceData) -> None:
    csv_file(folder / "subjects.csv", "a/1.png,ann", "b/again.png,bob", "b/3.png,bob", "b/3.png,cy", "b/3.png,cy")
    first, second, third = dict.fromkeys(record_ids(data.records.images))
    assert read_subjects(folder / "subjects.csv", data) == {first: ("ann", "bob"), third: ("bob", "cy")}
    manifest = open_source("image_folder", folder, limit=None, seed=0, subjects="subjects.csv").manifest
    assert manifest.subjects == {first: ("ann", "bob"), third: ("bob", "cy")}
    assert second not in manifest.subjects


def test_a_sampled_record_keeps_the_subjects_of_the_copy_that_was_not_drawn(folder: Path) -> None:
    csv_file(folder / "subjects.csv", "a/1.png,ann", "b/again.png,bob")
    found = set()
    for seed in range(20):
        manifest = open_source("image_folder", folder, limit=1, seed=seed, subjects="subjects.csv").manifest
        found.add(tuple(manifest.subjects.values()))
    assert found == {(), (("ann", "bob"),)}


@pytest.mark.parametrize("header", ["record_id,subject", "subject,record_id", "\ufeffrecord_id , subject"])
def test_records_of_any_source_are_named_by_their_id(tmp_path: Path, header: str) -> None:
    wanted = record_ids(digits(tmp_path).records.images)[7]
    row = f"p 1,{wanted}" if header.startswith("subject") else f'{wanted}, "p 1"'.replace('"', "")
    csv_file(tmp_path / "owners.csv", "", row, header=header)
    whole = open_source("digits", tmp_path, limit=None, seed=0, subjects="owners.csv").manifest
    assert whole.subjects == {wanted: ("p 1",)}
    full = open_source("digits", tmp_path / "elsewhere", limit=None, seed=0, subjects=str(tmp_path / "owners.csv"))
    assert full.manifest == whole


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["a/1.png,ann", "a/9.png,secret"], "row 3: the data holds no such file"),
        (["a/1.png,ann", "", "/a/1.png,secret"], "row 4: the data holds no such file"),
        (["a/1.png,"], "row 2: a subject is 1 to 200 printable characters"),
        ([f"a/1.png,{'s' * (LONGEST + 1)}"], "row 2: a subject is 1 to 200 printable characters"),
        (["a/1.png,sec\x07ret"], "row 2: a subject is 1 to 200 printable characters"),
        (["a/1.png,secret,ann"], "row 2: it needs two columns"),
        (["a/1.png"], "row 2: it needs two columns"),
        (['a/1.png,"sec"ret'], "row 2: it is not CSV"),
    ],
)
def test_a_wrong_row_is_named_and_what_stands_in_it_is_not(
    folder: Path, data: SourceData, rows: list[str], problem: str
) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        read_subjects(csv_file(folder / "subjects.csv", *rows), data)
    message = str(caught.value)
    assert "\n" not in message
    assert "secret" not in message
    assert "9.png" not in message


@pytest.mark.parametrize("header", ["", "file", "subject,name", "file,subject,more", "record_id;subject"])
def test_another_header_is_refused(folder: Path, data: SourceData, header: str) -> None:
    with pytest.raises(UserError, match="the header must be record_id,subject or file,subject"):
        read_subjects(csv_file(folder / "subjects.csv", header=header), data)


def test_unknown_record_ids_are_refused(tmp_path: Path) -> None:
    csv_file(tmp_path / "subjects.csv", f"{'0' * 64},ann", header="record_id,subject")
    with pytest.raises(UserError, match="row 2: the data holds no such record_id"):
        open_source("digits", tmp_path, limit=5, seed=0, subjects="subjects.csv")


def test_a_file_that_cannot_be_read_is_named(folder: Path, data: SourceData) -> None:
    with pytest.raises(UserError, match=r"nowhere.csv cannot be read \(No such file or directory\)"):
        read_subjects(folder / "nowhere.csv", data)
    (folder / "latin.csv").write_bytes("file,subject\na/1.png,Zoë\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin.csv: it is not text in UTF-8"):
        read_subjects(folder / "latin.csv", data)


def test_records_that_are_no_files_cannot_be_named_by_files(tmp_path: Path) -> None:
    records = Records(torch.zeros(1, 1, 2, 2, dtype=torch.uint8), torch.tensor([0]))
    plain = SourceData(records, "numbers", "CC0", ("a",))
    with pytest.raises(UserError, match="records of numbers are no files: give the columns record_id,subject"):
        read_subjects(csv_file(tmp_path / "subjects.csv", "a/1.png,ann"), plain)
