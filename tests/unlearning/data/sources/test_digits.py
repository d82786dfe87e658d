from __future__ import annotations

from pathlib import Path

import torch
from sklearn.datasets import load_digits

from unlearning.data.sources.digits import digits


def test_all_bundled_digits_with_the_full_range_of_grey(tmp_path: Path) -> None:
    data = digits(tmp_path)
    assert data.records.images.shape == (1797, 1, 8, 8)
    assert data.class_names == tuple("0123456789")
    assert data.licence == "CC BY 4.0"
    expected = torch.tensor([[round(value * 255 / 16) for value in row] for row in load_digits().images[5].tolist()])
    assert torch.equal(data.records.images[5, 0].long(), expected)
    assert data.records.images.max() == 255
    assert data.records.labels.bincount().min() > 100
