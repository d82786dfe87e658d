from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.rows import Row

ATTACKS = ("view_similarity", "combined_forget")


def _row(**changes: Any) -> Row:
    auc = changes.pop("auc", 0.5)
    attacks = {
        name: {
            "auc": auc - 0.01 * place,
            "tpr_at_1_fpr": 0.02,
            "accuracy": 0.5,
            "gap": changes.pop(f"gap_{place}", 0.0),
        }
        for place, name in enumerate(ATTACKS)
    }
    document = {
        "sweep": "main", "paradigm": "simclr", "recipe": "digits-simclr", "seed": 0, "epochs_factor": 1.0,
        "kind": "random", "fraction": 0.2, "forgotten": 60, "method": "retrain", "attacks": attacks,
        "retained_auc": 0.7, "accuracies": {"knn": 0.8, "linear_probe": 0.82, "forget_knn": 0.9}, "seconds": 10.0,
        "ratio": 1.0, "settings": "s", "code": "c", "commit": "0" * 40, "machine": "a machine",
    }  # fmt: skip
    return Row.model_validate(document | changes)


@pytest.fixture
def make_row() -> Callable[..., Row]:
    """A row of the retrained model; `auc` sets the strongest attack, everything else by its field."""
    return _row
