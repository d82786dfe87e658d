"""Alignment calibration (Wang et al. 2024, 2406.03603), for contrastive paradigms.

    forgetting(θ) = mean over forget of [ ℓ(first view, another record's view; θ)  +  β · cos(z, z⁺) ]

The first part is the paper's negative alignment with its uniformity (α = γ = λ here): a forgotten
record is aligned with others instead of with itself. The second is its positive calibration: the
outputs z, z⁺ of the record's own two views are drawn apart. Reference:
EhanW/Alignment-Calibration@8b95a75/algs.py#L90-L111. It differs from ours in that its partners come
from the whole training set and its β is scaled by the forget set's share of a batch.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unlearning.core.errors import UserError
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.methods.objective import UnlearningConfig, draw_batch, minimise
from unlearning.methods.random_label import mistaught_loss


class AlignmentCalibrationConfig(UnlearningConfig):
    """Settings of alignment calibration."""

    positive: float = Field(1.0, ge=0, description="β: weight of drawing a record's own views apart.")


def alignment_calibration(
    model: Model,
    paradigm: Paradigm,
    *,
    retain: Records,
    forget: Records,
    config: AlignmentCalibrationConfig,
    seed: int,
) -> Model:
    """Align forgotten records with others, and no longer with themselves.

    Raises:
        UserError: the paradigm has no two views to align.
    """
    if paradigm.name == "supervised":
        raise UserError("alignment_calibration is for contrastive paradigms: choose random_label for supervised")

    def misaligned(draw: torch.Generator) -> Tensor:
        forgotten = draw_batch(forget, config.forget_batch, draw)
        views = paradigm.views(forgotten.images, draw)
        first, second = model(views.flatten(0, 1)).chunk(2)
        own = F.cosine_similarity(first, second, dim=1)
        return (mistaught_loss(model, paradigm, forgotten, views, draw) + config.positive * own).mean()

    return minimise(model, paradigm, retain, misaligned, config, seed=seed, purpose="alignment_calibration")
