"""Run in a copy of the package that docs/extending.md was followed in: says what came of it, as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from unlearning import recipes
from unlearning.audit.attacks import ATTACKS, AuditedSignals, expected_attacks
from unlearning.audit.audit import audit
from unlearning.audit.signals import SIGNALS
from unlearning.audit.statistics import auc_interval
from unlearning.core.seeding import generator, initialisation
from unlearning.data import forget_set, snapshots, sources, splits
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm, make_paradigm
from unlearning.learning.training import train
from unlearning.methods import METHODS
from unlearning.recipes.recipe import Recipe, merge, parse_yaml, validate_recipe

SEEDS = 5
DRAWS = 200
LEAK = 0.5
"""By how many standard deviations members lie higher, in every signal."""
RECIPE = """
paradigm: {name: rotation, augmentation: {crop_min_scale: 1.0, flip: 0.0, brightness: 0.1, contrast: 0.1}}
encoder: {kind: mlp, hidden: [64]}
training: {epochs: 30, batch_size: 100, learning_rate: 0.003}
split: {members: 200, calibration: 60, holdout: 100, test: 100}
"""


def recipe_with(settings: str) -> Recipe:
    """The tiny recipe with the page's settings of the method laid over it."""
    plain = recipes.load("digits-simclr").model_dump(mode="json", exclude={"paradigm"})
    laid = merge(merge(plain, parse_yaml(RECIPE, "test")), parse_yaml(settings, "the page"))
    return validate_recipe(laid, "the page")


def loss_of(model: Model, paradigm: Paradigm, records: Records) -> float:
    """Mean over the same views each time."""
    views = paradigm.views(records.images, generator(0, "look"))
    with torch.no_grad():
        return float(paradigm.per_sample_loss(model.eval(), views, records.labels).mean())


def sureness(model: Model, paradigm: Paradigm, records: Records) -> float:
    """How far the answers on records are from all being as likely."""
    views = paradigm.views(records.images, generator(0, "look")).flatten(0, 1)
    with torch.no_grad():
        answers = model.eval()(views).log_softmax(1)
    flat = torch.full_like(answers, 1 / answers.shape[1])
    return float(F.kl_div(answers, flat, reduction="batchmean"))


def state(model: Model) -> list[torch.Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def trained(recipe: Recipe, settings: dict[str, Any], seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """One seed's paradigm and method: what was seen, and the models with their data."""
    paradigm, snapshot = make_paradigm(recipe.paradigm), settings["snapshot"]
    split = splits.make_split(snapshot.manifest, recipe.split, seed)
    chosen = forget_set.select(split, snapshot, kind="random", fraction=0.3, seed=seed)
    members, forget = snapshot.rows(split.members), snapshot.rows(chosen.ids)
    parts = {"retain": snapshot.rows(split.retained(chosen.ids)), "forget": forget}
    parts["calibration"] = snapshot.rows(split.calibration)
    with initialisation(seed, "pretrain"):
        model = paradigm.build(recipe.encoder, snapshot.manifest.image_shape, snapshot.manifest.class_names)
    before = loss_of(model, paradigm, members)
    train(model, paradigm, members, recipe.training, seed=seed)
    kept = state(model)
    config = recipe.method_config("flat_answers")
    candidate = METHODS["flat_answers"](model, paradigm, **parts, config=config, seed=seed)
    retrained = METHODS["retrain"](model, paradigm, **parts, config=recipe.training, seed=seed + 1)
    seen = {
        "before": before,
        "after": loss_of(model, paradigm, members),
        "test": loss_of(model, paradigm, snapshot.rows(split.test)),
        "original_sureness": sureness(model, paradigm, forget),
        "candidate_sureness": sureness(candidate, paradigm, forget),
        "untouched": all(torch.equal(a, b) for a, b in zip(kept, state(model), strict=True)),
    }
    models = {"original": model, "candidate": candidate, "retrained": retrained}
    data = {"forget": forget, "holdout": snapshot.rows(split.holdout), "retained": parts["retain"]}
    return seen, {"models": models, "data": data, "paradigm": paradigm}


def audited(made: dict[str, Any], recipe: Recipe) -> list[str]:
    """The attacks that a whole audit of the new paradigm's models has run."""
    given = {name: (name, model) for name, model in made["models"].items()}
    found = audit(given, made["paradigm"], **made["data"], config=recipe.signals, seed=0, split="", forget_digest="")
    return [each.name for each in found.models["candidate"].attacks]


def synthetic(leak: float, seed: int) -> AuditedSignals:
    draw = np.random.default_rng(seed)

    def group(count: int, higher: float) -> dict[str, Any]:
        return {name: draw.normal(higher, 1, count) for name in SIGNALS}

    return AuditedSignals(forget=group(100, leak), holdout=group(150, 0), retained=group(100, leak))


def attacked(leak: float) -> dict[str, float]:
    """The attack on many draws: mean AUC, its standard error, and how often the interval holds the truth."""
    intervals = [auc_interval(*ATTACKS["mean_rank"](synthetic(leak, seed), seed).pair) for seed in range(DRAWS)]
    areas = np.array([each.estimate for each in intervals])
    held = float(np.mean([each.low <= 0.5 <= each.high for each in intervals]))
    return {"mean": float(areas.mean()), "error": float(areas.std(ddof=1) / np.sqrt(DRAWS)), "holds_half": held}


def main(settings: str) -> dict[str, Any]:
    recipe = recipe_with(settings)
    snapshot: snapshots.Snapshot = sources.open_source("digits", Path("data"), limit=None, seed=0)
    found = [trained(recipe, {"snapshot": snapshot}, seed) for seed in range(SEEDS)]
    return {
        "seeds": [seen for seen, _ in found],
        "audited": audited(found[0][1], recipe),
        "expected": list(expected_attacks(0)),
        "none": attacked(0.0),
        "leak": attacked(LEAK),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path("settings.yaml").read_text())))
