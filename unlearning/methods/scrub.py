"""SCRUB: agree with the original about retained records, disagree with it about forgotten ones, in turn.

    min-steps   mean over retain of ℓ(x; θ)  +  α · mean over retain of d(x; θ)  +  δ · drift(θ)
    max-steps   −λ · mean over forget of d(x; θ)

Kurmanji et al. 2023 (2302.09880); d(x) = KL( teacher ‖ student ) of the answers about x, and the teacher is the
original, frozen. Epochs of max-steps stand among the first epochs, because both at once undo one another; min-steps
alone repair what is left. Reference: meghdadk/SCRUB@4ccce66/scrub.py.

Ours: an answer where there are no classes (see `teaching`). An epoch of max-steps has as many steps as one of
min-steps, where theirs passes over the forget set once, and both count as epochs. Min-steps come first: as long as
student and teacher are the same, d has no slope to ascend. SCRUB+R, which rewinds to the checkpoint whose error on the
forget set fits that on a validation set, is left out: it needs non-members and a checkpoint of every epoch.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor

from unlearning.core.errors import UserError
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.training import fit
from unlearning.methods.objective import UnlearningConfig, draw_batch, relative_drift, steps_per_epoch
from unlearning.methods.teaching import divergence_from


class SCRUBConfig(UnlearningConfig):
    """Settings of SCRUB; λ is the weight of max-steps."""

    active: float = Field(0.5, gt=0, le=1, description="Share of the epochs, the first ones, in which both alternate.")
    agreement: float = Field(1.0, ge=0, description="α: weight of agreeing with the original about retained records.")
    temperature: float = Field(1.0, gt=0, description="Divides class logits, or cosines of views, before the softmax.")


def max_steps(count: int, config: SCRUBConfig) -> Iterator[bool]:
    """For one step after the other, with `count` retained records: is it a max-step?

    Every second epoch of the first ones is of max-steps; neither the very first nor the last.
    """
    epochs = config.optimisation.epochs
    for epoch in range(epochs):
        rising = epoch % 2 == 1 and (epoch == 1 or epoch < config.active * epochs) and epoch + 1 < epochs
        yield from [rising] * steps_per_epoch(count, config.optimisation)


def scrub(
    model: Model, paradigm: Paradigm, *, retain: Records, forget: Records, config: SCRUBConfig, seed: int
) -> Model:
    """Descend the loss and the divergence from the original on the retain set, ascend it on the forget set, in turn.

    Raises:
        UserError: too few epochs to alternate.
    """
    if config.optimisation.epochs < 3:
        raise UserError("scrub has epochs of max-steps between those of min-steps: give it 3 epochs or more")
    teacher, rising = model.clone().eval(), max_steps(len(retain), config)

    def apart(views: Tensor) -> Tensor:
        return divergence_from(teacher, model, paradigm, views, config.temperature)

    def retaining(views: Tensor, labels: Tensor) -> Tensor:
        model.train()
        loss = paradigm.per_sample_loss(model, views, labels).mean()
        model.eval()
        if config.distillation > 0:
            pixels = views.flatten(0, 1)
            with torch.no_grad():
                before = teacher.features(pixels)
            loss = loss + config.distillation * relative_drift(model.features(pixels), before)
        return loss + config.agreement * apart(views)

    def batch_loss(rows: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        batch = retain[rows]
        views = paradigm.views(batch.images, draw)
        if not next(rising):
            return retaining(views, batch.labels), views
        model.eval()
        forgotten = draw_batch(forget, config.forget_batch, draw)
        # Retained views follow a max-step too: what is remembered beside the weights is theirs alone.
        return -config.weight * apart(paradigm.views(forgotten.images, draw)), views

    fit(
        model,
        batch_loss,
        len(retain),
        config.optimisation,
        seed=seed,
        purpose="scrub",
        after_step=paradigm.after_step,
    )
    return model.eval()
