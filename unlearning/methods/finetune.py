"""Finetuning: keep training on the retain set and hope the rest fades."""

from __future__ import annotations

from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.training import OptimisationConfig, train


def finetune(model: Model, paradigm: Paradigm, *, retain: Records, config: OptimisationConfig, seed: int) -> Model:
    """The baseline every unlearning paper compares with; it barely forgets."""
    return train(model, paradigm, retain, config, seed=seed, purpose="finetune")
