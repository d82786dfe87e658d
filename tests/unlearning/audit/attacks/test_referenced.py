from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from unlearning.audit.attacks import REFERENCE_ATTACKS, lira, rmia
from unlearning.audit.attacks.referenced import ReferencedLosses
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
