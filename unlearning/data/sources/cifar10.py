"""CIFAR-10, in the binary version that is downloaded, or in the Python version if that is what lies there."""

from __future__ import annotations

import shutil
import tarfile
import urllib.request
import zlib
from pathlib import Path

import numpy as np
import torch

from unlearning.core.errors import UserError
from unlearning.core.files import new_folder
from unlearning.data.records import Records
from unlearning.data.sources import cifar10_python
from unlearning.data.sources.base import NETWORK_TIMEOUT, SourceData, md5_file, one_line, scratch_inside

SOURCE = "CIFAR-10 (Krizhevsky, 2009), train then test"
LICENCE = "unspecified by its authors; research use"
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
FOLDER = "cifar-10-batches-bin"
BATCHES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
RECORDS_PER_BATCH = 10_000

IMAGE_SHAPE = (3, 32, 32)
RECORD_BYTES = 1 + 3 * 32 * 32
"""One byte of label, then the red, the green and the blue plane."""


def cifar10(folder: Path) -> SourceData:
    """The 50,000 training images followed by the 10,000 test images, 32 × 32 RGB.

    Whichever version lies in the folder is read, the binary one first: it is quicker. Without
    either, the binary version is unpacked from its archive or downloaded.

    Raises:
        UserError: a file is not what was published, or there is none and it cannot be downloaded.
    """
    batches, python = folder / FOLDER, folder / cifar10_python.FOLDER
    if not all((batches / name).is_file() for name in BATCHES):
        if python.is_dir():
            return SourceData(read_python_batches(python, RECORDS_PER_BATCH), SOURCE, LICENCE, CLASS_NAMES)
        archive = folder / ARCHIVE
        if archive.is_file():
            extract(archive, batches, ARCHIVE_MD5)
        else:
            # The archive is not kept: it would double the 180 MB, and the next run reads the batches.
            with scratch_inside(folder) as scratch:
                download(scratch / ARCHIVE, folder)
                extract(scratch / ARCHIVE, batches, ARCHIVE_MD5)
    return SourceData(read_batches(batches, RECORDS_PER_BATCH), SOURCE, LICENCE, CLASS_NAMES)


def read_python_batches(batches: Path, records_per_batch: int) -> Records:
    """The records of all files of the Python version, in order.

    Raises:
        UserError: a file is missing, not the published one, or not a batch.
    """
    parts = [
        cifar10_python.read_batch(batches / name, digest, records_per_batch, len(CLASS_NAMES))
        for name, digest in cifar10_python.PUBLISHED.items()
    ]
    pixels = torch.from_numpy(np.concatenate([pixels for pixels, _ in parts]))
    labels = torch.from_numpy(np.concatenate([labels for _, labels in parts]))
    return Records(pixels.reshape(-1, *IMAGE_SHAPE), labels.to(torch.int64))


def read_batches(batches: Path, records_per_batch: int) -> Records:
    """The records of all batch files, in order.

    Raises:
        UserError: a file has another size than published, or a label outside the ten classes.
    """
    parts = [_read_batch(batches / name, records_per_batch) for name in BATCHES]
    rows = torch.from_numpy(np.concatenate(parts))
    return Records(rows[:, 1:].reshape(-1, *IMAGE_SHAPE), rows[:, 0].to(torch.int64))


def _read_batch(path: Path, records: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): fetch CIFAR-10's binary version again") from None
    if len(data) != records * RECORD_BYTES:
        raise UserError(
            f"{path} has {len(data)} bytes where {records * RECORD_BYTES} were published: delete "
            f"{path.parent} to have it fetched again"
        )
    rows = np.frombuffer(data, np.uint8).reshape(records, RECORD_BYTES)
    if int(rows[:, 0].max()) >= len(CLASS_NAMES):
        raise UserError(f"{path} holds a label outside 0 to 9: delete {path.parent} to have it fetched again")
    return rows


def extract(archive: Path, batches: Path, digest: str) -> None:
    """Put the archive's batch files into the folder `batches`, in one step.

    Raises:
        UserError: the archive is not the published one or cannot be unpacked.
    """
    if md5_file(archive) != digest:
        raise UserError(f"{archive} is not the published CIFAR-10 archive (MD5 {digest}): delete it and run again")
    with scratch_inside(batches.parent) as scratch:
        try:
            with tarfile.open(archive, "r:gz") as tar:
                # "data" refuses links, devices and paths that leave the folder.
                tar.extractall(scratch, filter="data")
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise UserError(f"{archive} cannot be unpacked ({one_line(error)}): delete it and run again") from None
        missing = [name for name in BATCHES if not (scratch / FOLDER / name).is_file()]
        if missing:
            raise UserError(f"{archive} lacks {FOLDER}/{missing[0]}: delete it and run again")
        with new_folder(batches) as staging:
            for name in BATCHES:
                (scratch / FOLDER / name).rename(staging / name)


def download(target: Path, folder: Path) -> None:
    """Download the published archive; `folder` is where the message tells people to put it instead.

    Raises:
        UserError: no internet, or the server is down.
    """
    try:
        with urllib.request.urlopen(URL, timeout=NETWORK_TIMEOUT) as response, target.open("wb") as handle:
            shutil.copyfileobj(response, handle)
    except OSError as error:
        raise UserError(
            f"CIFAR-10 is not in {folder} and {URL} cannot be downloaded ({one_line(error)}): connect to the "
            f"internet, or put {ARCHIVE} into {folder}"
        ) from None
