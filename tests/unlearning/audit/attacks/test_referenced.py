from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from unlearning.audit.attacks import REFERENCE_ATTACKS, lira, rmia
from unlearning.audit.attacks.referenced import (
    ReferencedLosses,
    jackknife_error,
    jackknife_parts,
    normal_scores,
    on_common_scale,
    online_in_place,
    tuned_rmia_scale,
)
from unlearning.audit.attacks.trained_alike import as_trained_alike
from unlearning.audit.references.training import halves
from unlearning.audit.statistics import auc_interval

Make = Callable[..., ReferencedLosses]


@pytest.fixture
def make() -> Make:
    """Losses of a model that still shows `left` of what training on a forgotten record does."""

    def losses(seed: int, left: float, *, records: int = 60, count: int = 12, shift: float = 0.0) -> ReferencedLosses:
        draw = np.random.default_rng(seed)
        trained, left_out = halves(records, count, seed), halves(records, count, seed + 1)
        level = draw.normal(size=2 * records)

        def shown(known: Any) -> Any:
            noise = draw.normal(scale=0.5, size=(*np.shape(known), 3))
            return np.log1p(np.exp(level[:, None] - 1.5 * np.asarray(known, dtype=float)[..., None] + noise))

        reference = np.stack([shown(np.append(mask, np.zeros(records))) for mask in trained])
        target = np.log1p(np.exp(np.log(np.expm1(shown(np.append(np.full(records, left), np.zeros(records))))) + shift))
        return ReferencedLosses(
            forget=target[:records],
            holdout=target[records:],
            reference_forget=reference[:, :records],
            reference_holdout=reference[:, records:],
            trained=trained,
            left_out=left_out,
            rmia_scale=tuned_rmia_scale(reference[:, :records], reference[:, records:], trained),
        )

    return losses


@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCE_ATTACKS)
def test_forgotten_known_and_over_forgotten(make: Make, name: str) -> None:
    def mean_auc(left: float) -> tuple[float, float]:
        values = [auc_interval(*REFERENCE_ATTACKS[name](make(seed, left)).pair).estimate for seed in range(30)]
        return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))

    never, error = mean_auc(0.0)
    assert abs(never - 0.5) < 4 * error
    assert mean_auc(1.0)[0] > 0.85
    assert mean_auc(-1.0)[0] < 0.15


@pytest.mark.slow
def test_the_interval_of_lira_online_allows_for_records_that_enter_several_times(make: Make) -> None:
    covered, runs = 0, 400
    for seed in range(runs):
        scores = REFERENCE_ATTACKS["lira_online"](make(seed, 0.0, records=40, count=8))
        interval = auc_interval(*scores.pair, error_factor=scores.error_factor)
        covered += interval.low <= 0.5 <= interval.high
    # 95 % wanted; 3 standard errors of 400 runs are 3.3 points.
    assert 0.917 < covered / runs < 0.983


def test_lira_online_takes_no_notice_of_a_model_that_is_surer_of_everything(make: Make) -> None:
    attack = REFERENCE_ATTACKS["lira_online"]
    values = [auc_interval(*attack(make(seed, 0.0, shift=-0.7)).pair).estimate for seed in range(30)]
    assert abs(np.mean(values) - 0.5) < 4 * np.std(values, ddof=1) / np.sqrt(30)


def test_the_scores_are_those_of_the_formulas(make: Make) -> None:
    losses = make(3, 0.5)
    logit = lira.logit_confidence
    offline = REFERENCE_ATTACKS["lira_offline"](losses)
    assert np.array_equal(
        offline.forget, lira.offline(logit(losses.forget), logit(losses.reference_forget), losses.trained)
    )
    found = REFERENCE_ATTACKS["rmia"](losses)
    sure = [np.exp(-values).mean(axis=-1) for values in (losses.forget, losses.holdout)]
    references = [np.exp(-values).mean(axis=-1) for values in (losses.reference_forget, losses.reference_holdout)]
    nobody = np.zeros_like(losses.left_out)
    scale = rmia.tuned_scale(references[0], losses.trained, references[1], nobody, gamma=1.0)
    assert losses.rmia_scale == scale
    asked = (sure[1], references[1], losses.left_out)
    expected = rmia.offline(sure[0], references[0], losses.trained, *asked, gamma=1.0, scale=scale)
    assert np.array_equal(found.forget, expected)


@pytest.mark.parametrize("name", REFERENCE_ATTACKS)
def test_members_are_found_where_losses_are_small_and_bounded_as_well(make: Make, name: str) -> None:
    """BYOL's are: with γ = 2 no record is twice as likely as another, and RMIA would see nothing at all."""

    def bounded(losses: ReferencedLosses) -> ReferencedLosses:
        """All between 0 and 0.2, in the same order."""
        names = ("forget", "holdout", "reference_forget", "reference_holdout")
        return replace(losses, **{name: 0.2 * -np.expm1(-getattr(losses, name)) for name in names})

    areas = [auc_interval(*REFERENCE_ATTACKS[name](bounded(make(seed, 1.0))).pair).estimate for seed in range(5)]
    assert np.mean(areas) > 0.75


def test_references_in_the_place_of_the_model_are_judged_as_one_after_the_other(make: Make) -> None:
    """Against `lira.online` by the others, one reference at a time."""
    shown = on_common_scale(make(5, 0.4, records=30, count=10))
    ours, theirs = online_in_place(shown)
    for number in range(10):
        outside, others = ~shown.trained[number], np.arange(10) != number
        judged = (shown.reference[others][:, outside], shown.trained[others][:, outside])
        assert np.allclose(ours[number, outside], lira.online(shown.target[outside], *judged))
        assert np.allclose(theirs[number, outside], lira.online(shown.reference[number, outside], *judged))
        assert np.isnan(ours[number, ~outside]).all()
        assert np.isnan(theirs[number, ~outside]).all()


@pytest.mark.parametrize("averaged", [False, True])
def test_the_common_scale_is_each_models_own_holdout(make: Make, averaged: bool) -> None:
    losses = make(6, 0.4, records=20, count=8)
    measured = np.arange(20) % 3 > 0
    found = on_common_scale(losses, measured, averaged=averaged)

    def slow(of_records: Any, of_holdout: Any) -> Any:
        values, holdout = lira.logit_confidence(of_records), lira.logit_confidence(of_holdout)
        if averaged:
            values, holdout = values.mean(axis=1, keepdims=True), holdout.mean(axis=1, keepdims=True)
        return normal_scores(values, holdout[measured])

    def of_holdout(losses_of_it: Any) -> Any:
        return slow(losses_of_it[measured], losses_of_it)

    reference, reference_holdout = [], []
    for number in range(8):
        reference.append(slow(losses.reference_forget[number], losses.reference_holdout[number]))
        reference_holdout.append(of_holdout(losses.reference_holdout[number]))
        assert np.allclose(found.reference[number], reference[-1])
    target = as_trained_alike(
        slow(losses.forget, losses.holdout),
        of_holdout(losses.holdout),
        np.stack(reference),
        np.stack(reference_holdout),
        losses.trained,
        losses.left_out[:, measured],
    )
    assert np.allclose(found.target, target)


@pytest.mark.parametrize("holdout", [1, 2, 7, 10, 43])
def test_every_holdout_record_is_left_out_once(holdout: int) -> None:
    parts = jackknife_parts(holdout)
    assert len(parts) == (0 if holdout == 1 else min(holdout, 10))
    if parts:
        assert np.array_equal(sum((~part).astype(int) for part in parts), np.ones(holdout))


def test_the_jackknife_gives_a_means_own_error() -> None:
    values = np.random.default_rng(0).normal(size=10)
    left = [float(np.delete(values, number).mean()) for number in range(10)]
    assert jackknife_error(left) == pytest.approx(values.std(ddof=1) / np.sqrt(10))
    assert jackknife_error([]) == 0
