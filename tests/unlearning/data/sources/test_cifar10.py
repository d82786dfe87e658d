from __future__ import annotations

import importlib
import io
import tarfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from unlearning.core.errors import UserError
from unlearning.data.sources.base import md5_file

# The package's attribute of this name is the function.
cifar = importlib.import_module("unlearning.data.sources.cifar10")

PER_BATCH = 4
IMAGES = np.random.default_rng(0).integers(0, 256, (6, PER_BATCH, 3, 32, 32), dtype=np.uint8)
LABELS = np.arange(6 * PER_BATCH, dtype=np.uint8).reshape(6, PER_BATCH) % 10


def batch(number: int) -> bytes:
    """Written record by record from the published description, not by the product's own layout."""
    return b"".join(
        bytes((label,)) + red.tobytes() + green.tobytes() + blue.tobytes()
        for label, (red, green, blue) in zip(LABELS[number], IMAGES[number], strict=True)
    )


def leave(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, name in enumerate(cifar.BATCHES):
        (folder / name).write_bytes(batch(number))
    return folder


def archive(path: Path, names: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return md5_file(path)


def members() -> dict[str, bytes]:
    return {f"cifar-10-batches-bin/{name}": batch(number) for number, name in enumerate(cifar.BATCHES)}


def test_batches_are_read_in_order(tmp_path: Path) -> None:
    records = cifar.read_batches(leave(tmp_path / "b"), PER_BATCH)
    np.testing.assert_array_equal(records.images.numpy(), IMAGES.reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(records.labels.numpy(), LABELS.reshape(-1))


def test_a_batch_of_another_size(tmp_path: Path) -> None:
    batches = leave(tmp_path / "b")
    with pytest.raises(UserError, match=r"data_batch_1\.bin has 12292 bytes where 30730000 were published"):
        cifar.read_batches(batches, 10_000)
    (batches / "test_batch.bin").unlink()
    with pytest.raises(UserError, match=r"test_batch\.bin cannot be read"):
        cifar.read_batches(batches, PER_BATCH)


def test_a_label_outside_the_classes(tmp_path: Path) -> None:
    batches = leave(tmp_path / "b")
    (batches / "data_batch_3.bin").write_bytes(b"\x0a" + batch(2)[1:])
    with pytest.raises(UserError, match=r"data_batch_3\.bin holds a label outside"):
        cifar.read_batches(batches, PER_BATCH)


def test_an_archive_in_the_folder_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = archive(tmp_path / cifar.ARCHIVE, members() | {"cifar-10-batches-bin/readme.html": b"x"})
    monkeypatch.setattr(cifar, "ARCHIVE_MD5", digest)
    monkeypatch.setattr(cifar, "RECORDS_PER_BATCH", PER_BATCH)
    data = cifar.cifar10(tmp_path)
    assert len(data.records) == 6 * PER_BATCH
    assert data.licence == "unspecified by its authors; research use"
    (tmp_path / cifar.ARCHIVE).unlink()
    assert cifar.cifar10(tmp_path).records.images.equal(data.records.images)
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-batches-bin"]


def test_an_archive_that_is_not_the_published_one(tmp_path: Path) -> None:
    archive(tmp_path / cifar.ARCHIVE, members())
    with pytest.raises(UserError, match="is not the published CIFAR-10 archive"):
        cifar.cifar10(tmp_path)


def test_an_archive_that_leaves_its_folder_writes_nothing(tmp_path: Path) -> None:
    digest = archive(tmp_path / "a.tar.gz", {"../../escaped": b"x"} | members())
    with pytest.raises(UserError, match="cannot be unpacked"):
        cifar.extract(tmp_path / "a.tar.gz", tmp_path / "data/b", digest)
    assert not list(tmp_path.rglob("escaped"))
    assert list((tmp_path / "data").iterdir()) == []


def test_an_archive_that_lacks_a_batch(tmp_path: Path) -> None:
    names = members()
    del names["cifar-10-batches-bin/test_batch.bin"]
    digest = archive(tmp_path / "a.tar.gz", names)
    with pytest.raises(UserError, match=r"lacks cifar-10-batches-bin/test_batch\.bin"):
        cifar.extract(tmp_path / "a.tar.gz", tmp_path / "b", digest)
    assert not (tmp_path / "b").exists()


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"<html>")
    with pytest.raises(UserError, match="cannot be unpacked"):
        cifar.extract(tmp_path / "a.tar.gz", tmp_path / "b", md5_file(tmp_path / "a.tar.gz"))


def test_a_download_is_checked_unpacked_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = archive(tmp_path / "published", members())
    asked: list[float] = []

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        asked.append(timeout)
        return io.BytesIO((tmp_path / "published").read_bytes())

    monkeypatch.setattr(cifar.urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(cifar, "ARCHIVE_MD5", digest)
    monkeypatch.setattr(cifar, "RECORDS_PER_BATCH", PER_BATCH)
    assert len(cifar.cifar10(tmp_path / "data").records) == 6 * PER_BATCH
    assert asked == [cifar.NETWORK_TIMEOUT]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cifar-10-batches-bin"]


def test_no_internet_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(url: str, timeout: float) -> io.BytesIO:
        raise URLError("name not known")

    monkeypatch.setattr(cifar.urllib.request, "urlopen", urlopen)
    with pytest.raises(UserError, match=r"CIFAR-10 is not in .* put cifar-10-binary\.tar\.gz into"):
        cifar.cifar10(tmp_path / "data")
