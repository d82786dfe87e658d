from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unlearning.core.errors import UserError
from unlearning.data.sources.image_folder import image_folder

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (3, 6, 5), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (3, 6, 5, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_grey_images_by_class(tmp_path: Path) -> None:
    save(tmp_path / "pets/dog/1.png", GREY[2])
    save(tmp_path / "pets/cat/2.PNG", GREY[1])
    save(tmp_path / "pets/cat/1.png", GREY[0])
    (tmp_path / "pets/cat/notes.txt").write_text("ignored")
    (tmp_path / "pets/cat/._1.png").write_text("ignored")
    (tmp_path / "pets/.git").mkdir()
    data = image_folder(tmp_path / "pets")
    np.testing.assert_array_equal(data.records.images.numpy(), GREY[:, None])
    assert data.records.labels.tolist() == [0, 0, 1]
    assert data.class_names == ("cat", "dog")
    assert data.source == "image folder pets"


def test_one_colour_image_makes_all_rgb(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", COLOUR[0])
    save(tmp_path / "a/2.png", GREY[0])
    save(tmp_path / "b/1.jpeg", np.full((6, 5, 3), 128, np.uint8))
    images = image_folder(tmp_path).records.images.numpy()
    np.testing.assert_array_equal(images[0], COLOUR[0].transpose(2, 0, 1))
    np.testing.assert_array_equal(images[1], np.stack([GREY[0]] * 3))
    assert np.abs(images[2].astype(int) - 128).max() <= 1


def test_the_first_image_of_another_size_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", GREY[0])
    save(tmp_path / "a/2.png", GREY[0].T.copy())
    with pytest.raises(UserError, match=r"a/2\.png is 6 × 5 pixels but .*a/1\.png is 5 × 6"):
        image_folder(tmp_path)


def test_pixels_that_would_lose_something_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", np.zeros((6, 5, 4), np.uint8))
    with pytest.raises(UserError, match=r"1\.png has pixels of kind RGBA"):
        image_folder(tmp_path)


def test_damaged_images_are_named(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", RNG.integers(0, 256, (60, 50), dtype=np.uint8))
    whole = (tmp_path / "a/1.png").read_bytes()
    for damaged in (b"", b"not an image", whole[: len(whole) // 2]):
        (tmp_path / "a/1.png").write_bytes(damaged)
        with pytest.raises(UserError, match=r"a/1\.png cannot be read as an image"):
            image_folder(tmp_path)


def test_folders_without_images(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        image_folder(tmp_path / "nowhere")
    with pytest.raises(UserError, match="has no subfolders"):
        image_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no PNG or JPEG file"):
        image_folder(tmp_path)


@pytest.mark.parametrize("where", ["class", "folder"])
def test_a_name_that_is_no_valid_unicode_is_refused(tmp_path: Path, where: str) -> None:
    odd = os.fsdecode(b"caf\xe9")
    folder = tmp_path / odd if where == "folder" else tmp_path
    try:
        save(folder / (odd if where == "class" else "cat") / "1.png", GREY[0])
    except OSError:
        pytest.skip("this file system has no such names")
    with pytest.raises(UserError, match=r"^folder 'caf\\udce9' in .*: its name is not valid Unicode: rename it"):
        image_folder(folder)
