"""What is measured: one original model and what it is asked to forget."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import yaml

from unlearning import recipes
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.learning.paradigms import PARADIGMS
from unlearning.recipes.recipe import Recipe, merge, parse_yaml

TUNING_SEEDS_FROM = 100
"""Seeds below choose nothing and are reported; seeds from here on choose settings and are not."""

SCALE = {
    f"fashion-mnist-{paradigm}": f"{{split: {{members: 1000}}, training: {{epochs: {epochs}}}}}"
    for paradigm, epochs in (("simclr", 400), ("moco", 400), ("byol", 700), ("supervised", 160))
}
"""Laid over recipes: half the members of `make run`, since here are many models, and about as many steps."""

FRACTIONS = (0.01, 0.05, 0.1)
KINDS = ("class", "cluster")
OVERFITTING = (0.25, 0.5)
"""Shares of the recipe's epochs."""
SWEPT_METHODS = ("gradient_matching", "gradient_matching_stage2", "loss_matching", "finetune")
FORGOTTEN_CLASS = "sneaker"


def scaled(name: str, overrides: str = "") -> Recipe:
    """A shipped recipe at the scale of the benchmarks."""
    layers = [parse_yaml(text, "overrides") for text in (SCALE.get(name, ""), overrides) if text]
    return recipes.load(name, yaml.safe_dump(reduce(merge, layers, {})) if layers else "")


class ForgetRequest(Config):
    """What a model is asked to forget, and by which methods."""

    sweep: str
    kind: str = "random"
    fraction: float = 0.2
    methods: tuple[str, ...]


class Unit(Config):
    """One original model, trained once, and every request put to it."""

    paradigm: str
    recipe: str
    seed: int
    epochs_factor: float = 1.0
    requests: tuple[ForgetRequest, ...]

    def load(self) -> Recipe:
        """The recipe, with its epochs scaled by the degree of overfitting."""
        recipe = scaled(self.recipe)
        epochs = max(1, round(self.epochs_factor * recipe.training.epochs))
        return scaled(self.recipe, f"training: {{epochs: {epochs}}}")


def report_seeds(count: int) -> range:
    """The first `count` seeds.

    Raises:
        UserError: so many that the tuning seeds would be among them.
    """
    if not 0 < count <= TUNING_SEEDS_FROM:
        raise UserError(f"{count} seeds asked for: give 1 to {TUNING_SEEDS_FROM}, the others are for tuning")
    return range(count)


def check_tuning_seeds(seeds: Sequence[int]) -> None:
    """Settings are never chosen on seeds that are reported.

    Raises:
        UserError: a seed is one of those.
    """
    if wrong := [seed for seed in seeds if seed < TUNING_SEEDS_FROM]:
        raise UserError(
            f"seed {wrong[0]} is reported, so it must not choose settings: take {TUNING_SEEDS_FROM} or more"
        )


def known_methods(recipe: Recipe, methods: Sequence[str]) -> tuple[str, ...]:
    """Those of `methods` that the recipe has settings for, in their order."""
    found = []
    for method in methods:
        try:
            recipe.method_config(method)
        except UserError:
            continue
        found.append(method)
    return tuple(found)


def units(
    dataset: str, *, paradigms: Sequence[str] = PARADIGMS, seeds: int, sweeps: Sequence[str], methods: Sequence[str]
) -> list[Unit]:
    """Everything to measure, the main table first, seed by seed, so that an early end leaves whole seeds.

    Args:
        dataset: such as `fashion-mnist`; with each paradigm it names a recipe.
        paradigms: which of them.
        seeds: how many.
        sweeps: of `main`, `fraction`, `kind`, `overfitting`.
        methods: of the main table.
    """
    found = []
    for seed in report_seeds(seeds):
        for paradigm in paradigms:
            name = recipes.default_recipe(dataset, paradigm)
            recipe = scaled(name)
            swept = known_methods(recipe, SWEPT_METHODS)
            requests = []
            if "main" in sweeps:
                requests.append(ForgetRequest(sweep="main", methods=known_methods(recipe, methods)))
            if "fraction" in sweeps:
                requests += [ForgetRequest(sweep="fraction", fraction=share, methods=swept) for share in FRACTIONS]
            if "kind" in sweeps:
                requests += [ForgetRequest(sweep="kind", kind=kind, fraction=0.1, methods=swept) for kind in KINDS]
            if requests:
                found.append(Unit(paradigm=paradigm, recipe=name, seed=seed, requests=tuple(requests)))
            if "overfitting" in sweeps:
                request = ForgetRequest(sweep="overfitting", methods=swept)
                found += [
                    Unit(paradigm=paradigm, recipe=name, seed=seed, epochs_factor=factor, requests=(request,))
                    for factor in OVERFITTING
                ]
    return found
