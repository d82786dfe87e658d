"""Gradient ascent: climb the forget set's loss while descending the retain set's.

    L(θ) = mean over retain of ℓ(x; θ)  −  λ · mean over forget of ℓ(x; θ)

NegGrad+ of Kurmanji et al. 2023 (SCRUB, 2302.09880, section 4). The ascent has no optimum: a small λ
and a clipped step hold it. Plain ascent without the retain term is in the reference implementation of SalUn,
OPTML-Group/Unlearn-Saliency@a6e89fd/Classification/unlearn/GA.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.methods.objective import UnlearningConfig, draw_batch, minimise


class GradientAscentConfig(UnlearningConfig):
    """Settings of gradient ascent; nothing beside what all methods have."""


def gradient_ascent(
    model: Model, paradigm: Paradigm, *, retain: Records, forget: Records, config: GradientAscentConfig, seed: int
) -> Model:
    """Make the forget set's loss larger, with no idea of how large it should be."""

    def ascent(draw: torch.Generator) -> Tensor:
        forgotten = draw_batch(forget, config.forget_batch, draw)
        views = paradigm.views(forgotten.images, draw)
        return -paradigm.per_sample_loss(model, views, forgotten.labels).mean()

    return minimise(model, paradigm, retain, ascent, config, seed=seed, purpose="gradient_ascent")
