from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from unlearning.audit import verdict
from unlearning.audit.attacks import expected_attacks
from unlearning.audit.results import (
    FITTED_ON_FORGET,
    AttackResult,
    Audit,
    Comparison,
    ForgottenBefore,
    Interval,
    ModelAudit,
    Outcome,
    RecordMeasure,
    RecordTest,
    Reference,
    Roc,
    Verdict,
)
from unlearning.audit.verdict import REQUIRED_MODELS, REQUIRED_UTILITY, VerdictConfig, decide

MODELS = ("original", "candidate", "retrained")
ATTACK_NAMES = (
    "view_similarity", "encoder_similarity", "loss", "gradient_norm", "combined_retained", "combined_forget",
    "representation",
)  # fmt: skip
REFERENCE_NAMES = ("lira_offline", "lira_online", "rmia", "lira_encoder")
UTILITIES = ("knn", "linear_probe")
MARGINS = VerdictConfig(auc_margin=0.1, utility_margin=0.03)

Gaps = Mapping[str, Interval]


def interval(low: float, high: float, estimate: float | None = None) -> Interval:
    middle = (low + high) / 2 if estimate is None else estimate
    return Interval(estimate=middle, low=low, high=high, level=0.9)


EMPTY_ROC = Roc(false_positive_rate=(0, 1), true_positive_rate=(0, 1))
INSIDE = interval(-0.05, 0.05)
USEFUL = interval(-0.01, 0.02)


def audit_of(gaps: Gaps, models: tuple[str, ...] = MODELS) -> Audit:
    attacks = tuple(
        AttackResult(name=name, auc=interval(0.4, 0.6), tpr_at_1_fpr=interval(0, 0.1), roc=EMPTY_ROC)
        for name in ATTACK_NAMES
    )
    bare = ModelAudit(model="0" * 64, attacks=attacks, retained_auc=interval(0.4, 0.6), signals=())
    return Audit(
        records={"forget": 20, "holdout": 20, "retained": 20},
        seed=0,
        split="s",
        forget="f",
        models=dict.fromkeys(models, bare),
        comparisons=tuple(Comparison(attack=name, difference=gap) for name, gap in gaps.items()),
    )


def gaps_with(**changed: Interval) -> Gaps:
    return dict.fromkeys(ATTACK_NAMES, INSIDE) | changed


def judge(gaps: Gaps, utility: Gaps | None = None) -> Verdict:
    return decide(audit_of(gaps), dict(utility or dict.fromkeys(UTILITIES, USEFUL)), MARGINS)


def intervals(reach: float) -> st.SearchStrategy[Interval]:
    """Intervals around the margin, its exact edge and zero included."""
    edges = st.sampled_from([-1.0, -reach, 0.0, reach, 1.0])
    bound = st.one_of(edges, st.floats(-2 * reach, 2 * reach), st.floats(-reach, reach))
    return st.lists(bound, min_size=3, max_size=3).map(sorted).map(lambda v: interval(v[0], v[2], v[1]))


def parts(names: tuple[str, ...], reach: float) -> st.SearchStrategy[dict[str, Interval]]:
    """Evidence in which anything may be missing, though usually nothing is."""
    complete = st.fixed_dictionaries(dict.fromkeys(names, intervals(reach)))
    inside = st.fixed_dictionaries(
        dict.fromkeys(names, st.sampled_from([INSIDE, USEFUL, interval(0, 0), interval(-0.1, 0.03)]))
    )
    chosen = st.lists(st.sampled_from(names), unique=True)
    return st.one_of(
        complete,
        inside,
        st.tuples(inside, chosen).map(lambda each: {name: each[0][name] for name in each[1]}),
    )


MODEL_SETS = st.one_of(st.just(MODELS), st.lists(st.sampled_from(MODELS), unique=True).map(tuple))
GAPS = parts(ATTACK_NAMES, 0.1)
LOST = parts(UTILITIES, 0.03)


def may_pass(gaps: Gaps, lost: Gaps, models: tuple[str, ...]) -> bool:
    return (
        all(name in models for name in MODELS)
        and all(name in gaps for name in ATTACK_NAMES)
        and all(name in lost for name in UTILITIES)
        and all(gap.high <= 0.1 and (name == FITTED_ON_FORGET or gap.low >= -0.1) for name, gap in gaps.items())
        and all(each.high <= 0.03 for each in lost.values())
    )


def test_the_evidence_asked_for_is_the_evidence_there_is() -> None:
    assert (*REQUIRED_MODELS, "retrained") == MODELS
    assert REQUIRED_UTILITY == UTILITIES
    assert expected_attacks(0) == ATTACK_NAMES
    assert expected_attacks(8) == (*ATTACK_NAMES, *REFERENCE_NAMES)
    assert FITTED_ON_FORGET in ATTACK_NAMES


@given(gaps=GAPS, lost=LOST, models=MODEL_SETS)
def test_what_diverged_is_judged_so_whatever_the_evidence(gaps: Gaps, lost: Gaps, models: tuple[str, ...]) -> None:
    """The original stands in its place, which may well pass."""
    audit = audit_of(gaps, models).model_copy(update={"diverged": "the loss became nan"})
    found = decide(audit, dict(lost), MARGINS)
    assert (found.outcome, found.reasons) == ("diverged", ("the loss became nan",))


@given(gaps=GAPS, lost=LOST, models=MODEL_SETS)
@example(gaps=gaps_with(), lost=dict.fromkeys(UTILITIES, USEFUL), models=MODELS)
@example(gaps=gaps_with(loss=interval(-0.1, 0.1)), lost=dict.fromkeys(UTILITIES, interval(0, 0.03)), models=MODELS)
@example(gaps={}, lost={}, models=())
def test_passed_means_complete_evidence_with_every_interval_inside_its_margin(
    gaps: Gaps, lost: dict[str, Interval], models: tuple[str, ...]
) -> None:
    found = decide(audit_of(gaps, models), lost, MARGINS)
    assert (found.outcome == "passed") == may_pass(gaps, lost, models)
    assert found.reasons


@pytest.mark.slow
def test_with_anything_missing_even_perfect_evidence_is_inconclusive() -> None:
    """Every subset of models, attacks and accuracies."""
    perfect = interval(0, 0)
    everything = [("model", name) for name in MODELS]
    everything += [("attack", name) for name in ATTACK_NAMES] + [("accuracy", name) for name in UTILITIES]
    for kept in itertools.product((True, False), repeat=len(everything)):
        there = {thing for thing, keep in zip(everything, kept, strict=True) if keep}
        audit = audit_of(
            {name: perfect for kind, name in there if kind == "attack"},
            tuple(name for kind, name in there if kind == "model"),
        )
        found = decide(audit, {name: perfect for kind, name in there if kind == "accuracy"}, MARGINS)
        missing = set(everything) - there
        assert found.outcome == ("inconclusive" if missing else "passed")
        assert not missing or len(found.reasons) == len(missing)
        assert all(any(name in reason for reason in found.reasons) for _, name in missing)


def widened(each: Interval, by: tuple[float, float]) -> Interval:
    return each.model_copy(update={"low": each.low - by[0], "high": each.high + by[1]})


REACH = st.tuples(st.floats(0, 0.2), st.floats(0, 0.2))


@given(gaps=GAPS, lost=LOST, models=MODEL_SETS, reach=st.lists(REACH, min_size=9, max_size=9))
def test_a_wider_interval_never_makes_a_candidate_pass(
    gaps: Gaps, lost: dict[str, Interval], models: tuple[str, ...], reach: list[tuple[float, float]]
) -> None:
    by = dict(zip((*ATTACK_NAMES, *UTILITIES), reach, strict=True))
    wider = decide(
        audit_of({name: widened(each, by[name]) for name, each in gaps.items()}, models),
        {name: widened(each, by[name]) for name, each in lost.items()},
        MARGINS,
    )
    assert wider.outcome != "passed" or decide(audit_of(gaps, models), lost, MARGINS).outcome == "passed"


ROWS: list[tuple[str, Gaps, Gaps | None, Outcome]] = [
    ("| all | yes | `passed` |", gaps_with(), None, "passed"),
    (
        "| some above for sure, and beyond the margin possible | any | `leaks` |",
        gaps_with(loss=interval(0.01, 0.11)),
        None,
        "leaks",
    ),
    (
        "| some above for sure, and beyond the margin possible | any | `leaks` |",
        gaps_with(loss=interval(0.2, 0.4)),
        dict.fromkeys(UTILITIES, interval(0.5, 0.9)),
        "leaks",
    ),
    (
        "| some below for sure, and beyond the margin possible | any | `over_forgotten` |",
        gaps_with(gradient_norm=interval(-0.11, -0.01)),
        None,
        "over_forgotten",
    ),
    (
        "| some below for sure, and beyond the margin possible | any | `over_forgotten` |",
        gaps_with(gradient_norm=interval(-0.4, -0.2)),
        dict.fromkeys(UTILITIES, interval(0.5, 0.9)),
        "over_forgotten",
    ),
    (
        "| all | estimate beyond the margin | `utility_lost` |",
        gaps_with(),
        {"knn": USEFUL, "linear_probe": interval(0.0, 0.08)},
        "utility_lost",
    ),
    (
        "| otherwise, or evidence missing | | `inconclusive` |",
        gaps_with(loss=interval(-0.01, 0.11)),
        None,
        "inconclusive",
    ),
    (
        "| otherwise, or evidence missing | | `inconclusive` |",
        gaps_with(),
        {"knn": USEFUL, "linear_probe": interval(-0.03, 0.031)},
        "inconclusive",
    ),
    ("| otherwise, or evidence missing | | `inconclusive` |", {}, None, "inconclusive"),
]


@pytest.mark.parametrize(("row", "gaps", "lost", "outcome"), ROWS)
def test_the_table_of_the_documentation_is_what_happens(
    row: str, gaps: Gaps, lost: Gaps | None, outcome: Outcome
) -> None:
    assert verdict.__doc__ is not None
    assert row in verdict.__doc__
    assert f"`{outcome}`" in row
    assert judge(gaps, lost).outcome == outcome


def test_every_row_of_the_table_is_tried() -> None:
    assert verdict.__doc__ is not None
    table = [line for line in verdict.__doc__.splitlines() if line.startswith("|")][2:]
    assert set(table) == {row for row, *_ in ROWS}


@pytest.mark.parametrize("name", ATTACK_NAMES)
def test_any_attack_alone_can_reveal_a_leak(name: str) -> None:
    found = judge(gaps_with(**{name: interval(0.15, 0.25)}))
    assert found.outcome == "leaks"
    assert found.reasons == (f"{name}: AUC +0.200 from the retrained model's, 90% interval +0.150 to +0.250",)


@pytest.mark.parametrize("name", [name for name in ATTACK_NAMES if name != "combined_forget"])
def test_any_directed_attack_alone_can_reveal_over_forgetting(name: str) -> None:
    found = judge(gaps_with(**{name: interval(-0.25, -0.15)}))
    assert found.outcome == "over_forgotten"
    assert found.reasons == (f"{name}: AUC -0.200 from the retrained model's, 90% interval -0.250 to -0.150",)


@pytest.mark.parametrize(("others", "outcome"), [(-0.02, "over_forgotten"), (0.02, "leaks"), (0.0, "leaks")])
def test_a_forget_set_that_stands_apart_is_judged_by_the_direction_of_the_other_attacks(
    others: float, outcome: Outcome
) -> None:
    apart = interval(0.2, 0.3)
    gaps = dict.fromkeys(ATTACK_NAMES, interval(others - 0.01, others + 0.01)) | {"combined_forget": apart}
    assert judge(gaps).outcome == outcome


def test_a_forget_set_that_stands_apart_less_than_after_retraining_is_no_fault() -> None:
    assert judge(gaps_with(combined_forget=interval(-0.3, -0.2))).outcome == "passed"
    assert judge(gaps_with(combined_forget=interval(-0.3, 0.11))).outcome == "inconclusive"


def test_a_leak_is_reported_before_over_forgetting_and_names_only_what_leaks() -> None:
    found = judge(gaps_with(loss=interval(0.2, 0.3), view_similarity=interval(-0.3, -0.2)))
    assert found.outcome == "leaks"
    assert [reason.split(":")[0] for reason in found.reasons] == ["loss"]


def test_a_sure_gap_inside_the_margin_is_accepted() -> None:
    assert judge(gaps_with(loss=interval(0.02, 0.09), gradient_norm=interval(-0.09, -0.02))).outcome == "passed"


def test_too_few_records_are_named_as_the_reason() -> None:
    found = judge(gaps_with(loss=interval(-0.4, 0.4)))
    assert found.outcome == "inconclusive"
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith("loss: AUC +0.000")
    assert "too few records to tell" in found.reasons[0]


def test_lost_accuracy_is_named_and_a_gain_is_welcome() -> None:
    found = judge(gaps_with(), {"knn": interval(0.04, 0.06), "linear_probe": interval(-0.3, -0.2)})
    assert found.outcome == "utility_lost"
    assert found.reasons == ("knn: +0.050 of accuracy lost against the retrained model, margin 0.03",)
    assert judge(gaps_with(), dict.fromkeys(UTILITIES, interval(-0.3, -0.2))).outcome == "passed"


def test_a_measure_beyond_the_required_ones_counts_too() -> None:
    extra = dict.fromkeys(UTILITIES, USEFUL) | {"classifier": interval(0.1, 0.2)}
    assert judge(gaps_with(), extra).outcome == "utility_lost"
    assert judge(gaps_with(unheard_of=interval(0.2, 0.3))).outcome == "leaks"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_none_never_passes(value: float) -> None:
    broken = Interval(estimate=value, low=value, high=value, level=0.9)
    for name in ATTACK_NAMES:
        assert judge(gaps_with(**{name: broken})).outcome != "passed"
    for name in UTILITIES:
        assert judge(gaps_with(), dict.fromkeys(UTILITIES, USEFUL) | {name: broken}).outcome != "passed"


def test_the_verdict_carries_its_evidence_and_its_margins() -> None:
    gaps, lost = gaps_with(loss=interval(0.2, 0.3)), dict.fromkeys(UTILITIES, USEFUL)
    audit = audit_of(gaps)
    found = decide(audit, lost, VerdictConfig(auc_margin=0.07, utility_margin=0.02))
    assert (found.auc_margin, found.utility_margin) == (0.07, 0.02)
    assert found.comparisons == audit.comparisons
    assert found.utility_lost == lost


def test_the_margins_decide() -> None:
    audit, lost = audit_of(gaps_with()), dict.fromkeys(UTILITIES, USEFUL)
    assert decide(audit, lost, VerdictConfig(auc_margin=0.049, utility_margin=0.03)).outcome == "inconclusive"
    assert decide(audit, lost, VerdictConfig(auc_margin=0.05, utility_margin=0.019)).outcome == "inconclusive"
    assert decide(audit, lost, VerdictConfig(auc_margin=0.05, utility_margin=0.02)).outcome == "passed"


@pytest.mark.parametrize(
    "wrong", [{"auc_margin": 0}, {"auc_margin": 0.5}, {"utility_margin": 0}, {"utility_margin": 1}]
)
def test_margins_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        VerdictConfig(**wrong)


def without_attacks(audit: Audit, model: str) -> Audit:
    bare = audit.models[model].model_copy(update={"attacks": ()})
    return audit.model_copy(update={"models": {**audit.models, model: bare}})


@pytest.mark.parametrize("model", MODELS)
def test_a_model_without_attacks_is_not_audited(model: str) -> None:
    verdict = decide(without_attacks(audit_of(gaps_with()), model), dict.fromkeys(UTILITIES, USEFUL), MARGINS)
    assert verdict.outcome == "inconclusive"
    assert f"was not run on the {model} model" in verdict.reasons[0]


@pytest.mark.parametrize("group", ["forget", "holdout"])
def test_too_few_records_cannot_pass_whatever_their_intervals_say(group: str) -> None:
    audit = audit_of(gaps_with())
    few = audit.model_copy(update={"records": {**audit.records, group: 19}})
    verdict = decide(few, dict.fromkeys(UTILITIES, USEFUL), MARGINS)
    assert verdict.outcome == "inconclusive"
    assert f"only 19 {group} records" in verdict.reasons[0]


def test_intervals_that_cover_too_little_cannot_pass() -> None:
    narrow = INSIDE.model_copy(update={"level": 0.5})
    assert judge(gaps_with(loss=narrow)).outcome == "inconclusive"
    assert judge(gaps_with(), {"knn": USEFUL, "linear_probe": narrow}).outcome == "inconclusive"


def by_references(gaps: Gaps, references: int = 8, unlearned: int = 0) -> Audit:
    names = expected_attacks(references, unlearned)
    plain = audit_of(dict.fromkeys(names, INSIDE) | dict(gaps), ("original", "candidate"))
    attacks = tuple(plain.models["original"].attacks[0].model_copy(update={"name": name}) for name in names)
    models = {name: each.model_copy(update={"attacks": attacks}) for name, each in plain.models.items()}
    comparisons = tuple(each.model_copy(update={"reference": "references"}) for each in plain.comparisons)
    changed = {"references": references, "models": models, "comparisons": comparisons}
    changed["unlearned_references"] = unlearned
    return plain.model_copy(update=changed | {"single_records": single_records()})


RECORD_NAMES: tuple[tuple[RecordMeasure, str], ...] = (
    *(("recognised", name) for name in REFERENCE_NAMES),
    ("familiar", ""),
    ("unfamiliar", ""),
    ("memory", ""),
)


def single_records(**changed: Interval) -> tuple[RecordTest, ...]:
    """Complete, inside their margins unless changed by measure, or by attack for those recognised."""
    return tuple(
        RecordTest(
            measure=measure,
            attack=attack,
            shown=0.06,
            expected=0.05,
            difference=changed.get(attack or measure, interval(-0.02, 0.03)),
        )
        for measure, attack in RECORD_NAMES
    )


def judge_records(*tests: RecordTest) -> Verdict:
    audit = by_references({}).model_copy(update={"single_records": tests})
    return decide(audit, dict.fromkeys(UTILITIES, USEFUL), MARGINS)


def test_references_stand_in_for_the_retrained_model() -> None:
    lost = dict.fromkeys(UTILITIES, USEFUL)
    found = decide(by_references({}), lost, MARGINS)
    assert found.outcome == "passed"
    assert "models not trained on the records" in found.reasons[0]
    leaking = decide(by_references({"lira_online": interval(0.2, 0.3)}), lost, MARGINS)
    assert leaking.outcome == "leaks"
    assert "lira_online: AUC +0.250 from that of models not trained on the records" in leaking.reasons[0]


def test_utility_is_compared_with_the_original_where_references_decide() -> None:
    lost = {"knn": interval(0.04, 0.06), "linear_probe": USEFUL}
    told = {audit.compared_with: decide(audit, lost, MARGINS) for audit in (audit_of(gaps_with()), by_references({}))}
    assert {name: verdict.compared_with for name, verdict in told.items()} == {each: each for each in told}
    assert told["retrained"].reasons == ("knn: +0.050 of accuracy lost against the retrained model, margin 0.03",)
    assert told["references"].reasons == ("knn: +0.050 of accuracy lost against the original, margin 0.03",)
    unsure = decide(by_references({}), dict.fromkeys(UTILITIES, interval(-0.03, 0.031)), MARGINS)
    assert "may be lost against the original, margin 0.03: too few test records" in unsure.reasons[0]
    passed = decide(by_references({}), dict.fromkeys(UTILITIES, USEFUL), MARGINS)
    assert passed.reasons[-1] == "every accuracy is within 0.03 of the original's (90 % intervals)"


@pytest.mark.parametrize("decides", ["retrained", "references"])
def test_a_comparison_with_another_than_what_decides_is_none(decides: Reference) -> None:
    audit = audit_of(gaps_with()) if decides == "retrained" else by_references({})
    other: Reference = "references" if decides == "retrained" else "retrained"
    first, *rest = audit.comparisons
    mixed = audit.model_copy(update={"comparisons": (first.model_copy(update={"reference": other}), *rest)})
    found = decide(mixed, dict.fromkeys(UTILITIES, USEFUL), MARGINS)
    assert (found.outcome, found.compared_with) == ("inconclusive", decides)
    assert found.reasons == (f"attack {first.attack} was not compared",)


@pytest.mark.parametrize("name", [*REFERENCE_NAMES, "lira_encoder", "u_lira"])
def test_with_references_their_attacks_are_asked_for(name: str) -> None:
    audit = by_references({}, unlearned=8)
    fewer = tuple(each for each in audit.comparisons if each.attack != name)
    lost = dict.fromkeys(UTILITIES, USEFUL)
    found = decide(audit.model_copy(update={"comparisons": fewer}), lost, MARGINS)
    assert found.outcome == "inconclusive"
    assert found.reasons == (f"attack {name} was not compared",)


@pytest.mark.parametrize(("others", "outcome"), [(0.02, "leaks"), (-0.02, "over_forgotten")])
def test_u_lira_says_that_records_stand_apart_and_other_attacks_whichever_way(others: float, outcome: Outcome) -> None:
    """It looks for what the method makes of forgotten records, be that too much or too little."""
    lost = dict.fromkeys(UTILITIES, USEFUL)
    gaps = dict.fromkeys(expected_attacks(8), interval(others - 0.01, others + 0.01))
    apart = decide(by_references(gaps | {"u_lira": interval(0.2, 0.3)}, unlearned=8), lost, MARGINS)
    assert (apart.outcome, apart.reasons[0].partition(":")[0]) == (outcome, "u_lira")
    # Less like records that were unlearned than records that never were seen: nothing that the method did.
    less = decide(by_references({"u_lira": interval(-0.3, -0.2)}, unlearned=8), lost, MARGINS)
    assert less.outcome == "passed"


@pytest.mark.parametrize(("beside", "outcome"), [("references", "passed"), ("retrained", "inconclusive")])
def test_u_lira_is_compared_with_references_where_a_retrained_model_decides(
    beside: Reference, outcome: Outcome
) -> None:
    audit = by_references({}, unlearned=8)
    told = tuple(
        each.model_copy(update={"reference": beside if each.attack == "u_lira" else "retrained"})
        for each in audit.comparisons
    )
    models = audit.models | {"retrained": audit.models["original"]}
    found = decide(
        audit.model_copy(update={"comparisons": told, "models": models}), dict.fromkeys(UTILITIES, USEFUL), MARGINS
    )
    assert (found.outcome, found.compared_with) == (outcome, "retrained")
    if outcome == "inconclusive":
        assert found.reasons == ("attack u_lira was not compared",)


def test_neither_retrained_model_nor_references_is_no_evidence() -> None:
    found = decide(audit_of(gaps_with(), ("original", "candidate")), dict.fromkeys(UTILITIES, USEFUL), MARGINS)
    assert found.outcome == "inconclusive"
    assert found.reasons == ("no audit of a retrained model, and no references instead",)


@pytest.mark.parametrize(("together", "outcome"), [((0.01, 0.3), "leaks"), ((-0.01, 0.3), "inconclusive")])
def test_a_leak_must_be_sure_over_all_attacks_together(together: tuple[float, float], outcome: Outcome) -> None:
    audit = audit_of(gaps_with(loss=interval(0.05, 0.2)))
    comparisons = tuple(each.model_copy(update={"simultaneous": interval(*together)}) for each in audit.comparisons)
    audit = audit.model_copy(update={"comparisons": comparisons})
    assert decide(audit, dict.fromkeys(UTILITIES, USEFUL), MARGINS).outcome == outcome


def test_the_limits_say_what_would_have_been_missed() -> None:
    few = audit_of(gaps_with())
    many = few.model_copy(update={"records": {"forget": 2000, "holdout": 2000}})
    lost = dict.fromkeys(UTILITIES, USEFUL)

    def smallest(audit: Audit) -> float:
        limits = decide(audit, lost, MARGINS).limits
        assert f"{len(ATTACK_NAMES)} attacks on {audit.records['forget']} forgotten" in limits[0]
        return float(limits[0].split("AUC below ")[1].split()[0])

    assert 0.5 < smallest(many) < 0.55 < smallest(few) < 1


@pytest.mark.parametrize(
    ("forget", "holdout", "told"), [(1, 300, False), (300, 1, False), (2, 300, True), (2, 2, True)]
)
def test_a_single_record_has_no_limits_to_tell(forget: int, holdout: int, told: bool) -> None:
    """The spread of one record is not known, so that nothing can be said of what would have been missed."""
    audit = audit_of(gaps_with()).model_copy(update={"records": {"forget": forget, "holdout": holdout}})
    assert bool(decide(audit, dict.fromkeys(UTILITIES, USEFUL), MARGINS).limits) == told


SHARES = (*REFERENCE_NAMES, "familiar", "unfamiliar")


@pytest.mark.parametrize("dropped", range(len(RECORD_NAMES)))
def test_with_references_every_measure_of_single_records_is_asked_for(dropped: int) -> None:
    tests = single_records()
    found = judge_records(*tests[:dropped], *tests[dropped + 1 :])
    assert found.outcome == "inconclusive"
    named = " by ".join(filter(None, RECORD_NAMES[dropped]))
    assert found.reasons == (f"single records were not tested: {named}",)


@pytest.mark.parametrize("name", SHARES)
def test_a_share_of_records_is_held_against_its_margin_from_above_alone(name: str) -> None:
    edge = MARGINS.record_margin
    assert judge_records(*single_records(**{name: interval(-0.5, edge)})).outcome == "passed"
    assert judge_records(*single_records(**{name: interval(-0.5, -0.1)})).outcome == "passed"
    unsure = judge_records(*single_records(**{name: interval(-0.01, edge + 1e-6)}))
    assert unsure.outcome == "inconclusive"
    assert "is not inside +0.05: too few records to tell" in unsure.reasons[0]
    sure = judge_records(*single_records(**{name: interval(0.001, edge + 1e-6)}))
    assert sure.outcome == ("over_forgotten" if name == "unfamiliar" else "leaks")


@pytest.mark.parametrize(
    ("memory", "outcome"),
    [
        ((-0.25, 0.25), "passed"),
        ((-0.01, 0.26), "inconclusive"),
        ((0.01, 0.26), "leaks"),
        ((-0.26, 0.01), "inconclusive"),
        ((-0.26, -0.01), "over_forgotten"),
        ((0.3, 0.6), "leaks"),
        ((-0.6, -0.3), "over_forgotten"),
    ],
)
def test_memory_is_held_against_its_margin_from_both_sides(memory: tuple[float, float], outcome: Outcome) -> None:
    assert judge_records(*single_records(memory=interval(*memory))).outcome == outcome


def test_what_is_sure_of_single_records_holds_for_all_tests_together() -> None:
    alone, together = interval(0.01, 0.2), interval(-0.02, 0.25)
    tests = [each.model_copy(update={"simultaneous": together}) for each in single_records(familiar=alone)]
    assert judge_records(*tests).outcome == "inconclusive"


def test_a_leak_of_single_records_is_told_with_its_numbers() -> None:
    found = judge_records(*single_records(lira_online=interval(0.10, 0.30)))
    assert found.reasons == (
        "recognised by lira_online at 1 % false positives: 0.060, for models not trained on them 0.050, "
        "difference +0.200, 90% interval +0.100 to +0.300",
    )


@pytest.mark.parametrize("name", ["loss", "memory", "rmia"])
def test_a_small_leak_that_is_still_seen_is_told_of_what_passed(name: str) -> None:
    small = interval(0.001, 0.04)
    audit = by_references({"loss": small} if name == "loss" else {})
    tests = single_records() if name == "loss" else single_records(**{name: small})
    found = decide(audit.model_copy(update={"single_records": tests}), dict.fromkeys(UTILITIES, USEFUL), MARGINS)
    assert found.outcome == "passed"
    told = [reason for reason in found.reasons if reason.startswith("a small leak is still seen: ")]
    assert len(told) == 1
    assert name in told[0] or "individual memory" in told[0]
    assert not [reason for reason in judge_records(*single_records()).reasons if "small leak" in reason]


def test_where_single_records_were_not_tested_the_limits_say_why() -> None:
    lost = dict.fromkeys(UTILITIES, USEFUL)
    plain = decide(audit_of(gaps_with()), lost, MARGINS)
    assert plain.outcome == "passed"
    assert any("no reference models were there to ask" in limit for limit in plain.limits)
    grouped = by_references({}).model_copy(update={"single_records": (), "grouped": True})
    found = decide(grouped, lost, MARGINS)
    assert found.outcome == "passed"
    assert any("others of the group" in limit for limit in found.limits)
    assert not any("single records were not tested" in limit for limit in judge_records(*single_records()).limits)


@given(
    record=st.fixed_dictionaries(dict.fromkeys((*SHARES, "memory"), intervals(0.05))),
    kept=st.lists(st.sampled_from(RECORD_NAMES), unique=True),
    whole=st.booleans(),
)
def test_no_single_records_pass_without_complete_evidence_inside_the_margins(
    record: dict[str, Interval], kept: list[tuple[RecordMeasure, str]], whole: bool
) -> None:
    tests = [each for each in single_records(**record) if whole or (each.measure, each.attack) in kept]
    found = judge_records(*tests)
    inside = all(record[name].high <= MARGINS.record_margin for name in SHARES)
    memory = record["memory"]
    inside = inside and -MARGINS.memory_margin <= memory.low and memory.high <= MARGINS.memory_margin
    complete = whole or len(kept) == len(RECORD_NAMES)
    assert (found.outcome == "passed") == (inside and complete)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", [*SHARES, "memory"])
def test_a_number_of_single_records_that_is_none_never_passes(name: str, value: float) -> None:
    broken = Interval(estimate=value, low=value, high=value, level=0.9)
    assert judge_records(*single_records(**{name: broken})).outcome != "passed"


# What was forgotten before.


def before_of(gaps: Gaps, records: int = 20, untested: int | None = 0) -> ForgottenBefore:
    comparisons = tuple(Comparison(attack=name, difference=gap) for name, gap in gaps.items())
    return ForgottenBefore(records=records, untested=untested, comparisons=comparisons)


def judge_both(gaps: Gaps, before: ForgottenBefore | None) -> Verdict:
    audit = audit_of(gaps).model_copy(update={"forgotten_before": before})
    return decide(audit, dict.fromkeys(UTILITIES, USEFUL), MARGINS)


KINDS: dict[Outcome, Interval] = {
    "passed": INSIDE,
    "inconclusive": interval(-0.05, 0.2),
    "over_forgotten": interval(-0.3, -0.2),
    "leaks": interval(0.2, 0.3),
}
"""What one attack has to say for an outcome, the mildest first."""


@pytest.mark.parametrize("now", KINDS)
@pytest.mark.parametrize("then", KINDS)
def test_the_worse_of_what_is_forgotten_now_and_before_decides(now: Outcome, then: Outcome) -> None:
    found = judge_both(gaps_with(loss=KINDS[now]), before_of(gaps_with(loss=KINDS[then])))
    order = list(KINDS)
    assert found.outcome == max(now, then, key=order.index)
    told = {reason.startswith("20 records forgotten before: ") for reason in found.reasons}
    assert (True in told) == (order.index(then) >= order.index(now))
    assert (False in told) == (order.index(now) >= order.index(then))
    assert found.forgotten_before == before_of(gaps_with(loss=KINDS[then]))


def test_where_nothing_was_forgotten_before_nothing_is_said_of_it() -> None:
    found = judge_both(gaps_with(), None)
    assert (found.outcome, found.forgotten_before) == ("passed", None)
    assert not any("before" in each for each in (*found.reasons, *found.limits))


@pytest.mark.parametrize("name", ATTACK_NAMES)
def test_every_attack_is_asked_for_on_what_was_forgotten_before(name: str) -> None:
    gaps = {each: gap for each, gap in gaps_with().items() if each != name}
    found = judge_both(gaps_with(), before_of(gaps))
    assert found.outcome == "inconclusive"
    assert found.reasons == (f"20 records forgotten before: attack {name} was not compared",)
    other = tuple(
        each.model_copy(update={"reference": "references" if each.attack == name else "retrained"})
        for each in before_of(gaps_with()).comparisons
    )
    assert judge_both(gaps_with(), before_of({}).model_copy(update={"comparisons": other})).reasons == found.reasons


def test_a_narrow_interval_on_what_was_forgotten_before_is_no_evidence_either() -> None:
    narrow = INSIDE.model_copy(update={"level": 0.5})
    assert judge_both(gaps_with(), before_of(gaps_with(loss=narrow))).outcome == "inconclusive"


@pytest.mark.parametrize(
    ("loss", "outcome"), [("passed", "passed"), ("inconclusive", "passed"), ("leaks", "leaks")]
)  # fmt: skip
def test_fewer_than_can_be_judged_speak_only_where_they_fail_for_sure(loss: Outcome, outcome: Outcome) -> None:
    found = judge_both(gaps_with(), before_of(gaps_with(loss=KINDS[loss]), records=19))
    assert found.outcome == outcome
    assert (
        "19 records forgotten before: too few to be judged by themselves, at least 20 are needed; only what is sure "
        "was held against the margins"
    ) in found.limits


@pytest.mark.parametrize(
    ("untested", "who"),
    [(1, "1 record"), (12, "12 records"), (None, "records, nobody can say how many,")],
)
def test_what_could_not_be_tested_again_is_a_limit_with_the_number_of_records(untested: int | None, who: str) -> None:
    found = judge_both(gaps_with(), ForgottenBefore(records=0, untested=untested))
    assert found.outcome == "passed", "what nobody can see any more keeps nothing from being promoted"
    assert (
        f"not tested again, since no image of them is kept any more: {who} forgotten before; if forgetting others has "
        "brought them back, it would not have been found"
    ) in found.limits
    both = judge_both(gaps_with(), before_of(gaps_with(), untested=untested))
    assert (both.outcome, len(both.limits)) == ("passed", len(found.limits))
    assert len(judge_both(gaps_with(), before_of(gaps_with())).limits) == len(found.limits) - 1


@pytest.mark.parametrize(("why", "told"), list(verdict.WHY_UNTESTED.items()))
def test_why_it_could_not_be_is_said(why: str, told: str) -> None:
    before = ForgottenBefore.model_validate({"records": 0, "untested": 3, "why": why})
    assert any(f"since {told}: 3 records" in each for each in judge_both(gaps_with(), before).limits)


def test_a_leak_of_what_was_forgotten_before_speaks_against_a_qualified_method() -> None:
    audit = audit_of(gaps_with()).model_copy(update={"forgotten_before": before_of(gaps_with(loss=KINDS["leaks"]))})
    (told,) = verdict.surely_apart(audit, MARGINS)
    assert told.startswith("20 records forgotten before: loss: AUC +0.250")
