"""Bring your own images: one subfolder per class, PNG or JPEG files of one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from unlearning.core.errors import UserError
from unlearning.core.files import is_unicode
from unlearning.data.records import Records, record_ids
from unlearning.data.sources.base import SourceData, one_line

LICENCE = "unspecified; supplied by the user"
SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
GREY_MODES = frozenset({"1", "L"})
COLOUR_MODES = frozenset({"P", "RGB"})


def image_folder(folder: Path) -> SourceData:
    """Every PNG and JPEG file of every subfolder; the subfolders' sorted names are the classes.

    Grey when every image is grey, RGB as soon as one is not. Other files, hidden files and nested
    folders are ignored.

    Raises:
        UserError: no classes, an empty class, a name of one that is no valid Unicode, an unreadable file, or one of
            another size.
    """
    if not folder.is_dir():
        raise UserError(f"image folder {folder} does not exist: give a folder with one subfolder of images per class")
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise UserError(f"image folder {folder} has no subfolders: put the images of each class into their own")
    _check_names(folder, classes)
    paths: list[Path] = []
    labels: list[int] = []
    for label, entry in enumerate(classes):
        images = _images_in(entry)
        paths += images
        labels += [label] * len(images)
    records = Records(torch.from_numpy(_read(paths)), torch.tensor(labels, dtype=torch.int64))
    # Only the folder's name: manifests travel, and a full path would tell about this machine.
    name = f"image folder {folder.resolve().name}"
    files = tuple(path.relative_to(folder).as_posix() for path in paths)
    return SourceData(records, name, LICENCE, tuple(entry.name for entry in classes), files)


def _check_names(folder: Path, classes: list[Path]) -> None:
    """The snapshot names the folder and the classes: refuse what nobody could read back."""
    for path in (folder.resolve(), *classes):
        if not is_unicode(path.name):
            raise UserError(
                f"folder {path.name!a} in {str(path.parent)!a}: its name is not valid Unicode: "
                "rename it, with letters in UTF-8"
            )


def _images_in(folder: Path) -> list[Path]:
    images = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    if not images:
        raise UserError(f"class folder {folder} holds no PNG or JPEG file: add images or remove the folder")
    return images


def _read(paths: list[Path]) -> npt.NDArray[np.uint8]:
    """The (N, C, H, W) array. Headers first: an odd file is found before anything is decoded."""
    size, mode = _header(paths[0])
    grey = mode in GREY_MODES
    for path in paths[1:]:
        other, mode = _header(path)
        if other != size:
            raise UserError(
                f"{path} is {other[0]} × {other[1]} pixels but {paths[0]} is {size[0]} × {size[1]}: "
                "bring all images to one size"
            )
        grey = grey and mode in GREY_MODES
    width, height = size
    pixels = np.empty((len(paths), 1 if grey else 3, height, width), np.uint8)
    for row, path in enumerate(paths):
        pixels[row] = _decode(path, "L" if grey else "RGB")
    return pixels


def _header(path: Path) -> tuple[tuple[int, int], str]:
    try:
        with Image.open(path) as image:
            size, mode = image.size, image.mode
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from None
    if mode not in GREY_MODES | COLOUR_MODES:
        raise UserError(f"{path} has pixels of kind {mode}: save it as 8-bit grey or RGB without transparency")
    return size, mode


def _decode(path: Path, mode: str) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert(mode), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from None
    return pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} cannot be read as an image ({one_line(error)}): replace or remove it")


def picture_id(path: Path) -> str:
    """The id of the record that an image file is, whatever folder it lies in.

    Raises:
        UserError: it cannot be read as such an image.
    """
    return record_ids(torch.from_numpy(_read([path])))[0]
