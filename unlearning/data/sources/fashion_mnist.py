"""Fashion-MNIST: 70,000 grey images of clothes, from files, from torchvision's mirror or from Debian."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import subprocess
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from unlearning.core.errors import UserError
from unlearning.core.files import write_bytes
from unlearning.data.records import Records
from unlearning.data.sources.base import NETWORK_TIMEOUT, SourceData, UnavailableError, md5, one_line, scratch_inside

SOURCE = "Fashion-MNIST (Zalando Research), train then test"
LICENCE = "MIT"
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

MD5_OF = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
"""Of the decompressed files, so that it does not matter who compressed them."""

TORCHVISION_FOLDER = Path("FashionMNIST/raw")
DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
COMMAND_SECONDS = 120.0

IDX_UINT8 = 0x08


def fashion_mnist(folder: Path) -> SourceData:
    """The 60,000 training images followed by the 10,000 test images.

    Raises:
        UserError: a file is not the published one, or no way of getting the files works here.
    """
    files = find_files((folder, folder / TORCHVISION_FOLDER, DEBIAN_FOLDER)) or fetch(folder)
    arrays = {name: parse_idx(name, data) for name, data in files.items()}
    images = np.concatenate([arrays["train-images-idx3-ubyte"], arrays["t10k-images-idx3-ubyte"]])
    labels = np.concatenate([arrays["train-labels-idx1-ubyte"], arrays["t10k-labels-idx1-ubyte"]])
    records = Records(torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels.astype(np.int64)))
    return SourceData(records, SOURCE, LICENCE, CLASS_NAMES)


def find_files(folders: Sequence[Path]) -> dict[str, bytes] | None:
    """The decompressed bytes of all four files, or None when any of them is in none of the folders.

    Raises:
        UserError: a file is there but is not the published one.
    """
    paths: dict[str, Path] = {}
    for name in MD5_OF:
        candidates = [folder / spelling for folder in folders for spelling in (name, f"{name}.gz")]
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is None:
            return None
        paths[name] = path
    return {name: read_verified(name, path) for name, path in paths.items()}


def read_verified(name: str, path: Path) -> bytes:
    """The decompressed bytes of the file `name`, found at `path`.

    Raises:
        UserError: unreadable, or not the published content.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({one_line(error)}): delete it to have it fetched again") from None
    if md5(data) != MD5_OF[name]:
        raise UserError(
            f"{path} is not the published Fashion-MNIST file {name} (its MD5 is {md5(data)}, expected "
            f"{MD5_OF[name]}): delete it to have it fetched again, or use another folder"
        )
    return data


def parse_idx(name: str, data: bytes) -> npt.NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes.

    The header is two zero bytes, the type, the number of dimensions, then each side as a
    big-endian 32-bit integer; `idx3` or `idx1` in the file's name is the number of dimensions.

    Raises:
        UserError: the header does not describe what follows it.
    """
    dimensions = 3 if "idx3" in name else 1
    header = 4 + 4 * dimensions
    if len(data) < header or data[:4] != bytes((0, 0, IDX_UINT8, dimensions)):
        raise UserError(f"{name} is not an IDX file of unsigned bytes with {dimensions} dimension(s): fetch it again")
    shape = tuple(int(side) for side in np.frombuffer(data, ">u4", dimensions, offset=4))
    if int(np.prod(shape, dtype=np.uint64)) != len(data) - header:
        raise UserError(f"{name} says it holds {shape} values but has {len(data) - header}: fetch it again")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def fetch(folder: Path) -> dict[str, bytes]:
    """Try each way in turn; what the first one gives is kept, decompressed, in `folder`.

    Raises:
        UserError: no way works here.
    """
    tried: list[str] = []
    for way, obtain in WAYS:
        with scratch_inside(folder) as scratch:
            try:
                files = find_files((obtain(scratch),))
                if files is None:
                    raise UnavailableError("it did not hold the four IDX files")
            except (UnavailableError, UserError) as error:
                tried.append(f"{way} ({one_line(error)})")
                continue
            for name, data in files.items():
                write_bytes(folder / name, data)
            return files
    raise UserError(
        f"Fashion-MNIST is not in {folder} and could not be fetched; tried {'; '.join(tried)}. Connect to the "
        f"internet, or `apt-get install {DEBIAN_PACKAGE}`, or put the four IDX files into {folder}"
    )


def from_torchvision(scratch: Path) -> Path:
    """Download with torchvision into `scratch`; the folder its files are in.

    Raises:
        UnavailableError: no internet, or the mirror is down.
    """
    # Imported here: only this way needs it, and it takes seconds.
    from torchvision.datasets import FashionMNIST

    with _network_timeout(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        try:
            FashionMNIST(str(scratch), download=True)
        except (RuntimeError, OSError) as error:
            raise UnavailableError(one_line(error)) from None
    return scratch / TORCHVISION_FOLDER


def from_debian(scratch: Path) -> Path:
    """Unpack the Debian package into `scratch` without installing it; the folder its files are in.

    Raises:
        UnavailableError: not a Debian-like machine, or its mirror cannot be reached.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise UnavailableError("there is no apt-get here")
    network = ["-o", f"Acquire::http::Timeout={NETWORK_TIMEOUT:.0f}", "-o", "Acquire::Retries=0"]
    download = ["apt-get", "-qq", *network, "download", DEBIAN_PACKAGE]
    scratch.chmod(0o755)  # apt downloads as its own user, who must reach the folder
    try:
        _command(download, scratch)
    except UnavailableError:
        # Fresh containers have no package lists, and only root may fetch them.
        if os.geteuid() != 0:
            raise
        _command(["apt-get", "-qq", *network, "update"], scratch)
        _command(download, scratch)
    package = next(scratch.glob("*.deb"), None)
    if package is None:
        raise UnavailableError("apt-get left no package")
    _command(["dpkg-deb", "-x", str(package), str(scratch)], scratch)
    return scratch / DEBIAN_FOLDER.relative_to("/")


WAYS: tuple[tuple[str, Callable[[Path], Path]], ...] = (
    ("torchvision's download", from_torchvision),
    (f"the Debian package {DEBIAN_PACKAGE}", from_debian),
)


def _command(arguments: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - a fixed argument list, no shell, nothing typed by a user
            arguments, cwd=folder, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{arguments[0]}: {one_line(error)}") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise UnavailableError(f"{arguments[0]}: {lines[-1]}")


@contextmanager
def _network_timeout() -> Iterator[None]:
    """torchvision gives urllib no timeout, so the default that its sockets start with is set meanwhile."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
