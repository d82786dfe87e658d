from __future__ import annotations

import re
from pathlib import Path

import pytest

from unlearning import forgetting, models, settings, snapshots
from unlearning.errors import UserError
from unlearning.files import read_json, write_json
from unlearning.registry import Registry, Version
from unlearning.steps.promote import Evidence, promote, reject

Chain = dict[str, Path]
Paths = dict[str, Path]


def versions(name: str) -> list[Version]:
    return Registry(settings.from_environment().tracking_uri).versions(name)


def champion(name: str) -> str:
    return Registry(settings.from_environment().tracking_uri).resolve(name).version


def test_a_passed_candidate_replaces_its_parent(chain: Chain, parent: Version, evidence: Paths) -> None:
    made = promote(Evidence(**evidence), model_name=parent.name, parent="1", run_name="run")
    assert (made.version, made.aliases) == ("2", ("champion",))
    wanted = {
        "kind": "unlearned",
        "status": "serving",
        "verdict": "passed",
        "parent": "1",
        "parent_digest": parent.tags["digest"],
        "digest": models.digest(chain["candidate"]),
        "forget": forgetting.load(chain["forget"]).digest,
        "forgotten_records": "120",
    }
    assert wanted.items() <= made.tags.items()
    replaced = versions(parent.name)[0]
    assert replaced.aliases == ("superseded",)
    assert (replaced.tags["status"], replaced.tags["superseded_by"]) == ("superseded", "2")


def test_the_parent_may_be_named_by_its_alias(parent: Version, evidence: Paths) -> None:
    made = promote(Evidence(**evidence), model_name=parent.name, parent="champion", run_name="run")
    assert made.tags["parent"] == "1"


def test_promoting_twice_gives_the_same_version(parent: Version, evidence: Paths) -> None:
    once = promote(Evidence(**evidence), model_name=parent.name, parent="1", run_name="run")
    twice = promote(Evidence(**evidence), model_name=parent.name, parent="1", run_name="run")
    assert twice == once
    assert len(versions(parent.name)) == 2


def test_a_failed_candidate_is_kept_on_record_and_the_champion_stays(parent: Version, failed: Evidence) -> None:
    kept = reject(failed, model_name=parent.name, parent="1", run_name="run")
    assert (kept.version, kept.aliases, kept.tags["status"]) == ("2", (), "rejected")
    assert kept.tags["verdict"] == failed.verdict.outcome != "passed"
    assert champion(parent.name) == "1"
    assert reject(failed, model_name=parent.name, parent="1", run_name="run") == kept


def test_a_failed_candidate_cannot_be_promoted(parent: Version, failed: Evidence) -> None:
    with pytest.raises(UserError, match="only a passed candidate can be promoted"):
        promote(failed, model_name=parent.name, parent="1", run_name="run")
    assert versions(parent.name) == [parent]


def test_a_passed_candidate_cannot_be_rejected(parent: Version, evidence: Paths) -> None:
    with pytest.raises(UserError, match="promote the candidate instead"):
        reject(Evidence(**evidence), model_name=parent.name, parent="1", run_name="run")
    assert versions(parent.name) == [parent]


def test_a_verdict_given_again_is_a_version_of_its_own(parent: Version, failed: Evidence, evidence: Paths) -> None:
    """The version that serves must not carry the verdict it once failed with."""
    kept = reject(failed, model_name=parent.name, parent="1", run_name="run")
    made = promote(Evidence(**evidence), model_name=parent.name, parent="1", run_name="run")
    assert (kept.version, made.version, made.tags["verdict"]) == ("2", "3", "passed")


def test_a_verdict_edited_to_passed_is_refused(chain: Chain, tmp_path: Path, evidence: Paths) -> None:
    write_json(tmp_path / "verdict", read_json(chain["failed"], "verdict") | {"outcome": "passed"})
    with pytest.raises(UserError, match="the verdict says passed but its evidence says"):
        Evidence(**evidence | {"verdict_path": tmp_path / "verdict"})


def test_an_audit_without_its_comparisons_is_refused(chain: Chain, tmp_path: Path, evidence: Paths) -> None:
    write_json(tmp_path / "audit", read_json(chain["audit"], "audit") | {"comparisons": []})
    with pytest.raises(UserError, match="its evidence says inconclusive"):
        Evidence(**evidence | {"audit_path": tmp_path / "audit"})


def test_an_audit_of_another_candidate_is_refused(chain: Chain, evidence: Paths) -> None:
    with pytest.raises(UserError, match="the audit is not of this candidate"):
        Evidence(**evidence | {"candidate_path": chain["retrained"]})


def test_another_forget_set_is_refused(chain: Chain, tmp_path: Path, evidence: Paths) -> None:
    forget = forgetting.load(chain["forget"])
    forgetting.save(forget.model_copy(update={"ids": forget.ids[:3]}), tmp_path / "forget")
    with pytest.raises(UserError, match="do not belong together"):
        Evidence(**evidence | {"forget_path": tmp_path / "forget"})


def test_an_evaluation_of_another_model_is_refused(chain: Chain, evidence: Paths) -> None:
    with pytest.raises(UserError, match="disagree on which model is the"):
        Evidence(**evidence | {"evaluation_path": chain["before"]})


def test_another_parent_is_refused(parent: Version, evidence: Paths) -> None:
    promote(Evidence(**evidence), model_name=parent.name, parent="1", run_name="run")
    with pytest.raises(UserError, match=r"was not made from .* version 2"):
        promote(Evidence(**evidence), model_name=parent.name, parent="2", run_name="again")
    assert len(versions(parent.name)) == 2


def test_an_unknown_parent_is_refused(parent: Version, evidence: Paths) -> None:
    with pytest.raises(UserError, match="no version or alias '7'"):
        promote(Evidence(**evidence), model_name=parent.name, parent="7", run_name="run")


def test_no_record_id_reaches_the_registry(chain: Chain, parent: Version, evidence: Paths) -> None:
    promote(Evidence(**evidence), model_name=parent.name, parent="1", run_name="run")
    ids = {identity.encode() for identity in snapshots.load(chain["snapshot"]).manifest.record_ids}
    kept = [path for path in (chain["home"] / "mlartifacts").rglob("*") if path.is_file()]
    kept.append(chain["home"] / "mlflow.db")
    for path in kept:
        assert ids.isdisjoint(re.findall(rb"(?=([0-9a-f]{64}))", path.read_bytes())), path
