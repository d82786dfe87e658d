"""Nearest neighbours in feature space: whom a model takes a record for.

What forgetting does to them shows on a few images what the audit says of all: a forgotten image should
have the neighbours that it would have, had the model not been trained on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from unlearning.audit.inspection_results import Neighbourhood, Sample
from unlearning.data.records import Records
from unlearning.learning.features import features
from unlearning.learning.models import Model

NEAREST = 5
"""Neighbours of a record that are looked at."""


@dataclass(frozen=True)
class Nearest:
    """Neighbours of N records among G others, the nearest first."""

    rows: Tensor
    """(N, k) int64, of the gallery."""
    cosines: Tensor
    """(N, k), of the features."""


def nearest(model: Model, records: Records, gallery: Records, count: int = NEAREST) -> Nearest:
    """The `count` nearest of a gallery, all of it where it is smaller, by the cosine of features."""
    there = F.normalize(features(model, gallery.images), dim=1)
    here = F.normalize(features(model, records.images), dim=1)
    cosines, rows = (here @ there.T).topk(min(count, len(gallery)), dim=1)
    return Nearest(rows, cosines)


def neighbourhoods(
    models: Mapping[str, Model], groups: Mapping[str, Records], gallery: Records
) -> dict[str, dict[str, Neighbourhood]]:
    """What becomes of the neighbourhoods of every group, by model and group.

    Args:
        models: by name; the first is the one that the others are compared with.
        groups: records by what they are called, none of them in the gallery.
        gallery: where neighbours are looked for.
    """
    first: dict[str, Tensor] = {}
    found: dict[str, dict[str, Neighbourhood]] = {}
    for name, model in models.items():
        found[name] = {}
        for group, records in groups.items():
            near = nearest(model, records, gallery)
            before = first.setdefault(group, near.rows)
            found[name][group] = Neighbourhood(
                cosine=Sample.rounded(near.cosines[:, 0].double().tolist()),
                same_class=_mean(gallery.labels[near.rows] == records.labels[:, None]),
                kept=_mean((near.rows[:, :, None] == before[:, None, :]).any(dim=2)),
            )
    return found


def _mean(hits: Tensor) -> float:
    return round(float(hits.double().mean()), 5)
