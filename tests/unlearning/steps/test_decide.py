from __future__ import annotations

from pathlib import Path

import pytest

from unlearning.audit.results import Verdict
from unlearning.errors import UserError
from unlearning.files import read_json, write_json
from unlearning.steps.decide import decide, load_verdict

Chain = dict[str, Path]


def decide_into(chain: Chain, path: Path, auc_margin: float = 0.49, evaluation: Path | None = None) -> Verdict:
    return decide(
        audit_path=chain["audit"],
        evaluation_path=evaluation or chain["evaluation"],
        auc_margin=auc_margin,
        utility_margin=0.9,
        verdict_path=path,
    )


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
        decide_into(chain, tmp_path / "verdict", evaluation=tmp_path / "evaluation")
    assert not (tmp_path / "verdict").exists()


def test_an_evaluation_from_before_forgetting_is_refused(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="disagree"):
        decide_into(chain, tmp_path / "verdict", evaluation=chain["before"])


@pytest.mark.parametrize("margin", [0.0, -0.1, 0.5, float("nan")])
def test_a_margin_without_meaning_is_refused_in_one_line(chain: Chain, tmp_path: Path, margin: float) -> None:
    with pytest.raises(UserError, match="auc_margin") as caught:
        decide_into(chain, tmp_path / "verdict", auc_margin=margin)
    assert "\n" not in str(caught.value)


def test_a_verdict_with_an_unknown_outcome_is_refused(chain: Chain, tmp_path: Path) -> None:
    write_json(tmp_path / "verdict", read_json(chain["passed"], "verdict") | {"outcome": "fine"})
    with pytest.raises(UserError, match="is not valid"):
        load_verdict(tmp_path / "verdict")
