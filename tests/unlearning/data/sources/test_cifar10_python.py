"""The files are written here instruction by instruction, as Python 2 wrote the published ones.

`pickle` is the reference: what it makes of a harmless file, the reader must make of it too.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import pickle
import pickletools
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearning.core.errors import UserError
from unlearning.data.sources.cifar10_python import FOLDER, PUBLISHED, Array, NotABatchError, interpret, read_batch

cifar = importlib.import_module("unlearning.data.sources.cifar10")

PER_BATCH = 4
IMAGES = np.random.default_rng(0).integers(0, 256, (6, PER_BATCH, 3072), dtype=np.uint8)
LABELS = np.arange(6 * PER_BATCH).reshape(6, PER_BATCH) % 10


def text(value: bytes) -> bytes:
    return b"U" + bytes((len(value),)) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value


def number(value: int) -> bytes:
    return b"K" + bytes((value,)) if value < 256 else b"M" + struct.pack("<H", value)


def array(pixels: np.ndarray[Any, np.dtype[np.uint8]], content: bytes = b"", by_column: bool = False) -> bytes:
    """An array as numpy wrote it under Python 2."""
    rows, columns = pixels.shape
    made = b"cnumpy.core.multiarray\n_reconstruct\nq\x06cnumpy\nndarray\nq\x07K\x00\x85U\x01b\x87Rq\x08"
    kind = b"cnumpy\ndtype\nq\tU\x02u1K\x00K\x01\x87Rq\n(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    content = content or pixels.tobytes(order="F" if by_column else "C")
    order = b"\x88" if by_column else b"\x89"
    return made + b"(K\x01" + number(rows) + number(columns) + b"\x86" + kind + order + text(content) + b"tb"


def members(number_of_batch: int = 0, **changes: bytes) -> dict[bytes, bytes]:
    labels = b"]q\x05(" + b"".join(number(int(label)) for label in LABELS[number_of_batch]) + b"e"
    names = b"]r\x0b\x01\x00\x00(" + b"".join(text(b"cat_%d.png" % row) for row in range(PER_BATCH)) + b"e"
    standard = {
        b"batch_label": text(b"training batch 1 of 5"),
        b"labels": labels,
        b"data": array(IMAGES[number_of_batch]),
        b"filenames": names,
    }
    return standard | {key.encode(): value for key, value in changes.items()}


def written(parts: Mapping[bytes, bytes]) -> bytes:
    return b"\x80\x02}q\x01(" + b"".join(text(key) + value for key, value in parts.items()) + b"u."


def unpickled(data: bytes) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy has moved the module since
        return pickle.loads(data, encoding="bytes")  # noqa: S301 - written in this file


def digest(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def leave(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """All six files in their folder, and their MD5 for the published one."""
    folder.mkdir(parents=True)
    files = {name: written(members(row)) for row, name in enumerate(PUBLISHED)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
        patch.setitem(PUBLISHED, name, digest(data))
    patch.setattr(cifar, "RECORDS_PER_BATCH", PER_BATCH)
    return folder


def refusal(data: bytes, folder: Path) -> str:
    path = folder / "data_batch_1"
    path.write_bytes(data)
    with pytest.raises(UserError) as refused:
        read_batch(path, digest(data), PER_BATCH, 10)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_writer_writes_what_pickle_reads() -> None:
    """Otherwise everything below would be about a format of its own."""
    batch = unpickled(written(members()))
    np.testing.assert_array_equal(batch[b"data"], IMAGES[0])
    assert batch[b"labels"] == LABELS[0].tolist()
    assert list(batch) == [b"batch_label", b"labels", b"data", b"filenames"]


@pytest.mark.parametrize("by_column", [False, True])
def test_the_reader_reads_what_pickle_reads(by_column: bool) -> None:
    data = written(members(data=array(IMAGES[0], by_column=by_column)))
    expected, found = unpickled(data), interpret(data)
    pixels = found.pop(b"data")
    assert type(pixels) is Array
    assert pixels.values is not None
    np.testing.assert_array_equal(pixels.values, expected.pop(b"data"))
    assert found == expected


def test_lists_of_one_and_of_many_and_what_is_remembered() -> None:
    """Python 2 writes the last of 1001 items by itself, and a text that it wrote before by its number."""
    data = b"\x80\x02}q\x01U\x01aq\x02]q\x03(h\x02K\x01M\x10'J\xfe\xff\xff\xffej\x02\x00\x00\x00as."
    assert interpret(data) == unpickled(data) == {b"a": [b"a", 1, 10_000, -2, b"a"]}


def test_the_files_of_the_folder_are_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path / FOLDER, monkeypatch)
    data = cifar.cifar10(tmp_path)
    np.testing.assert_array_equal(data.records.images.numpy(), IMAGES.reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(data.records.labels.numpy(), LABELS.reshape(-1))
    assert (len(data.class_names), data.licence) == (10, "unspecified by its authors; research use")


def test_both_versions_give_the_same_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path / "python" / FOLDER, monkeypatch)
    binary = tmp_path / "binary" / cifar.FOLDER
    binary.mkdir(parents=True)
    for name, labels, images in zip(cifar.BATCHES, LABELS, IMAGES, strict=True):
        rows = (bytes((int(label),)) + image.tobytes() for label, image in zip(labels, images, strict=True))
        (binary / name).write_bytes(b"".join(rows))
    ours, theirs = cifar.cifar10(tmp_path / "python"), cifar.cifar10(tmp_path / "binary")
    assert ours.records.images.equal(theirs.records.images)
    assert ours.records.labels.equal(theirs.records.labels)
    assert ours.source == theirs.source


def test_the_binary_version_is_read_where_both_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path / FOLDER, monkeypatch)
    (tmp_path / cifar.FOLDER).mkdir()
    for name in cifar.BATCHES:
        (tmp_path / cifar.FOLDER / name).write_bytes(bytes(PER_BATCH * 3073))
    assert cifar.cifar10(tmp_path).records.images.sum() == 0


def test_a_file_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (leave(tmp_path / FOLDER, monkeypatch) / "data_batch_3").unlink()
    with pytest.raises(UserError, match=r"data_batch_3 cannot be read \(No such file.*unpack cifar-10-python"):
        cifar.cifar10(tmp_path)


def test_a_file_that_is_not_the_published_one_is_not_interpreted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = leave(tmp_path / FOLDER, monkeypatch) / "data_batch_2"
    path.write_bytes(written(members(3)))
    with pytest.raises(UserError, match=r"data_batch_2 is not the published file \(MD5 [0-9a-f]{32}\): unpack"):
        cifar.cifar10(tmp_path)


def test_the_published_digests_are_torchvisions() -> None:
    from torchvision.datasets import CIFAR10

    assert list(PUBLISHED.items()) == [tuple(entry) for entry in CIFAR10.train_list + CIFAR10.test_list]
    assert CIFAR10.base_folder == FOLDER


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_a_command_runs_nothing(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "made"
    evil = pickle.dumps({b"data": Touch(path), b"labels": [1] * PER_BATCH}, protocol)
    assert "and nothing in it was run: unpack" in refusal(evil, tmp_path)
    assert not path.exists()
    unpickled(evil)  # the file would have done it
    assert path.exists()


def evil(inside: bytes) -> bytes:
    return written(members(data=inside))


MALICIOUS = {
    "a call": (evil(b"cos\nsystem\n(U\x04true\x85tR"), "it calls for 'os system'"),
    "a call inside numpy": (evil(b"cnumpy.core.multiarray\nscalar\n"), "it calls for 'numpy.core.multiarray scalar'"),
    "a class": (evil(b"(ios\nsystem\n"), "it has the instruction INST"),
    "an object": (evil(b"(cnumpy\nndarray\no"), "it has the instruction OBJ"),
    "a new object": (evil(b"cnumpy\nndarray\n)\x81"), "it has the instruction EMPTY_TUPLE"),
    "an extension": (evil(b"\x82\x01"), "it has the instruction EXT1"),
    "a persistent object": (evil(b"U\x01aQ"), "it has the instruction BINPERSID"),
    "a name from the stack": (evil(b"\x8c\x02os\x8c\x06system\x93"), "it has the instruction SHORT_BINUNICODE"),
    "numpy's constructor with other arguments": (
        evil(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x09\x85U\x01b\x87R"),
        "it calls something other",
    ),
    "a call of data": (evil(b"U\x01aU\x01b\x85R"), "it calls something other than numpy's array of bytes"),
    "objects for bytes": (evil(b"cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R"), "it calls something other"),
    "a state for a dict": (evil(b"}K\x01\x85b"), "it sets a state that no array of bytes has"),
    "a state for nothing": (b"K\x01\x85b.", "it sets the state of nothing"),
    "an array built twice": (evil(array(IMAGES[0]) + b"K\x01\x85b"), "it sets a state that no array"),
    "an array larger than its bytes": (evil(array(IMAGES[0], content=b"abc")), "its array is not a table of bytes"),
    "a list that is none": (b"K\x01K\x02a.", "it changes something that is no list"),
    "a dict that is none": (b"]K\x01K\x02s.", "it changes something that is no dict"),
    "a key that is no text": (b"}]K\x02s.", "its keys are not text"),
    "a key without value": (b"}(U\x01au.", "its keys are not text"),
    "a mark that is missing": (b"]K\x01e.", "a mark is missing"),
    "an empty stack": (b"\x86.", "it takes more from the stack than there is"),
    "a stack that ends at a mark": (b"K\x01(\x85.", "it takes more from the stack than there is"),
    "a memory that is empty": (b"h\x00.", "it recalls what it never remembered"),
    "nothing to remember": (b"q\x00.", "it remembers nothing"),
    "two values": (b"K\x01K\x02.", "it does not end with one value"),
    "no end": (b"K\x01", "it is cut off or no pickle"),
    "nothing": (b"", "it is cut off or no pickle"),
    "no pickle": (b"<html>", "it is cut off or no pickle"),
    "a number": (b"K\x01.", "it does not hold 4 images"),
    "no labels": (written({b"data": array(IMAGES[0])}), "it does not hold 4 images"),
    "an array that was never filled": (
        evil(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"),
        "it does not hold 4 images",
    ),
    "fewer labels than images": (written(members(labels=b"](K\x01K\x02e")), "it does not hold 4 images"),
    "a label outside the classes": (written(members(labels=b"](K\x01K\x0aK\x01K\x01e")), "a label outside 0 to 9"),
    "a negative label": (written(members(labels=b"](J\xff\xff\xff\xffK\x01K\x01K\x01e")), "a label outside 0 to 9"),
    "a label that is no number": (written(members(labels=b"](\x88K\x01K\x01K\x01e")), "a label outside 0 to 9"),
    "other images": (evil(array(IMAGES[0][:, :3000])), "it does not hold 4 images of 32 × 32 pixels"),
}  # fmt: skip


@pytest.mark.parametrize("name", MALICIOUS)
def test_whatever_is_not_a_batch_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    data, reason = MALICIOUS[name]
    assert reason in refusal(data, tmp_path)


def test_every_prefix_is_refused(tmp_path: Path) -> None:
    data = written(members(data=array(IMAGES[0][:, :2])))
    for length in range(len(data)):
        with pytest.raises(NotABatchError):
            interpret(data[:length])


CODES = [code.code.encode("latin-1") for code in pickletools.opcodes]


@given(st.lists(st.sampled_from(CODES) | st.binary(max_size=6) | st.sampled_from([text(b"a"), b"K\x01", b"q\x00"])))
def test_no_bytes_give_anything_but_plain_values_or_a_refusal(pieces: list[bytes]) -> None:
    try:
        found = interpret(b"".join(pieces) + b".")
    except NotABatchError:
        return
    assert type(found).__module__ in ("builtins", "unlearning.data.sources.cifar10_python")
