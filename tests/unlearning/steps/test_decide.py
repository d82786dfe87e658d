from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.margins import WIDE
from unlearning.audit.escalation import ATTEMPTS
from unlearning.audit.policy import Policy
from unlearning.audit.results import load_audit, load_evaluation, load_verdict
from unlearning.audit.verdict import complete
from unlearning.core.config import checked
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.steps.decide import Decision, decide

Chain = dict[str, Path]


def decide_into(chain: Chain, path: Path, **changed: Any) -> Decision:
    given: dict[str, Any] = {"audit_path": chain["audit"], "evaluation_path": chain["evaluation"]}
    policy = checked(Policy, WIDE | {name: changed.pop(name) for name in Policy.model_fields if name in changed})
    return decide(**given | {"method": "gradient_matching"} | changed, policy=policy, verdict_path=path)


def few(chain: Chain, folder: Path) -> Path:
    """The same audit, had there been too few forgotten records to tell."""
    audit = read_json(chain["audit"], "audit")
    write_json(folder / "audit", audit | {"records": audit["records"] | {"forget": 6}})
    return folder / "audit"


def test_wide_margins_pass_and_are_recorded(chain: Chain) -> None:
    verdict = load_verdict(chain["passed"])
    assert (verdict.outcome, verdict.auc_margin, verdict.utility_margin) == ("passed", 0.49, 0.9)


def test_no_candidate_can_pass_a_margin_that_no_interval_fits_into(chain: Chain) -> None:
    verdict = load_verdict(chain["failed"])
    assert verdict.outcome in {"leaks", "over_forgotten", "inconclusive"}
    assert verdict.reasons


def test_the_same_evidence_gives_the_same_verdict(chain: Chain, tmp_path: Path) -> None:
    decide_into(chain, tmp_path / "verdict")
    assert (tmp_path / "verdict").read_bytes() == chain["passed"].read_bytes()


@pytest.mark.parametrize("name", ["original", "candidate", "retrained"])
def test_an_evaluation_of_another_model_is_refused(chain: Chain, tmp_path: Path, name: str) -> None:
    evaluation = read_json(chain["evaluation"], "evaluation")
    evaluation["models"][name] = "0" * 64
    write_json(tmp_path / "evaluation", evaluation)
    with pytest.raises(UserError, match=f"disagree on which model is the {name}"):
        decide_into(chain, tmp_path / "verdict", evaluation_path=tmp_path / "evaluation")
    assert not (tmp_path / "verdict").exists()


def test_an_evaluation_from_before_forgetting_is_refused(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="disagree"):
        decide_into(chain, tmp_path / "verdict", evaluation_path=chain["before"])


def test_the_verdict_says_what_was_compared_with(chain: Chain, by_references: Chain, tmp_path: Path) -> None:
    given = {"audit_path": by_references["audit"], "evaluation_path": by_references["evaluation"]}
    assert decide_into(chain, tmp_path / "verdict").verdict.compared_with == "retrained"
    verdict = decide_into(chain, tmp_path / "verdict", **given).verdict
    assert (verdict.outcome, verdict.compared_with) == ("passed", "references")
    assert load_verdict(tmp_path / "verdict") == verdict
    assert "the retrained model" not in " ".join(verdict.reasons)
    assert "of models not trained on the records" in verdict.reasons[0]
    assert verdict.reasons[-1] == "every accuracy is within 0.9 of the original's (90 % intervals)"


@pytest.mark.parametrize("which", ["audit", "evaluation"])
def test_attacks_and_accuracy_are_compared_with_models_that_belong_together(
    chain: Chain, by_references: Chain, tmp_path: Path, which: str
) -> None:
    """A candidate that lost against the original could pass against a retrained model that lost more, and the page
    would not say so."""
    given = {f"{which}_path": by_references[which]}
    with pytest.raises(UserError, match=r"run both on the same models|disagree on which model is the retrained"):
        decide_into(chain, tmp_path / "verdict", **given)
    assert not (tmp_path / "verdict").exists()


def test_the_right_model_decides_on_utility(chain: Chain, by_references: Chain, tmp_path: Path) -> None:
    """Lost against the original, and more than the margin: what a retrained model would have lost is no excuse."""
    evaluation = read_json(by_references["evaluation"], "evaluation")
    evaluation["utility_lost"]["knn"] = {"estimate": 0.2, "low": 0.15, "high": 0.25, "level": 0.9}
    write_json(tmp_path / "evaluation", evaluation)
    given: dict[str, Any] = {"audit_path": by_references["audit"], "evaluation_path": tmp_path / "evaluation"}
    decided = decide_into(chain, tmp_path / "verdict", **given, utility_margin=0.1)
    assert decided.verdict.outcome == "utility_lost"
    assert decided.verdict.reasons == ("knn: +0.200 of accuracy lost against the original, margin 0.1",)
    write_json(tmp_path / "evaluation", evaluation | {"lost_against": "retrained"})
    with pytest.raises(UserError, match="accuracy is to be compared with the original model's, but the evaluation"):
        decide_into(chain, tmp_path / "verdict", **given, utility_margin=0.1)


@pytest.mark.parametrize("margin", [0.0, -0.1, 0.5, float("nan")])
def test_a_margin_without_meaning_is_refused_in_one_line(chain: Chain, tmp_path: Path, margin: float) -> None:
    with pytest.raises(UserError, match="auc_margin") as caught:
        decide_into(chain, tmp_path / "verdict", auc_margin=margin)
    assert "\n" not in str(caught.value)


def test_a_verdict_with_an_unknown_outcome_is_refused(chain: Chain, tmp_path: Path) -> None:
    write_json(tmp_path / "verdict", read_json(chain["passed"], "verdict") | {"outcome": "fine"})
    with pytest.raises(UserError, match="is not valid"):
        load_verdict(tmp_path / "verdict")


@pytest.mark.parametrize(
    ("chosen", "action"),
    [({}, "retrain"), ({"on_failure": "stop"}, "person"), ({"stronger": 2, "on_inconclusive": "accept"}, "retrain")],
)
def test_what_diverged_never_passes_though_the_model_in_its_place_would(
    diverged_chain: Chain, tmp_path: Path, chosen: dict[str, Any], action: str
) -> None:
    decided = decide_into(diverged_chain, tmp_path / "verdict", **chosen)
    assert (decided.verdict.outcome, decided.action) == ("diverged", action)
    assert "the loss became nan" in decided.verdict.reasons[0]
    honest = read_json(diverged_chain["audit"], "audit")
    write_json(tmp_path / "audit", honest | {"diverged": ""})
    assert decide_into(diverged_chain, tmp_path / "verdict", audit_path=tmp_path / "audit").action == "promote"


@pytest.mark.parametrize(
    ("chosen", "action"),
    [({}, "retrain"), ({"on_inconclusive": "stop"}, "person"), ({"on_inconclusive": "accept"}, "accept")],
)
def test_what_follows_too_few_records_is_the_policys(
    chain: Chain, tmp_path: Path, chosen: dict[str, str], action: str
) -> None:
    decided = decide_into(chain, tmp_path / "verdict", audit_path=few(chain, tmp_path), **chosen)
    assert (decided.verdict.outcome, decided.action) == ("inconclusive", action)
    assert load_verdict(tmp_path / "verdict") == decided.verdict


@pytest.mark.parametrize(("method", "action"), [("gradient_matching", "stronger"), ("retrain", "retrain")])
def test_a_leak_is_met_with_an_escalated_setting_if_the_method_has_any(
    chain: Chain, tmp_path: Path, method: str, action: str
) -> None:
    audit = read_json(chain["audit"], "audit")
    for comparison in audit["comparisons"]:
        comparison["difference"] |= {"estimate": 0.3, "low": 0.2, "high": 0.4}
        comparison["simultaneous"] = None
    write_json(tmp_path / "audit", audit)
    decided = decide_into(chain, tmp_path / "verdict", audit_path=tmp_path / "audit", auc_margin=0.1, method=method)
    assert (decided.verdict.outcome, decided.action) == ("leaks", action)


def test_a_passed_candidate_is_promoted_from_every_attempt(chain: Chain, tmp_path: Path) -> None:
    for attempt in ATTEMPTS:
        assert decide_into(chain, tmp_path / "verdict", attempt=attempt).action == "promote"


def test_an_attack_that_is_missing_is_not_a_matter_of_records(chain: Chain, tmp_path: Path) -> None:
    """It could be accepted unseen otherwise."""
    evaluation = load_evaluation(chain["evaluation"])
    assert complete(load_audit(chain["audit"]), evaluation)
    assert complete(load_audit(few(chain, tmp_path)), evaluation)
    assert not complete(load_audit(chain["audit"]), evaluation.model_copy(update={"utility_lost": {}}))
    audit = read_json(few(chain, tmp_path), "audit")
    for missing in range(len(audit["comparisons"])):
        kept = [each for index, each in enumerate(audit["comparisons"]) if index != missing]
        write_json(tmp_path / "audit", audit | {"comparisons": kept})
        assert not complete(load_audit(tmp_path / "audit"), evaluation)
    decided = decide_into(chain, tmp_path / "verdict", audit_path=tmp_path / "audit", on_inconclusive="accept")
    assert (decided.verdict.outcome, decided.action) == ("inconclusive", "person")


@pytest.mark.parametrize(
    "changed", [{"attempt": "roof"}, {"stronger": 3}, {"on_failure": "accept"}, {"on_inconclusive": "it's"}]
)
def test_an_escalation_policy_without_meaning_is_refused_and_writes_nothing(
    chain: Chain, tmp_path: Path, changed: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=next(iter(changed))):
        decide_into(chain, tmp_path / "verdict", **changed)
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_asks_for_u_lira_takes_no_audit_without_it(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unlearned_references 8: in the audit 0 references were unlearned"):
        decide_into(chain, tmp_path / "verdict", unlearned_references=8)
    assert not (tmp_path / "verdict").exists()
    for exempt in ({"method": "retrain"}, {"attempt": "retrained"}):
        assert decide_into(chain, tmp_path / "verdict", unlearned_references=8, **exempt).verdict.outcome == "passed"
    audit = read_json(chain["audit"], "audit")
    write_json(tmp_path / "audit", audit | {"unlearned_references": 8})
    claimed = decide_into(chain, tmp_path / "verdict", unlearned_references=8, audit_path=tmp_path / "audit")
    assert claimed.verdict.outcome == "inconclusive"
    assert "attack u_lira was not run on the candidate model" in claimed.verdict.reasons
