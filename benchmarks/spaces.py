"""Where tuning searches: the values that each setting of each method may take."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from unlearning.recipes.recipe import Recipe, merge

Space = dict[str, tuple[Any, ...]]

CONTRASTIVE: Space = {
    "optimisation.epochs": (5, 6, 8, 10),
    "optimisation.batch_size": (128,),
    "optimisation.learning_rate": (0.001, 0.002, 0.003, 0.005, 0.01),
    "optimisation.schedule": ("cosine",),
    "distillation": (0.0, 0.5, 2.0, 5.0),
    "forget_batch": (64,),
}
BATCHES = (64, 128, 256)
SUPERVISED: Space = CONTRASTIVE | {"optimisation.batch_size": BATCHES, "optimisation.clip_norm": (5.0,)}
OWN: dict[str, Space] = {
    "gradient_matching": {
        "weight": (0.1, 0.3, 1.0, 3.0),
        "match": ("mean", "quantiles"),
        "tolerance": (0.0, 0.1, 0.2),
        "rest": (3,),
    },
    "loss_matching": {"weight": (0.3, 1.0, 3.0, 10.0), "match": ("mean", "quantiles")},
    "gradient_ascent": {"weight": (0.01, 0.03, 0.1, 0.3, 1.0), "active": (0.4, 1.0)},
    "random_label": {"weight": (0.03, 0.1, 0.3, 1.0), "active": (0.4, 1.0)},
    "saliency": {"weight": (0.03, 0.1, 0.3, 1.0), "active": (0.4, 1.0), "share": (0.1, 0.3, 0.5, 0.8)},
    "alignment_calibration": {"weight": (0.03, 0.1, 0.3, 1.0), "active": (0.4, 1.0), "positive": (0.0, 1.0, 3.0)},
    "gradient_penalty": {
        "weight": (0.1, 1.0, 10.0),
        "of": ("loss", "embedding"),
        "at": ("mixed", "members"),
        "target": (0.0, 1.0, "measured"),
    },
    "npo": {"weight": (0.03, 0.1, 0.3, 1.0), "active": (0.4, 1.0), "beta": (0.3, 1.0, 3.0)},
    "scrub": {"weight": (0.03, 0.1, 0.3, 1.0), "active": (0.5, 1.0), "agreement": (0.3, 1.0, 3.0)},
    "bad_teacher": {"weight": (0.1, 0.3, 1.0, 3.0), "active": (0.4, 1.0), "temperature": (0.2, 1.0)},
    "l1_sparse": {"weight": (1e-5, 5e-5, 1e-4, 5e-4)},
    "coun": {"weight": (0.1, 0.3, 1.0, 3.0), "temperature": (0.1, 0.2, 0.5)},
    "ssd": {"alpha": (1.0, 1.2, 1.5, 2.0, 3.0), "dampening": (0.1, 0.3, 1.0, 2.0)},
    "shrink_and_perturb": {"keep": (0.0, 0.2, 0.3, 0.4, 0.5), "noise": (0.5, 0.7, 1.0)},
    "finetune": {},
}
WITHOUT_STEPS = ("ssd",)
"""Methods that do not train."""
WITHOUT_TERM = ("shrink_and_perturb",)
"""Methods that train on the retain set and nothing else."""
WITHOUT_FORGET_SET = ("l1_sparse", "coun")
"""Methods whose term looks at retained records alone."""
OWN["gradient_matching_stage2"] = OWN["gradient_matching"]


def space(paradigm: str, method: str) -> Space:
    """Every setting that the search may choose, by dotted name.

    The batches of contrastive training stay as large as in pretraining, since its losses depend on their size.
    Finetuning, which has the settings of the optimiser alone, may change it all the same.
    """
    if method in WITHOUT_STEPS:
        return OWN[method]
    common = SUPERVISED if paradigm == "supervised" else CONTRASTIVE
    if method in WITHOUT_FORGET_SET:
        return {key: values for key, values in common.items() if key != "forget_batch"} | OWN[method]
    if method in WITHOUT_TERM:
        return {key: values for key, values in common.items() if key.startswith("optimisation.")} | OWN[method]
    if method != "finetune":
        return common | OWN[method]
    plain = {key.removeprefix("optimisation."): values for key, values in common.items() if key.startswith("opt")}
    return plain | {"batch_size": BATCHES}


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` to `{"a": {"b": 1}}`."""
    found: dict[str, Any] = {}
    for key, value in flat.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        found = merge(found, value)
    return found


def _value(settings: dict[str, Any], name: str) -> Any:
    for part in name.split("."):
        settings = settings.get(part, {})
    return settings


def _draws(paradigm: str, method: str, purpose: str) -> random.Random:
    return random.Random(f"{paradigm} {method} {purpose}")  # noqa: S311 - nothing secret


def candidates(recipe: Recipe, method: str, count: int) -> list[dict[str, Any]]:
    """The recipe's own settings and `count` − 1 distinct random draws from the space, always the same ones."""
    own = recipe.method_config(method).model_dump(mode="json")
    choices = space(recipe.paradigm.name, method)
    draw = _draws(recipe.paradigm.name, method, "anywhere")
    found = [own]
    for _ in range(100 * count):
        if len(found) == count:
            break
        drawn = nested({key: draw.choice(values) for key, values in choices.items()})
        if drawn not in found:
            found.append(drawn)
    return found


def _step(values: tuple[Any, ...], value: Any, draw: random.Random) -> Any:
    """The value before or after `value` in the space; any if it is not there."""
    if value not in values:
        return draw.choice(values)
    place = values.index(value)
    return draw.choice([values[near] for near in (place - 1, place + 1) if 0 <= near < len(values)])


def neighbours(
    paradigm: str, method: str, settings: dict[str, Any], count: int, known: Sequence[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """`count` new settings that differ from the given ones by one step of one or two of them; always the same."""
    choices = {name: values for name, values in space(paradigm, method).items() if len(values) > 1}
    draw = _draws(paradigm, method, "near")
    found: list[dict[str, Any]] = []
    for _ in range(100 * count):
        if len(found) == count:
            break
        chosen = draw.sample(sorted(choices), k=draw.choice((1, 2)))
        moved = {name: _step(choices[name], _value(settings, name), draw) for name in chosen}
        near = merge(settings, nested(moved))
        if near not in found and near not in known:
            found.append(near)
    return found
