"""Bad teacher: answer as before about retained records, and as a model that learned nothing about forgotten ones.

    forgetting(θ) = mean over forget of KL( incompetent ‖ student )  +  mean over retain of KL( competent ‖ student )

Chundawat et al. 2023 (Can Bad Teaching Induce Forgetting?, 2205.08096). The competent teacher is the original, the
incompetent one has random weights. Reference: vikram2000b/bad-teaching-unlearning@0aab08c/unlearn.py, temperature 1.
Theirs mixes both sets in one batch and has no other loss; ours draws as many retained as forgotten records and goes
on learning the retain set's own loss beside it, as all methods here do. What an answer is where there are no
classes is ours (see `teaching`); forgotten and retained views are compared among themselves.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from unlearning.core.seeding import initialisation
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.methods.objective import UnlearningConfig, draw_batch, minimise
from unlearning.methods.teaching import divergence_from


class BadTeacherConfig(UnlearningConfig):
    """Settings of the bad teacher."""

    temperature: float = Field(1.0, gt=0, description="Divides class logits, or cosines of views, before the softmax.")


def incompetent_teacher(model: Model, paradigm: Paradigm, seed: int) -> Model:
    """A model of the same architecture that learned nothing, in evaluation mode."""
    spec = model.spec
    with initialisation(seed, "incompetent teacher"):
        teacher = paradigm.build(spec.encoder, spec.image_shape, spec.class_names)
    return teacher.to(next(model.parameters()).device).eval()


def bad_teacher(
    model: Model, paradigm: Paradigm, *, retain: Records, forget: Records, config: BadTeacherConfig, seed: int
) -> Model:
    """Learn from the original about what stays, and from a model that learned nothing about what goes."""
    competent, incompetent = model.clone().eval(), incompetent_teacher(model, paradigm, seed)

    def taught(draw: torch.Generator) -> Tensor:
        forgotten = draw_batch(forget, config.forget_batch, draw)
        kept = draw_batch(retain, len(forgotten), draw)
        untaught, known = paradigm.views(forgotten.images, draw), paradigm.views(kept.images, draw)
        return divergence_from(incompetent, model, paradigm, untaught, config.temperature) + divergence_from(
            competent, model, paradigm, known, config.temperature
        )

    return minimise(model, paradigm, retain, taught, config, seed=seed, purpose="bad_teacher")
