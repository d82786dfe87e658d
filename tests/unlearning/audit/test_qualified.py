from __future__ import annotations

from typing import Any

import pytest

from tests.unlearning.audit.test_qualification_results import qualification
from unlearning.audit.attacks import ASKING_REFERENCES, expected_attacks
from unlearning.audit.policy import Margins
from unlearning.audit.qualified import qualified_by, speaks_against
from unlearning.audit.results import (
    Accuracies,
    AttackResult,
    Audit,
    Comparison,
    EvaluationReport,
    Interval,
    ModelAudit,
    PerRecord,
    RecordTest,
    Roc,
)

MARGINS = Margins(auc_margin=0.1, utility_margin=0.03)
ANY = Interval(estimate=0.5, low=0.1, high=0.9)
WIDE = Interval(estimate=0.0, low=-0.5, high=0.5, level=0.9)
Attack = dict[str, Interval]
SINGLE = tuple(
    RecordTest(measure=measure, attack=attack, shown=0.0, expected=0.05, difference=WIDE, simultaneous=WIDE)
    for measure, attack in (
        *(("recognised", name) for name in ASKING_REFERENCES),
        ("familiar", ""),
        ("unfamiliar", ""),
        ("memory", ""),
    )
)


def model(digest: str, pooled: float = 0.5, towards_members: bool = True) -> ModelAudit:
    roc = Roc(false_positive_rate=(0.0, 1.0), true_positive_rate=(0.0, 1.0))
    return ModelAudit(
        model=digest,
        attacks=tuple(AttackResult(name=name, auc=ANY, tpr_at_1_fpr=ANY, roc=roc) for name in expected_attacks(16)),
        retained_auc=ANY,
        per_record=PerRecord(records=3, suspicious=ANY, unfamiliar=ANY, pooled=pooled, towards_members=towards_members),
        signals=(),
    )


def audited(gaps: dict[str, Interval] | None = None, single: dict[str, Any] | None = None, **changed: Any) -> Audit:
    comparisons = tuple(
        Comparison(attack=name, reference="references", difference=WIDE, simultaneous=(gaps or {}).get(name, WIDE))
        for name in expected_attacks(16)
    )
    given: dict[str, Any] = {
        "records": {"forget": 3, "holdout": 2_000}, "seed": 0, "split": "b" * 64, "forget": "f" * 64, "references": 16,
        "models": {"original": model("a" * 64), "candidate": model("c" * 64, **single or {})},
        "comparisons": comparisons, "single_records": SINGLE,
    }  # fmt: skip
    return Audit(**given | changed)


def evaluated(lost: float = 0.0) -> EvaluationReport:
    interval = Interval(estimate=lost, low=lost - 0.05, high=lost + 0.05, level=0.9)
    accuracies = Accuracies(knn=ANY, linear_probe=ANY)
    return EvaluationReport(
        models={"original": "a" * 64, "candidate": "c" * 64},
        accuracies={"original": accuracies, "candidate": accuracies},
        utility_lost={"knn": interval, "linear_probe": interval},
        lost_against="original",
    )


FOUND = (qualification(1), qualification(3), qualification(10))
MADE: dict[str, Any] = {"method": "gradient_matching", "settings": {"weight": 1.0}, "attempt": "first"}


def sizes(audit: Audit, evaluation: EvaluationReport, **changed: Any) -> list[int]:
    found = qualified_by(FOUND, audit, evaluation, **{**MADE, "margins": MARGINS, **changed})
    return [each.size for each in found]


def test_a_candidate_of_a_qualified_method_may_serve_where_its_own_audit_cannot_tell() -> None:
    assert sizes(audited(), evaluated()) == [3]
    assert sizes(audited(records={"forget": 5, "holdout": 2_000}), evaluated()) == [3, 10]
    assert sizes(audited(records={"forget": 11, "holdout": 2_000}), evaluated()) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"attempt": "stronger_1"},
        {"attempt": "retrained"},
        {"method": "finetune"},
        {"settings": {"weight": 3.0}},
        {"margins": Margins(auc_margin=0.09, utility_margin=0.03)},
        {"margins": Margins(auc_margin=0.1, utility_margin=0.02)},
    ],
)
def test_another_attempt_method_or_setting_is_not_what_was_qualified_and_margins_count(changed: dict[str, Any]) -> None:
    assert sizes(audited(), evaluated(), **changed) == []


@pytest.mark.parametrize("changed", [{"split": "d" * 64}, {"models": {"original": model("d" * 64)}}])
def test_another_original_or_other_data_is_not_what_was_qualified(changed: dict[str, Any]) -> None:
    models = {"candidate": model("c" * 64)} | changed.get("models", {"original": model("a" * 64)})
    assert sizes(audited(**changed | {"models": models}), evaluated()) == []


def test_a_retrained_model_to_compare_with_is_another_comparison() -> None:
    models = {"original": model("a" * 64), "candidate": model("c" * 64), "retrained": model("e" * 64)}
    comparisons = tuple(each.model_copy(update={"reference": "retrained"}) for each in audited().comparisons)
    assert sizes(audited(models=models, comparisons=comparisons), evaluated()) == []


def test_an_attack_or_accuracy_that_is_missing_leaves_it_to_a_person() -> None:
    assert sizes(audited(comparisons=audited().comparisons[1:]), evaluated()) == []
    assert sizes(audited(), evaluated().model_copy(update={"utility_lost": {}})) == []


@pytest.mark.parametrize(
    ("audit", "evaluation", "told"),
    [
        (audited({"rmia": Interval(estimate=0.3, low=0.01, high=0.5)}), evaluated(), "rmia: AUC"),
        (audited({"loss": Interval(estimate=-0.3, low=-0.5, high=-0.01)}), evaluated(), "loss: AUC"),
        (audited(single={"pooled": 0.04}), evaluated(), "record by record they look known: p = 0.040"),
        (audited(), evaluated(0.031), "knn: +0.031 of accuracy lost"),
        (audited(diverged="the loss became nan"), evaluated(), "the loss became nan"),
    ],
)
def test_what_its_own_audit_says_against_it_counts(audit: Audit, evaluation: EvaluationReport, told: str) -> None:
    assert speaks_against(audit, evaluation, MARGINS)[0].startswith(told)
    assert sizes(audit, evaluation) == []


@pytest.mark.parametrize("single", [{"pooled": 0.06}, {"pooled": 0.001, "towards_members": False}])
def test_chance_and_unfamiliar_records_do_not_speak_against_it(single: dict[str, Any]) -> None:
    assert speaks_against(audited(single=single), evaluated(), MARGINS) == []


def test_a_single_record_that_is_recognised_for_sure_speaks_against() -> None:
    sure = Interval(estimate=0.5, low=0.2, high=0.8, level=0.95)
    known = (SINGLE[0].model_copy(update={"simultaneous": sure}), *SINGLE[1:])
    audit = audited(single_records=known)
    assert sizes(audit, evaluated()) == []
    assert "recognised by" in speaks_against(audit, evaluated(), MARGINS)[0]
