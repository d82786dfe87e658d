"""Finetuning: keep training on the retain set and hope the rest fades."""

from __future__ import annotations

from unlearning.models import Model
from unlearning.paradigms import Paradigm
from unlearning.records import Records
from unlearning.training import OptimisationConfig, train


def finetune(model: Model, paradigm: Paradigm, *, retain: Records, config: OptimisationConfig, seed: int) -> Model:
    """The baseline every unlearning paper compares with; it barely forgets."""
    return train(model, paradigm, retain, config, seed=seed, purpose="finetune")
