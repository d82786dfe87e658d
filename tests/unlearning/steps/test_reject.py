from __future__ import annotations

from pathlib import Path

import pytest

from tests.unlearning.steps.registered import champion, versions
from unlearning.audit import escalation
from unlearning.audit.policy import Policy
from unlearning.core.errors import UserError
from unlearning.learning import models
from unlearning.registry.candidate import CandidateEvidence
from unlearning.registry.client import Version
from unlearning.steps.promote import evidence_at, promote
from unlearning.steps.reject import note_diverged, reject

Chain = dict[str, Path]
Paths = dict[str, Path]


def test_a_failed_candidate_is_kept_on_record_and_the_champion_stays(
    parent: Version, failed: CandidateEvidence
) -> None:
    kept = reject(failed, model_name=parent.name, parent="1", run_name="run")
    assert (kept.version, kept.aliases, kept.tags.status) == ("2", (), "rejected")
    assert kept.tags.verdict == failed.verdict.outcome != "passed"
    assert champion(parent.name) == "1"
    assert reject(failed, model_name=parent.name, parent="1", run_name="run") == kept


def test_what_diverged_is_on_record_and_nowhere_else(
    parent: Version, diverged: Paths, chain: Chain, tmp_path: Path
) -> None:
    given = evidence_at(**diverged)
    note_diverged(given, action="retrain", attempts_path=tmp_path / "attempts")
    (attempt,) = escalation.load_attempts(tmp_path / "attempts")
    found = (attempt.name, attempt.verdict.outcome, attempt.action, attempt.version)
    assert found == ("first", "diverged", "retrain", "none")
    assert attempt.verdict.reasons == (given.made.diverged,)
    assert attempt.digest == models.digest(chain["model"])
    with pytest.raises(UserError, match="verdict diverged: only a passed candidate can be promoted"):
        promote(given, model_name=parent.name, parent="1", run_name="run", policy=Policy(on_inconclusive="accept"))
    with pytest.raises(UserError, match="there is nothing to register"):
        reject(given, model_name=parent.name, parent="1", run_name="run")
    assert versions(parent.name) == [parent]


def test_only_what_diverged_is_noted_as_such(diverged: Paths, failed: CandidateEvidence, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the method made a model"):
        note_diverged(failed, action="retrain", attempts_path=tmp_path / "attempts")
    for action, problem in (("accept", "lets the candidate serve"), ("roof", "is unknown")):
        with pytest.raises(UserError, match=problem):
            note_diverged(evidence_at(**diverged), action=action, attempts_path=tmp_path / "attempts")
    assert list(tmp_path.iterdir()) == []


def test_a_passed_candidate_cannot_be_rejected(parent: Version, evidence: Paths) -> None:
    with pytest.raises(UserError, match="promote the candidate instead"):
        reject(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run")
    assert versions(parent.name) == [parent]


@pytest.mark.parametrize("action", ["promote", "accept", "forget it"])
def test_a_rejected_candidate_does_not_serve_next(parent: Version, failed: CandidateEvidence, action: str) -> None:
    with pytest.raises(UserError, match="action"):
        reject(failed, model_name=parent.name, parent="1", run_name="run", action=action)
    assert versions(parent.name) == [parent]
