from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.unlearning.audit.qualification.conftest import forgotten, shown_by, simulate
from unlearning.audit.attacks import ASKING_REFERENCES, expected_attacks
from unlearning.audit.audit import compare, expectation, gaps_of
from unlearning.audit.qualification.plan import draw
from unlearning.audit.qualification.pooled import clustered, compare_pooled, pooled_differences, utility_lost
from unlearning.audit.reference_baseline import AuditedModel, ReferenceBaseline, attack_model
from unlearning.audit.simultaneous import Placed, simultaneous_intervals
from unlearning.audit.statistics import placed_interval, placements

Array = npt.NDArray[np.float64]


def test_every_attack_of_an_audit_is_compared(simulated: Callable[..., Any]) -> None:
    world = simulated(sets=8, size=1, left=0.0, seed=3)
    found, single_records = compare_pooled(world.shown, world.pool, 0)
    assert {each.attack for each in found} == set(expected_attacks(8))
    assert len(single_records) == len(ASKING_REFERENCES) + 3
    for each in found:
        assert each.reference == "references"
        assert each.difference.level == 0.90
        assert each.simultaneous is not None
        assert each.difference.low <= each.difference.estimate <= each.difference.high


@pytest.mark.parametrize("size", [1, 3])
def test_one_model_that_forgot_all_sets_is_compared_as_in_an_audit(synthetic: Any, size: int) -> None:
    """The same estimates; with sets of one record the same errors too, so far as the attacks fit nothing."""
    world = synthetic(members=80, holdout=50, count=8, seed=5)
    rows = draw(80, size, 12, 5)
    pool = ReferenceBaseline(world.references, rows.reshape(-1))
    model = forgotten(world, rows.reshape(-1), 0.5)
    shown = [shown_by(model, pool, number, size, pool.rmia_scale, 5) for number in range(12)]
    attacks, single_records = compare_pooled(shown, pool, 5)
    pooled = {each.attack: each for each in attacks}
    members, holdout = model
    audited = AuditedModel(members.rows(pool.rows), holdout, members.rows(np.setdiff1d(np.arange(80), pool.rows)))
    scores, expected = attack_model(audited, pool, 5), expectation(pool, 5)
    whole = compare(scores, expected.placements, "references", 5, gaps_of(audited, scores, pool, expected))
    singles = {(each.measure, each.attack): each for each in single_records}
    assert len(singles) == len(whole.single_records)
    for theirs in whole.single_records:
        ours = singles[theirs.measure, theirs.attack]
        assert (ours.shown, ours.expected) == pytest.approx((theirs.shown, theirs.expected)), ours
    for each in whole.attacks:
        if each.attack in ("combined_forget", "combined_retained", "representation"):
            continue
        one = pooled[each.attack].difference
        assert one.estimate == pytest.approx(each.difference.estimate, abs=1e-9), each.attack
        if size == 1 and each.attack != "lira_online":
            assert (one.low, one.high) == pytest.approx((each.difference.low, each.difference.high)), each.attack


def test_clusters_are_means_of_sets_beyond_what_references_show() -> None:
    draw = np.random.default_rng(0)
    of_forgotten, of_holdout = draw.random((4, 3)), draw.random(5)
    references = []
    for number in range(6):
        outside = draw.random(12) < 0.5
        outside[number::6] = True
        references.append((outside, (draw.random(int(outside.sum())), draw.random(5))))
    found = clustered(of_forgotten, of_holdout, references)
    for number in range(4):
        differences = []
        for place in range(3):
            record = 3 * number + place
            told = [places[int(outside[:record].sum())] for outside, (places, _) in references if outside[record]]
            differences.append(of_forgotten[number, place] - np.mean(told))
        assert found.members[number] == pytest.approx(np.mean(differences))
    for record in range(5):
        should = np.mean([others[record] for _, (_, others) in references])
        assert found.non_members[record] == pytest.approx(of_holdout[record] - should)


@cache
def gaps(synthetic: Any, left: float, worlds: int) -> dict[str, Array]:
    found: dict[str, list[float]] = {}
    for seed in range(worlds):
        world = simulate(synthetic, sets=8, size=2, left=left, seed=seed)
        for name, each in pooled_differences(world.shown, world.pool, seed).items():
            found.setdefault(name, []).append(float(each.members.mean()))
    return {name: np.asarray(values) for name, values in found.items()}


def test_models_without_the_records_differ_from_references_by_chance_alone(synthetic: Any) -> None:
    for name, values in gaps(synthetic, 0.0, 24).items():
        assert abs(values.mean()) < 4.5 * values.std(ddof=1) / np.sqrt(len(values)), name


def test_models_that_still_know_them_lie_above(synthetic: Any) -> None:
    for name, values in gaps(synthetic, 1.0, 3).items():
        if name != "combined_forget":  # fitted on 14 records here: too few to learn from
            assert values.mean() > 0.1, name


def test_models_that_over_forgot_lie_below(synthetic: Any) -> None:
    values = gaps(synthetic, -1.0, 3)
    for name in ("loss", "combined_retained", "lira_offline", "lira_online", "rmia"):
        assert values[name].mean() < -0.1, name


def test_the_combined_attack_finds_what_sets_records_apart_whichever_way(synthetic: Any) -> None:
    for left in (1.5, -1.5):
        world = simulate(synthetic, sets=20, size=4, left=left, seed=2, members=100)
        assert pooled_differences(world.shown, world.pool, 2)["combined_forget"].members.mean() > 0.15


SETS, SIZE, HOLDOUT, REFERENCES, MEMBERS = 20, 3, 200, 8, 60


def pool_of_correlated_records(draw: np.random.Generator, together: float, gap: float) -> Placed:
    """What one signal shows in a world where records of a set move together on their model."""
    difficulty, others = draw.normal(size=MEMBERS), draw.normal(size=HOLDOUT)
    shift = draw.normal(scale=together, size=(SETS, 1)) + gap
    shown = difficulty.reshape(SETS, SIZE) + shift + draw.normal(scale=0.5, size=(SETS, SIZE))
    beside = others + draw.normal(scale=0.5, size=(SETS, HOLDOUT))
    of_forgotten = (shown[:, :, None] > beside[:, None, :]).mean(axis=2)
    of_holdout = (shown[:, :, None] > beside[:, None, :]).mean(axis=(0, 1))
    references = []
    for _ in range(REFERENCES // 2):
        half = draw.permutation(MEMBERS) < MEMBERS // 2
        for outside in (half, ~half):
            records = difficulty[outside] + draw.normal(scale=0.5, size=int(outside.sum()))
            holdout = others + draw.normal(scale=0.5, size=HOLDOUT)
            above = records[:, None] > holdout
            references.append((outside, (above.mean(axis=1), above.mean(axis=0))))
    return clustered(of_forgotten, of_holdout, references)


def upper(pools: int) -> float:
    """The largest count that a chance of 5 % makes plausible, 4 standard deviations."""
    return 0.05 * pools + 4 * float(np.sqrt(pools * 0.05 * 0.95))


@pytest.mark.slow
@pytest.mark.parametrize("together", [0.0, 1.0])
def test_false_alarms_stay_rare_where_records_of_a_set_move_together(together: float) -> None:
    """2,000 pools without a leak: one-sided at 5 %, and all attacks together at 5 %."""
    pools, above, below, alarms = 2_000, 0, 0, 0
    draw = np.random.default_rng(11)
    for _ in range(pools):
        found = pool_of_correlated_records(draw, together, 0.0)
        interval = placed_interval(found.members, found.non_members)
        above += interval.low > 0
        below += interval.high < 0
        surely = simultaneous_intervals({"loss": found}, HOLDOUT, bounds=(-1, 1))["loss"]
        alarms += surely.low > 0 or surely.high < 0
    for count in (above, below, alarms):
        assert count <= upper(pools)


@pytest.mark.slow
def test_records_taken_for_independent_would_raise_false_alarms() -> None:
    """What the clusters are for: the test above can fail."""
    draw, alarms, pools = np.random.default_rng(12), 0, 500
    for _ in range(pools):
        difficulty = draw.normal(size=(SETS, 10))
        shown = difficulty + draw.normal(size=(SETS, 1))
        of_records, of_others = placements(shown.ravel(), draw.normal(scale=np.sqrt(2), size=HOLDOUT))
        interval = placed_interval(of_records - 0.5, of_others - 0.5)
        alarms += interval.low > 0 or interval.high < 0
    assert alarms > 0.2 * pools


@pytest.mark.slow
def test_a_gap_at_the_margin_is_found_inside_it_at_most_one_time_in_twenty() -> None:
    """The error that counts: qualified though the leak is as large as the margin."""
    margin, pools, passed = 0.10, 2_000, 0
    draw = np.random.default_rng(13)
    places = [pool_of_correlated_records(draw, 0.5, 0.42).members.mean() for _ in range(200)]
    assert np.mean(places) >= margin  # the leak is no smaller than the margin
    for _ in range(pools):
        found = pool_of_correlated_records(draw, 0.5, 0.42)
        interval = placed_interval(found.members, found.non_members)
        passed += -margin < interval.low and interval.high < margin
    assert passed <= upper(pools)


def test_utility_is_a_mean_over_sets_and_test_records() -> None:
    draw = np.random.default_rng(1)
    lost = [{"knn": draw.integers(-1, 2, size=40).astype(np.float64)} for _ in range(9)]
    found, worst = utility_lost(lost)
    values = np.stack([each["knn"] for each in lost])
    assert found["knn"].estimate == pytest.approx(values.mean())
    assert worst["knn"] == pytest.approx(max(row.mean() for row in values))
    error = np.sqrt(values.mean(axis=1).var(ddof=1) / 9 + values.mean(axis=0).var(ddof=1) / 40)
    assert found["knn"].high - found["knn"].estimate > 1.64 * error
