from __future__ import annotations

import gzip
import importlib
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from unlearning.core.errors import UserError
from unlearning.data.sources.base import UnavailableError, md5

# The package's attribute of this name is the function.
fm = importlib.import_module("unlearning.data.sources.fashion_mnist")

TRAIN, TEST = 7, 3
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (TRAIN + TEST, 4, 5), dtype=np.uint8)
LABELS = RNG.integers(0, 10, TRAIN + TEST, dtype=np.uint8)


def idx(array: npt.NDArray[np.uint8]) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


CONTENT = {
    "train-images-idx3-ubyte": idx(PIXELS[:TRAIN]),
    "train-labels-idx1-ubyte": idx(LABELS[:TRAIN]),
    "t10k-images-idx3-ubyte": idx(PIXELS[TRAIN:]),
    "t10k-labels-idx1-ubyte": idx(LABELS[TRAIN:]),
}


@pytest.fixture(autouse=True)
def small_and_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The small files are the published ones, and nothing outside the test is looked at."""
    monkeypatch.setattr(fm, "MD5_OF", {name: md5(data) for name, data in CONTENT.items()})
    monkeypatch.setattr(fm, "DEBIAN_FOLDER", tmp_path / "not-installed")
    monkeypatch.setattr(fm, "WAYS", ())


def leave(folder: Path, *, compressed: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in CONTENT.items():
        if compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("where", [".", "FashionMNIST/raw"])
def test_files_in_the_folder_are_read_train_then_test(tmp_path: Path, where: str, compressed: bool) -> None:
    leave(tmp_path / "data" / where, compressed=compressed)
    data = fm.fashion_mnist(tmp_path / "data")
    assert data.records.images.shape == (TRAIN + TEST, 1, 4, 5)
    np.testing.assert_array_equal(data.records.images[:, 0].numpy(), PIXELS)
    np.testing.assert_array_equal(data.records.labels.numpy(), LABELS)
    assert data.licence == "MIT"
    assert len(data.class_names) == 10


def test_the_installed_debian_package_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fm, "DEBIAN_FOLDER", leave(tmp_path / "installed", compressed=True))
    assert len(fm.fashion_mnist(tmp_path / "data").records) == TRAIN + TEST


@pytest.mark.parametrize("name", CONTENT)
def test_a_changed_file_is_named_and_not_used(tmp_path: Path, name: str) -> None:
    path = leave(tmp_path) / name
    path.write_bytes(CONTENT[name][:-1] + bytes((CONTENT[name][-1] ^ 1,)))
    with pytest.raises(UserError, match=f"{name} is not the published .* delete it"):
        fm.fashion_mnist(tmp_path)


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    path = leave(tmp_path, compressed=True) / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte\.gz cannot be read"):
        fm.fashion_mnist(tmp_path)


def test_the_first_way_that_works_is_used_and_its_files_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def offline(scratch: Path) -> Path:
        asked.append("offline")
        raise UnavailableError("no internet")

    def damaged(scratch: Path) -> Path:
        asked.append("damaged")
        (leave(scratch / "x") / "t10k-labels-idx1-ubyte").write_bytes(b"<html>")
        return scratch / "x"

    def works(scratch: Path) -> Path:
        asked.append("works")
        return leave(scratch / "usr/share", compressed=True)

    def never(scratch: Path) -> Path:
        raise AssertionError("asked although an earlier way worked")

    ways = (("a", offline), ("b", damaged), ("c", works), ("d", never))
    monkeypatch.setattr(fm, "WAYS", ways)
    first = fm.fashion_mnist(tmp_path / "data")
    assert asked == ["offline", "damaged", "works"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()} == CONTENT

    again = fm.fashion_mnist(tmp_path / "data")
    assert len(asked) == 3
    assert again.records.images.equal(first.records.images)


def test_one_line_says_what_was_tried_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(scratch: Path) -> Path:
        raise UnavailableError("name not\n  known")

    monkeypatch.setattr(fm, "WAYS", (("the mirror", offline), ("the package", lambda scratch: scratch)))
    with pytest.raises(UserError) as caught:
        fm.fashion_mnist(tmp_path / "data")
    assert str(caught.value) == (
        f"Fashion-MNIST is not in {tmp_path}/data and could not be fetched; tried the mirror (name not known); "
        "the package (it did not hold the four IDX files). Connect to the internet, or "
        f"`apt-get install dataset-fashion-mnist`, or put the four IDX files into {tmp_path}/data"
    )
    assert list((tmp_path / "data").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(fm, "WAYS", (("a", lambda scratch: scratch),))
    with pytest.raises(UserError, match=r"cannot write .*file/data"):
        fm.fashion_mnist(tmp_path / "file/data")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\x03\0\0\0\x01",
        CONTENT["train-labels-idx1-ubyte"],
        b"\0\0\x0d" + CONTENT["train-images-idx3-ubyte"][3:],
        CONTENT["train-images-idx3-ubyte"][:-1],
        CONTENT["train-images-idx3-ubyte"] + b"\0",
    ],
)
def test_a_header_that_does_not_describe_the_data(data: bytes) -> None:
    with pytest.raises(UserError, match="train-images-idx3-ubyte"):
        fm.parse_idx("train-images-idx3-ubyte", data)


def test_torchvision_failing_is_quiet_and_leaves_the_timeout_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import socket

    import torchvision

    def download(*_: object, **__: object) -> None:
        assert socket.getdefaulttimeout() == fm.NETWORK_TIMEOUT
        print("a progress bar")
        raise RuntimeError("Error downloading\nTried the mirror")

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", download)
    with pytest.raises(UnavailableError, match="Error downloading Tried the mirror"):
        fm.from_torchvision(tmp_path)
    assert socket.getdefaulttimeout() is None
    assert capfd.readouterr().out == ""


class FakeApt:
    """Stands in for subprocess.run; the first `failures` downloads fail."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.commands: list[str] = []

    def __call__(self, arguments: list[str], *, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
        assert "shell" not in options
        command = next(word for word in arguments if word in ("download", "update", "-x"))
        self.commands.append(command)
        if command == "download":
            if self.failures:
                self.failures -= 1
                return subprocess.CompletedProcess(arguments, 100, "", "W: no lists\nE: Unable to locate package\n")
            (cwd / "dataset-fashion-mnist_1_all.deb").touch()
        if command == "-x":
            assert arguments[2:] == [str(cwd / "dataset-fashion-mnist_1_all.deb"), str(cwd)]
        return subprocess.CompletedProcess(arguments, 0, "", "")


@pytest.mark.parametrize(
    ("user", "failures", "commands", "works"),
    [
        (1000, 0, ["download", "-x"], True),
        (1000, 1, ["download"], False),
        (0, 1, ["download", "update", "download", "-x"], True),
        (0, 2, ["download", "update", "download"], False),
    ],
)
def test_package_lists_are_fetched_once_and_only_by_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, failures: int, commands: list[str], works: bool
) -> None:
    apt = FakeApt(failures)
    monkeypatch.setattr(fm, "DEBIAN_FOLDER", Path("/usr/share/datasets/fashion-mnist"))
    monkeypatch.setattr(fm.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(fm.os, "geteuid", lambda: user)
    monkeypatch.setattr(fm.subprocess, "run", apt)
    if works:
        assert fm.from_debian(tmp_path) == tmp_path / "usr/share/datasets/fashion-mnist"
    else:
        with pytest.raises(UnavailableError, match="apt-get: E: Unable to locate package"):
            fm.from_debian(tmp_path)
    assert apt.commands == commands


def test_a_machine_without_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fm.shutil, "which", lambda name: None)
    with pytest.raises(UnavailableError, match="no apt-get"):
        fm.from_debian(tmp_path)
