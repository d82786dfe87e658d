from __future__ import annotations

import pytest

from tests.unlearning.histories import MODEL, History
from unlearning.audit.results import Audit, Verdict
from unlearning.core.errors import UserError
from unlearning.lineage.audits import audited
from unlearning.registry.tags import Tags
from unlearning.registry.versions import Version


@pytest.fixture
def evidence(history: History) -> tuple[Version, Audit, Verdict]:
    version = history.registry.resolve(MODEL, "3")
    folder = history.folder / "evidence" / MODEL / version.tags.digest[:8]
    return (
        version,
        Audit.model_validate_json((folder / "audit").read_text()),
        Verdict.model_validate_json((folder / "verdict").read_text()),
    )


def test_attacks_stand_with_their_intervals_and_the_limits(evidence: tuple[Version, Audit, Verdict]) -> None:
    version, audit, verdict = evidence
    found = audited(version, audit, verdict)
    assert (found.outcome, found.limits, found.reasons) == ("passed", verdict.limits, verdict.reasons)
    assert [each.name for each in found.attacks] == [each.name for each in audit.models["candidate"].attacks]
    for each, attack, comparison in zip(
        found.attacks, audit.models["candidate"].attacks, audit.comparisons, strict=True
    ):
        assert (each.auc, each.tpr_at_1_fpr) == (attack.auc, attack.tpr_at_1_fpr)
        assert (each.difference, each.simultaneous) == (comparison.difference, comparison.simultaneous)


def test_an_attack_that_was_not_compared_is_there_without_a_difference(
    evidence: tuple[Version, Audit, Verdict],
) -> None:
    version, audit, verdict = evidence
    none = {"comparisons": ()}
    found = audited(version, audit.model_copy(update=none), verdict.model_copy(update=none))
    assert len(found.attacks) == 5
    assert all(each.difference is None for each in found.attacks)


def test_another_models_audit_and_another_verdict_are_refused(evidence: tuple[Version, Audit, Verdict]) -> None:
    version, audit, verdict = evidence
    changed = version.model_copy(update={"tags": version.tags.changed(Tags(digest="f" * 64))})
    with pytest.raises(UserError, match="version 3: the audit in MLflow is of another model"):
        audited(changed, audit, verdict)
    with pytest.raises(UserError, match="of another model"):
        audited(version, audit.model_copy(update={"models": {}}), verdict)
    for wrong in ({"outcome": "leaks"}, {"comparisons": ()}):
        with pytest.raises(UserError, match="its verdict and its audit do not belong"):
            audited(version, audit, verdict.model_copy(update=wrong))
