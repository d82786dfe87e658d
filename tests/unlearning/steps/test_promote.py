from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.margins import WIDE
from tests.unlearning.steps.registered import versions
from unlearning.audit import escalation
from unlearning.audit.escalation import accepted_statement
from unlearning.audit.policy import Margins, Policy
from unlearning.audit.results import load_audit, load_evaluation
from unlearning.audit.verdict import verdict_of
from unlearning.core import settings
from unlearning.core.config import checked
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.data import forget_set, snapshots
from unlearning.learning import models
from unlearning.registry.candidate import CandidateEvidence
from unlearning.registry.client import Registry, Version
from unlearning.registry.tags import Tags
from unlearning.steps.promote import evidence_at, promote
from unlearning.steps.reject import reject

Chain = dict[str, Path]
Paths = dict[str, Path]


def test_a_passed_candidate_replaces_its_parent(chain: Chain, parent: Version, evidence: Paths) -> None:
    made = promote(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run")
    assert (made.version, made.aliases) == ("2", ("champion",))
    wanted = {
        "kind": "unlearned",
        "status": "serving",
        "verdict": "passed",
        "parent": "1",
        "parent_digest": parent.tags.digest,
        "digest": models.digest(chain["candidate"]),
        "forget": forget_set.load(chain["forget"]).digest,
        "forgotten_records": "120",
    }
    assert wanted.items() <= made.tags.written().items()
    replaced = versions(parent.name)[0]
    assert replaced.aliases == ("superseded",)
    assert (replaced.tags.status, replaced.tags.superseded_by) == ("superseded", "2")
    assert replaced.tags.superseded_at == made.tags.served_at


def test_the_parent_may_be_named_by_its_alias(parent: Version, evidence: Paths) -> None:
    made = promote(evidence_at(**evidence), model_name=parent.name, parent="champion", run_name="run")
    assert made.tags.parent == "1"


def test_promoting_twice_gives_the_same_version(parent: Version, evidence: Paths) -> None:
    once = promote(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run")
    twice = promote(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run")
    assert twice == once
    assert len(versions(parent.name)) == 2


def test_what_was_killed_between_alias_and_tags_is_finished_by_the_next_attempt(
    parent: Version, evidence: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`champion` has moved, and its tags still say that it does not serve."""
    real = Registry.set_tags

    def killed(registry: Registry, version: Version, tags: Tags) -> None:
        if tags.status == "serving":
            raise KeyboardInterrupt
        real(registry, version, tags)

    monkeypatch.setattr(Registry, "set_tags", killed)
    with pytest.raises(KeyboardInterrupt):
        promote(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run")
    assert [each.tags.status for each in versions(parent.name)] == ["superseded", "registered"]
    monkeypatch.setattr(Registry, "set_tags", real)
    made = promote(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run")
    assert (made.version, made.aliases, made.tags.status) == ("2", ("champion",), "serving")
    assert made.tags.served_at not in ("", "none")


def test_pages_tell_of_a_promotion_and_of_a_refusal(
    parent: Version, failed: CandidateEvidence, evidence: Paths
) -> None:
    reject(failed, model_name=parent.name, parent="1", run_name="run")
    first, refused = (each.description for each in versions(parent.name))
    assert f"Made from it: [version 2](#/models/{parent.name}/versions/2)." in first
    assert f"Made from [version 1](#/models/{parent.name}/versions/1) by " in refused
    assert refused.endswith("It never served.")
    made = promote(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run")
    assert made == versions(parent.name)[2]
    assert "until [version 3]" in versions(parent.name)[0].description


def test_a_failed_candidate_cannot_be_promoted(parent: Version, failed: CandidateEvidence) -> None:
    with pytest.raises(UserError, match="only a passed candidate can be promoted"):
        promote(failed, model_name=parent.name, parent="1", run_name="run")
    assert versions(parent.name) == [parent]


def test_an_audit_that_hides_that_the_method_diverged_is_refused(diverged: Paths, chain: Chain, tmp_path: Path) -> None:
    write_json(tmp_path / "audit", read_json(diverged["audit_path"], "audit") | {"diverged": ""})
    write_json(tmp_path / "verdict", read_json(chain["passed"], "verdict"))
    with pytest.raises(UserError, match="disagree on whether the method diverged"):
        evidence_at(**diverged | {"audit_path": tmp_path / "audit", "verdict_path": tmp_path / "verdict"})


def test_a_verdict_given_again_is_a_version_of_its_own(
    parent: Version, failed: CandidateEvidence, evidence: Paths
) -> None:
    """The version that serves must not carry the verdict it once failed with."""
    kept = reject(failed, model_name=parent.name, parent="1", run_name="run")
    made = promote(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run")
    assert (kept.version, made.version, made.tags.verdict) == ("2", "3", "passed")


def test_a_verdict_edited_to_passed_is_refused(chain: Chain, tmp_path: Path, evidence: Paths) -> None:
    write_json(tmp_path / "verdict", read_json(chain["failed"], "verdict") | {"outcome": "passed"})
    with pytest.raises(UserError, match="the verdict says passed but its evidence says"):
        evidence_at(**evidence | {"verdict_path": tmp_path / "verdict"})


def test_an_audit_without_its_comparisons_is_refused(chain: Chain, tmp_path: Path, evidence: Paths) -> None:
    write_json(tmp_path / "audit", read_json(chain["audit"], "audit") | {"comparisons": []})
    with pytest.raises(UserError, match="its evidence says inconclusive"):
        evidence_at(**evidence | {"audit_path": tmp_path / "audit"})


def test_an_audit_of_another_candidate_is_refused(chain: Chain, evidence: Paths) -> None:
    with pytest.raises(UserError, match="the audit is not of this candidate"):
        evidence_at(**evidence | {"candidate_path": chain["retrained"]})


def test_another_forget_set_is_refused(chain: Chain, tmp_path: Path, evidence: Paths) -> None:
    forget = forget_set.load(chain["forget"])
    forget_set.save(forget.model_copy(update={"ids": forget.ids[:3]}), tmp_path / "forget")
    with pytest.raises(UserError, match="do not belong together"):
        evidence_at(**evidence | {"forget_path": tmp_path / "forget"})


def test_an_evaluation_of_another_model_is_refused(chain: Chain, evidence: Paths) -> None:
    with pytest.raises(UserError, match="disagree on which model is the"):
        evidence_at(**evidence | {"evaluation_path": chain["before"]})


def test_an_audit_without_u_lira_is_refused_where_the_policy_asks_for_it(parent: Version, evidence: Paths) -> None:
    with pytest.raises(UserError, match="unlearned_references 8: in the audit 0 references were unlearned"):
        promote(
            evidence_at(**evidence),
            model_name=parent.name,
            parent="1",
            run_name="run",
            policy=Policy(unlearned_references=8),
        )


def test_another_parent_is_refused(parent: Version, evidence: Paths) -> None:
    promote(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run")
    with pytest.raises(UserError, match=r"was not made from .* version 2"):
        promote(evidence_at(**evidence), model_name=parent.name, parent="2", run_name="again")
    assert len(versions(parent.name)) == 2


def test_an_unknown_parent_is_refused(parent: Version, evidence: Paths) -> None:
    with pytest.raises(UserError, match="no version or alias '7'"):
        promote(evidence_at(**evidence), model_name=parent.name, parent="7", run_name="run")


def test_every_version_says_what_it_was_compared_with(
    chain: Chain, parent: Version, evidence: Paths, by_references: Chain
) -> None:
    given: Paths = {f"{name}_path": by_references[name] for name in ("audit", "evaluation")}
    given |= {"verdict_path": by_references["passed"]}
    where: dict[str, Any] = {"model_name": parent.name, "parent": "1", "run_name": "run"}
    retrained = promote(evidence_at(**evidence), **where)
    Registry(settings.from_environment().tracking_uri).make_champion(parent)
    references = promote(evidence_at(**evidence | given), **where)
    told = [version.tags.compared_with for version in (parent, retrained, references)]
    assert told == ["none", "retrained", "references"]
    assert "within 0.9 of the original's" in references.description
    assert "the retrained model" not in references.description


def test_evidence_that_compares_with_different_models_is_refused(evidence: Paths, by_references: Chain) -> None:
    with pytest.raises(UserError, match="run both on the same models"):
        evidence_at(**evidence | {"audit_path": by_references["audit"]})


def test_no_record_id_reaches_the_registry(chain: Chain, parent: Version, evidence: Paths) -> None:
    promote(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run")
    ids = {identity.encode() for identity in snapshots.load(chain["snapshot"]).manifest.record_ids}
    kept = [path for path in (chain["home"] / "mlartifacts").rglob("*") if path.is_file()]
    kept.append(chain["home"] / "mlflow.db")
    for path in kept:
        assert ids.isdisjoint(re.findall(rb"(?=([0-9a-f]{64}))", path.read_bytes())), path


MARGINS = Margins(**WIDE | {"auc_margin": 0.1})


@pytest.fixture
def unsure(chain: Chain, tmp_path: Path, evidence: Paths) -> Paths:
    """Evidence of a candidate that was audited in full, on too few records to tell."""
    audit = read_json(chain["audit"], "audit")
    write_json(tmp_path / "few", audit | {"records": audit["records"] | {"forget": 6}})
    paths = evidence | {"audit_path": tmp_path / "few"}
    verdict = verdict_of(load_audit(tmp_path / "few"), load_evaluation(paths["evaluation_path"]), MARGINS)
    write_json(tmp_path / "unsure", verdict.model_dump(mode="json"))
    return paths | {"verdict_path": tmp_path / "unsure"}


def test_an_inconclusive_candidate_is_accepted_where_the_policy_says_so_and_says_it(
    parent: Version, unsure: Paths
) -> None:
    given = evidence_at(**unsure)
    made = promote(given, model_name=parent.name, parent="1", run_name="run", policy=Policy(on_inconclusive="accept"))
    assert (made.version, made.aliases, made.tags.status) == ("2", ("champion",), "serving")
    assert (made.tags.verdict, made.tags.action, made.tags.accepted) == ("inconclusive", "accept", "yes")
    assert made.tags.statement == accepted_statement(given.verdict.reasons)
    assert "could not tell" in made.tags.statement
    assert "only 6 forget records were audited" in made.tags.statement
    assert made.description.startswith(made.tags.statement)


@pytest.mark.parametrize("policy", ["retrain", "stop", "accept_retrained", "qualified"])
def test_an_inconclusive_candidate_is_not_promoted_under_any_other_policy(
    parent: Version, unsure: Paths, policy: str
) -> None:
    with pytest.raises(UserError, match="verdict inconclusive: only a passed candidate can be promoted"):
        promote(
            evidence_at(**unsure),
            model_name=parent.name,
            parent="1",
            run_name="run",
            policy=checked(Policy, {"on_inconclusive": policy}),
        )
    assert versions(parent.name) == [parent]


def test_what_lacks_an_attack_is_not_accepted(parent: Version, unsure: Paths, tmp_path: Path) -> None:
    audit = read_json(unsure["audit_path"], "audit")
    write_json(tmp_path / "few", audit | {"comparisons": audit["comparisons"][1:]})
    verdict = verdict_of(load_audit(tmp_path / "few"), load_evaluation(unsure["evaluation_path"]), MARGINS)
    write_json(unsure["verdict_path"], verdict.model_dump(mode="json"))
    with pytest.raises(UserError, match="one that was audited in full"):
        promote(
            evidence_at(**unsure),
            model_name=parent.name,
            parent="1",
            run_name="run",
            policy=Policy(on_inconclusive="accept"),
        )
    assert versions(parent.name) == [parent]


def test_a_leaking_candidate_is_not_accepted(parent: Version, evidence: Paths, tmp_path: Path) -> None:
    audit = read_json(evidence["audit_path"], "audit")
    for comparison in audit["comparisons"]:
        comparison["difference"] |= {"estimate": 0.3, "low": 0.2, "high": 0.4}
        comparison["simultaneous"] = None
    write_json(tmp_path / "audit", audit)
    verdict = verdict_of(load_audit(tmp_path / "audit"), load_evaluation(evidence["evaluation_path"]), MARGINS)
    write_json(tmp_path / "verdict", verdict.model_dump(mode="json"))
    given = evidence_at(**evidence | {"audit_path": tmp_path / "audit", "verdict_path": tmp_path / "verdict"})
    with pytest.raises(UserError, match=r"verdict leaks: only a passed candidate can be promoted$"):
        promote(given, model_name=parent.name, parent="1", run_name="run", policy=Policy(on_inconclusive="accept"))
    assert versions(parent.name) == [parent]


def test_accepting_what_was_rejected_before_is_a_version_of_its_own(parent: Version, unsure: Paths) -> None:
    """The version that serves must not be the one that is tagged as rejected."""
    kept = reject(evidence_at(**unsure), model_name=parent.name, parent="1", run_name="run")
    made = promote(
        evidence_at(**unsure),
        model_name=parent.name,
        parent="1",
        run_name="run",
        policy=Policy(on_inconclusive="accept"),
    )
    assert (kept.version, kept.tags.status, kept.tags.accepted) == ("2", "rejected", "no")
    assert (made.version, made.tags.status, made.tags.accepted) == ("3", "serving", "yes")


def test_every_version_says_which_attempt_made_it(parent: Version, evidence: Paths, failed: CandidateEvidence) -> None:
    kept = reject(failed, model_name=parent.name, parent="1", run_name="run", action="stronger")
    made = promote(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run")
    names = ("rung", "action", "accepted", "statement")
    assert [parent.tags.written()[name] for name in names] == ["none", "none", "no", "none"]
    assert [kept.tags.written()[name] for name in names] == ["first", "stronger", "no", "none"]
    assert [made.tags.written()[name] for name in names] == ["first", "promote", "no", "none"]


def test_the_settings_of_every_attempt_can_be_compared_in_mlflow(parent: Version, evidence: Paths) -> None:
    made = promote(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run")
    registry = Registry(settings.from_environment().tracking_uri)
    params = registry.client.get_run(made.tags.run).data.params
    assert {"rung": "first", "settings.weight": "0.1", "settings.optimisation.epochs": "2"}.items() <= params.items()


def test_the_attempts_are_handed_on_from_one_to_the_next(
    parent: Version, evidence: Paths, failed: CandidateEvidence, tmp_path: Path
) -> None:
    below, above = tmp_path / "below", tmp_path / "above"
    where: dict[str, Any] = {"model_name": parent.name, "parent": "1", "run_name": "run"}
    kept = reject(failed, **where, action="stronger", attempts_path=below)
    made = promote(evidence_at(**evidence, earlier_path=below), **where, attempts_path=above)
    (first,) = escalation.load_attempts(below)
    assert (first.version, first.action, first.verdict) == (kept.version, "stronger", failed.verdict)
    assert first.settings["weight"] == 0.1
    again, last = escalation.load_attempts(above)
    assert again == first
    assert (last.version, last.action, last.verdict.outcome) == (made.version, "promote", "passed")
