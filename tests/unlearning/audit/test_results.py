from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from unlearning.audit.results import (
    AttackResult,
    Audit,
    Comparison,
    Interval,
    ModelAudit,
    Rates,
    Roc,
    Verdict,
    confusion,
    farthest,
    load_audit,
    roc_points,
    strongest_attack,
)
from unlearning.core.errors import UserError

SURE = Interval(estimate=0.5, low=0.4, high=0.6)


def attack(name: str, auc: float, points: int = 3) -> AttackResult:
    rates = tuple(index / max(points - 1, 1) for index in range(points))
    return AttackResult(
        name=name,
        auc=Interval(estimate=auc, low=auc, high=auc),
        tpr_at_1_fpr=SURE,
        roc=Roc(false_positive_rate=rates, true_positive_rate=tuple(rate**auc for rate in rates)),
    )


def model(**attacks: float) -> ModelAudit:
    return ModelAudit(
        model="0" * 64,
        attacks=tuple(attack(name, auc, points=3 + number) for number, (name, auc) in enumerate(attacks.items())),
        retained_auc=SURE,
        signals=(),
    )


@pytest.fixture
def audit() -> Audit:
    models = {"original": model(a=0.6, b=0.9, c=0.7), "candidate": model(a=0.99, b=0.5, c=0.4)}
    return Audit(records={}, seed=0, split="s", forget="f", models=models, comparisons=())


def test_the_strongest_attack_is_the_one_with_the_largest_area() -> None:
    assert strongest_attack(model(a=0.6, b=0.9, c=0.7)) == "b"
    assert strongest_attack(model(a=0.1, b=0.05)) == "a"


@pytest.mark.parametrize("name", ["original", "candidate"])
def test_the_curve_drawn_is_that_of_the_originals_strongest_attack(audit: Audit, name: str) -> None:
    false_rate, true_rate, thresholds = roc_points(audit, name)
    chosen = audit.models[name].attacks[1].roc
    assert false_rate == list(chosen.false_positive_rate)
    assert true_rate == list(chosen.true_positive_rate)
    assert thresholds == pytest.approx([1, 2 / 3, 1 / 3, 0])


@pytest.mark.parametrize("forgotten", [7, 40])
@pytest.mark.parametrize("holdout", [5, 90])
@pytest.mark.parametrize(("caught", "false"), [(0, 0), (1, 0), (3, 2), (7, 5), (0, 4)])
def test_the_answers_of_an_attack_are_counted_back_from_its_rates(
    audit: Audit, forgotten: int, holdout: int, caught: int, false: int
) -> None:
    """Rates as the attack reports them, from counts; where nobody is caught false positives cannot be known."""
    called = caught + false
    precision = Interval(estimate=caught / called, low=0, high=1) if called else None
    told = Rates(
        accuracy=(caught / forgotten + 1 - false / holdout) / 2,
        precision=precision,
        recall=Interval(estimate=caught / forgotten, low=0, high=1),
        tpr_at_01_fpr=SURE,
        resolved=False,
    )
    attacks = tuple(each.model_copy(update={"rates": told}) for each in audit.models["candidate"].attacks)
    models = audit.models | {"candidate": audit.models["candidate"].model_copy(update={"attacks": attacks})}
    whole = audit.model_copy(update={"models": models, "records": {"forget": forgotten, "holdout": holdout}})
    names, counts = confusion(whole, "candidate") or ([], [])
    assert names == ["member", "non-member"]
    wrong = false if caught else 0
    assert counts == [[caught, forgotten - caught], [wrong, holdout - wrong]]


def test_an_attack_that_gives_no_answer_has_no_counts(audit: Audit) -> None:
    assert confusion(audit, "candidate") is None


def test_thresholds_fall_from_one_to_zero_and_are_finite() -> None:
    """KFP refuses a curve whose lists differ in length and one with infinite thresholds."""
    for points in (1, 2, 201):
        only = ModelAudit(model="0", attacks=(attack("a", 0.7, points),), retained_auc=SURE, signals=())
        audit = Audit(records={}, seed=0, split="", forget="", models={"original": only}, comparisons=())
        lists = roc_points(audit, "original")
        assert [len(each) for each in lists] == [points] * 3
        assert lists[2] == sorted(lists[2], reverse=True)
        assert lists[2][0] == 1
        assert lists[2][-1] == (0 if points > 1 else 1)


@pytest.mark.parametrize("level", [0, 1, -0.5, 95])
def test_a_level_is_a_share(level: float) -> None:
    with pytest.raises(ValidationError, match="level"):
        Interval(estimate=0, low=0, high=0, level=level)


@pytest.mark.parametrize("change", [{"note": "unknown"}, {"seed": "many"}, {"comparisons": [{"attack": "a"}]}])
def test_what_is_not_an_audit_is_refused(audit: Audit, change: dict[str, Any]) -> None:
    document = audit.model_dump(mode="json")
    assert Audit.model_validate(document) == audit
    with pytest.raises(ValidationError, match=next(iter(change))):
        Audit.model_validate(document | change)


def test_only_the_six_outcomes_exist() -> None:
    values: dict[str, Any] = {"reasons": (), "auc_margin": 0.1, "utility_margin": 0.1, "compared_with": "retrained"}
    for outcome in ("passed", "leaks", "over_forgotten", "utility_lost", "diverged", "inconclusive"):
        assert Verdict(outcome=outcome, comparisons=(), utility_lost={}, **values).outcome == outcome
    with pytest.raises(ValidationError, match="outcome"):
        Verdict.model_validate(values | {"outcome": "probably fine", "comparisons": (), "utility_lost": {}})


def test_results_cannot_be_changed_afterwards(audit: Audit) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        audit.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize("content", ["{}", "[]", "", '{"seed": "x"}'])
def test_a_damaged_audit_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "audit").write_text(content)
    with pytest.raises(UserError, match="audit") as caught:
        load_audit(tmp_path / "audit")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("attack", "inside"), [("loss", False), ("combined_forget", True), ("u_lira", True)])
def test_less_set_apart_than_by_chance_is_no_fault_where_the_sign_tells_nothing(attack: str, inside: bool) -> None:
    below = Comparison(attack=attack, difference=Interval(estimate=-0.2, low=-0.3, high=-0.1))
    assert below.within(0.05) == inside
    above = Comparison(attack=attack, difference=Interval(estimate=0.02, low=0.0, high=0.051))
    assert not above.within(0.05)
    assert above.within(0.051)


def compared(attack: str, low: float, high: float) -> Comparison:
    return Comparison(attack=attack, difference=Interval(estimate=(low + high) / 2, low=low, high=high, level=0.9))


def test_the_farthest_comparison_is_judged_by_the_end_of_its_interval_that_is_a_fault() -> None:
    near, over, wide = compared("loss", -0.01, 0.03), compared("rmia", 0.05, 0.06), compared("lira_online", -0.2, 0.01)
    assert [each.reach for each in (near, over, wide)] == [0.03, 0.06, 0.2]
    assert farthest([near, over, wide]) is wide
    assert farthest([near, over]) is over
    assert farthest([]) is None
    fitted = compared("combined_forget", -0.3, 0.02)  # less set apart than by chance is no fault
    assert fitted.reach == 0.02
    assert farthest([fitted, near]) is near
    assert compared("u_lira", -0.3, -0.1).reach == 0
