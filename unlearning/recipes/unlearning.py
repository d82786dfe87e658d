"""A recipe's method applied to a saved model: a candidate, with where it comes from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from unlearning.audit.escalation import attempt_named
from unlearning.core import settings
from unlearning.core.errors import TrainingDivergedError
from unlearning.data import forget_set
from unlearning.data.loading import load_split, part
from unlearning.learning import models
from unlearning.learning.devices import choose_device, deterministic
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm, make_paradigm
from unlearning.methods import METHODS
from unlearning.recipes import provenance
from unlearning.recipes.escalated import settings_at
from unlearning.recipes.pretraining import store_gradient_target
from unlearning.recipes.provenance import check_belongs
from unlearning.recipes.recipe import override_method


def run_method(method: str, model: Model, paradigm: Paradigm, **given: Any) -> Model:
    """Run the method.

    Raises:
        TrainingDivergedError: the loss, or a weight at the end, was not finite.
    """
    candidate = METHODS[method](model, paradigm, **given)
    for value in candidate.state_dict().values():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise TrainingDivergedError(
                f"{method}: a weight is not finite after the last step: lower the learning rate or set clip_norm"
            )
    return candidate


def unlearn(
    *,
    model_path: Path,
    snapshot_path: Path,
    split_path: Path,
    forget_path: Path,
    method: str,
    overrides: str,
    attempt: str = "first",
    seed: int,
    device: str,
    gpus: int = 0,
    keep_diverged: bool = False,
    candidate_path: Path,
) -> provenance.UnlearnResult:
    """Run one method with the settings of the recipe the model was trained with.

    Args:
        method: a name of `unlearning.methods.METHODS`.
        overrides: YAML laid over the method's settings; empty for none.
        attempt: a name of `unlearning.audit.escalation.ATTEMPTS`: how often these settings are escalated.
        keep_diverged: where the method diverges, write the model as it was and say so in its provenance: no
            verdict lets it serve, and the next attempt follows. Exact retraining has nothing to go on with.
        candidate_path: folder of the unlearned model.

    Raises:
        UserError: the inputs do not belong together, or a setting has no meaning.
        TrainingDivergedError: the method diverged and that is not to be kept, or it was exact retraining.
    """
    made = provenance.load(model_path)
    recipe = override_method(made.recipe, method, overrides)
    config = settings_at(recipe, method, attempt_named(attempt))
    snapshot, split = load_split(snapshot_path, split_path)
    forget = forget_set.load(forget_path)
    check_belongs(made, split, forget)
    chosen = choose_device(device, gpus)
    deterministic()
    side = recipe.data.image_side
    retain = part(snapshot, split.retained(forget.ids), side, chosen)
    calibration = part(snapshot, split.calibration, side, chosen)
    given = {"retain": retain, "forget": part(snapshot, forget.ids, side, chosen), "calibration": calibration}
    original, paradigm, diverged = models.load(model_path, chosen), make_paradigm(recipe.paradigm), ""
    begun = time.perf_counter()
    try:
        candidate = run_method(method, original, paradigm, **given, config=config, seed=seed)
    except TrainingDivergedError as error:
        if method == "retrain" or not keep_diverged:
            raise
        candidate, diverged = original, f"{method} diverged and made no model ({error})"
    seconds = time.perf_counter() - begun
    if method == "retrain":
        # Fresh weights need their own τ; every other method keeps what its model was trained with.
        store_gradient_target(candidate, paradigm, recipe, nonmembers=calibration, members=retain, seed=seed)
    models.save(candidate, candidate_path)
    written = made.model_copy(
        update={
            "method": method,
            "recipe": recipe,
            "seed": seed,
            "seconds": seconds,
            "device": chosen.type,
            "commit": settings.from_environment().commit,
            "parent": models.digest(model_path),
            "forget": forget.digest,
            "attempt": attempt,
            "settings": config.model_dump(mode="json"),
            "diverged": diverged,
        }
    )
    provenance.save(written, candidate_path)
    return provenance.result_at(candidate_path)
