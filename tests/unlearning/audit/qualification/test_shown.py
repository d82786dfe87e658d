from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from unlearning.audit.attacks.referenced import REFERENCE_ATTACKS, ReferencedLosses, on_common_scale
from unlearning.audit.qualification.shown import ONE_BY_ONE, jackknifed
from unlearning.audit.reference_baseline import AuditedModel, referenced_losses
from unlearning.audit.signals import SIGNALS
from unlearning.audit.statistics import placements


@pytest.fixture
def world(simulated: Callable[..., Any]) -> Any:
    return simulated(sets=4, size=3, left=0.0, seed=1)


def test_a_record_stands_where_a_slow_count_among_its_own_models_holdout_puts_it(world: Any) -> None:
    for (members, holdout), rows, shown in zip(world.models, world.rows, world.shown, strict=True):
        for column, name in enumerate(SIGNALS):
            of_forgotten, of_holdout = shown.placed[name]
            for place, row in enumerate(rows):
                below = [value < members.signals[name][row] for value in holdout.signals[name]]
                assert of_forgotten[place] == pytest.approx(np.mean(below))
                score = norm.ppf((2 * sum(below) + 1) / (2 * len(below) + 2))
                assert shown.signals[place, column] == pytest.approx(score)
            assert of_holdout.mean() == pytest.approx(of_forgotten.mean())


def test_all_attacks_place_every_record(world: Any) -> None:
    for shown in world.shown:
        assert set(shown.placed) == set(ONE_BY_ONE)
        for of_forgotten, of_holdout in shown.placed.values():
            assert of_forgotten.shape == (3,)
            assert of_holdout.shape == (50,)
            assert of_holdout.mean() == pytest.approx(of_forgotten.mean())


@pytest.mark.parametrize("attack", ["lira_offline", "rmia"])
def test_attacks_with_references_are_tuned_on_the_records_of_all_sets(world: Any, attack: str) -> None:
    members, holdout = world.models[2]
    audited = AuditedModel(members.rows(world.pool.rows), holdout, members)
    scores = REFERENCE_ATTACKS[attack](
        referenced_losses(audited, world.pool, world.pool.left_out, world.pool.rmia_scale)
    )
    of_forgotten, of_holdout = placements(scores.forget[6:9], scores.holdout)
    assert np.allclose(world.shown[2].placed[attack][0], of_forgotten)
    assert np.allclose(world.shown[2].placed[attack][1], of_holdout)


def test_the_setting_of_rmia_asks_the_references_alone(world: Any) -> None:
    members, holdout = world.models[0]
    audited = AuditedModel(members.rows(world.pool.rows), holdout, members)
    losses = referenced_losses(audited, world.pool, world.pool.left_out, world.pool.rmia_scale)
    given = REFERENCE_ATTACKS["rmia"](losses)
    chosen = world.shown[0].placed["rmia"][0]
    assert np.allclose(chosen, placements(given.forget[:3], given.holdout)[0])
    assert 0 <= world.pool.rmia_scale <= 1


def test_confidences_are_on_the_common_scale_of_the_holdout_and_without_each_tenth_of_it(world: Any) -> None:
    """As an audit of this one model would have them."""
    members, holdout = world.models[0]
    references, rows = world.pool.references, world.rows[0]
    losses = ReferencedLosses(
        forget=members.losses[rows],
        holdout=holdout.losses,
        reference_forget=references.member_losses[:, rows],
        reference_holdout=references.holdout_losses,
        trained=references.trained[:, rows],
        left_out=world.pool.left_out,
        rmia_scale=0.5,
    )
    masks = jackknifed(50)
    assert [int(mask.sum()) for mask in masks] == [50] + [45] * 10
    for mask, scores, mean in zip(masks, world.shown[0].confidences, world.shown[0].averages, strict=True):
        assert np.allclose(scores, on_common_scale(losses, mask).target)
        assert np.allclose(mean, on_common_scale(losses, mask, averaged=True).target[:, 0])
