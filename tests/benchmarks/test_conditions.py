from __future__ import annotations

import pytest

from benchmarks.conditions import (
    FRACTIONS,
    KINDS,
    OVERFITTING,
    SWEPT_METHODS,
    TUNING_SEEDS_FROM,
    Unit,
    check_tuning_seeds,
    known_methods,
    report_seeds,
    scaled,
    units,
)
from benchmarks.run import SWEEPS
from unlearning import recipes
from unlearning.core.errors import UserError
from unlearning.learning.paradigms import PARADIGMS
from unlearning.methods import METHODS

APPROXIMATE = [name for name in METHODS if name != "retrain"]


def test_reported_and_tuning_seeds_are_apart() -> None:
    assert list(report_seeds(3)) == [0, 1, 2]
    check_tuning_seeds([TUNING_SEEDS_FROM, 500])
    with pytest.raises(UserError, match="seed 7 is reported, so it must not choose settings"):
        check_tuning_seeds([100, 7])
    for count in (0, TUNING_SEEDS_FROM + 1):
        with pytest.raises(UserError, match="the others are for tuning"):
            report_seeds(count)


def test_everything_is_asked_of_every_paradigm_and_seed() -> None:
    found = units("digits", seeds=2, sweeps=SWEEPS, methods=APPROXIMATE)
    plain = [unit for unit in found if unit.epochs_factor == 1]
    assert {(unit.paradigm, unit.seed) for unit in plain} == {(name, seed) for name in PARADIGMS for seed in (0, 1)}
    for unit in plain:
        asked = [(request.sweep, request.kind, request.fraction) for request in unit.requests]
        expected = [("main", "random", 0.2), *(("fraction", "random", share) for share in FRACTIONS)]
        assert asked == [*expected, *(("kind", kind, 0.1) for kind in KINDS)]
    assert sorted(unit.epochs_factor for unit in found if unit.epochs_factor != 1) == sorted(OVERFITTING * 8)
    assert [unit.seed for unit in found] == sorted(unit.seed for unit in found)


def test_the_main_table_has_every_method_that_the_recipe_knows() -> None:
    (unit,) = units("digits", paradigms=["supervised"], seeds=1, sweeps=["main"], methods=APPROXIMATE)
    (request,) = unit.requests
    assert request.methods == tuple(name for name in APPROXIMATE if name != "alignment_calibration")
    assert known_methods(recipes.load("digits-moco"), APPROXIMATE) == tuple(APPROXIMATE)
    assert set(SWEPT_METHODS) <= set(METHODS)


@pytest.mark.parametrize(("factor", "epochs"), [(1.0, 150), (0.5, 75), (0.001, 1)])
def test_the_degree_of_overfitting_scales_the_epochs_alone(factor: float, epochs: int) -> None:
    unit = Unit(paradigm="simclr", recipe="digits-simclr", seed=0, epochs_factor=factor, requests=())
    expected = recipes.load("digits-simclr", f"training: {{epochs: {epochs}}}")
    assert unit.load() == expected


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_the_scale_changes_members_and_epochs_alone_and_gives_way_to_overrides(paradigm: str) -> None:
    name = f"fashion-mnist-{paradigm}"
    shipped, small = recipes.load(name), scaled(name)
    assert small.split.members < shipped.split.members
    split = small.split.model_copy(update={"members": shipped.split.members})
    training = small.training.model_copy(update={"epochs": shipped.training.epochs})
    assert small.model_copy(update={"split": split, "training": training}) == shipped
    assert scaled(name, "split: {members: 70}").split.members == 70
    assert scaled(f"digits-{paradigm}") == recipes.load(f"digits-{paradigm}")
