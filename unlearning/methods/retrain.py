"""Exact unlearning: train again, with the same recipe, on the retain set alone."""

from __future__ import annotations

from unlearning.core.seeding import initialisation
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.training import OptimisationConfig, train


def retrain(model: Model, paradigm: Paradigm, *, retain: Records, config: OptimisationConfig, seed: int) -> Model:
    """A model not trained on the forget set: fresh weights, and only retained records.

    The given model lends its architecture; none of its weights are used.
    """
    spec = model.spec
    with initialisation(seed, "retrain"):
        fresh = paradigm.build(spec.encoder, spec.image_shape, spec.class_names)
    fresh.to(next(model.parameters()).device)
    return train(fresh, paradigm, retain, config, seed=seed, purpose="retrain")
