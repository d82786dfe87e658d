from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from unlearning.reporting.figures.gallery import picture


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
