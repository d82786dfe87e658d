"""Handwritten digits, bundled with scikit-learn: real data that needs neither network nor disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from unlearning.data.records import Records
from unlearning.data.sources.base import SourceData

SOURCE = "Optical Recognition of Handwritten Digits (UCI, the test set as bundled with scikit-learn)"
LICENCE = "CC BY 4.0"
HIGHEST = 16


def digits(folder: Path) -> SourceData:
    """1,797 grey images of 8 × 8 pixels, ten classes; `folder` is not used."""
    del folder
    # Imported here: scikit-learn's data sets take a second that the other sources need not pay.
    from sklearn.datasets import load_digits

    bundled = load_digits()
    pixels = np.rint(bundled.images * (255 / HIGHEST)).astype(np.uint8)
    records = Records(
        torch.from_numpy(pixels).unsqueeze(1),
        torch.from_numpy(bundled.target.astype(np.int64)),
    )
    return SourceData(records, SOURCE, LICENCE, tuple(str(name) for name in bundled.target_names))
