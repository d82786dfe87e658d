from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from unlearning.data import snapshots
from unlearning.data.records import Records
from unlearning.reporting.figures.gallery import gallery_rows, picture


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_the_image_pixel_by_pixel_and_is_loaded_from_nowhere(channels: int) -> None:
    image = torch.randint(256, (channels, 5, 7), generator=torch.Generator().manual_seed(3)).to(torch.uint8)
    found = picture(image, "forgotten image, class Bag")
    kind, _, data = found.address.partition(";base64,")
    assert kind == "data:image/png"
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    expected = image[0] if channels == 1 else image.permute(1, 2, 0)
    assert np.array_equal(decoded, expected.numpy())
    assert found.said == "forgotten image, class Bag"


def test_every_forgotten_record_has_a_row_with_its_neighbours_by_model() -> None:
    images = torch.randint(256, (4, 1, 5, 7), generator=torch.Generator().manual_seed(4)).to(torch.uint8)
    names = ("bag", "boot")
    snapshot = snapshots.build(
        Records(images, torch.tensor([0, 1, 1, 0])), source="noise", licence="none", class_names=names
    )
    first, second, third, fourth = snapshot.manifest.record_ids
    near = {"original": [[(third, 0.9), (fourth, 0.5)], [(fourth, 0.7)]], "unlearned": [[], [(third, 0.1)]]}
    rows = gallery_rows(snapshot, (second, first), near)
    assert [row.forgotten for row in rows] == [
        picture(images[1], "forgotten image, class boot"),
        picture(images[0], "forgotten image, class bag"),
    ]
    assert rows[0].neighbours == {
        "original": (
            picture(images[2], "neighbour 1, class boot", 0.9),
            picture(images[3], "neighbour 2, class bag", 0.5),
        ),
        "unlearned": (),
    }
    assert rows[1].neighbours["unlearned"] == (picture(images[2], "neighbour 1, class boot", 0.1),)
