"""One request after another: what was forgotten stays forgotten in everything that follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unlearning.steps.generations import forgotten_again, resolved
from unlearning.audit.attacks import expected_attacks
from unlearning.audit.results import ForgottenBefore, load_audit, load_verdict
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.data import forget_set, past_forget_sets, splits
from unlearning.learning import models
from unlearning.recipes import provenance
from unlearning.registry.client import Registry, Version
from unlearning.registry.tags import Tags
from unlearning.steps.promote import evidence_at, promote
from unlearning.steps.register import register

Chain = dict[str, Path]


@pytest.fixture
def second(chain: Chain, parent: Version, evidence: dict[str, Path]) -> Version:
    """Version 2, which forgot the chain's forget set."""
    return promote(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run", batch="batch-1")


def test_a_promoted_version_stands_for_its_parents_data_without_what_it_forgot(
    chain: Chain, parent: Version, second: Version, tmp_path: Path
) -> None:
    assert (second.tags.from_snapshot, second.tags.from_split) == (parent.tags.snapshot, parent.tags.split)
    assert second.tags.batch == "batch-1"
    resolved(parent.name, "2", tmp_path)
    split, gone = splits.load(tmp_path / "split"), set(forget_set.load(chain["forget"]).ids)
    assert split.digest == second.tags.split
    assert split.members == tuple(each for each in splits.load(chain["split"]).members if each not in gone)
    made = provenance.load(tmp_path / "model")
    assert (made.snapshot, made.split) == (second.tags.snapshot, split.digest)
    assert models.digest(tmp_path / "model") == models.digest(chain["candidate"])


def test_the_next_request_is_audited_and_promoted_in_turn(parent: Version, second: Version, tmp_path: Path) -> None:
    given = resolved(parent.name, "champion", tmp_path)
    found = forgotten_again(given, tmp_path)
    third = promote(evidence_at(**found), model_name=parent.name, parent="2", run_name="next", batch="batch-2")
    assert (third.version, third.aliases, third.tags.parent) == ("3", ("champion",), "2")
    assert third.tags.from_split == second.tags.split != third.tags.split
    left = splits.load(resolved(parent.name, "3", tmp_path / "third")["split_path"])
    assert len(left.members) == len(splits.load(tmp_path / "split").members) - len(
        forget_set.load(tmp_path / "forget").ids
    )


def test_what_was_made_from_a_version_that_serves_no_more_cannot_replace_what_does(
    parent: Version, second: Version, tmp_path: Path
) -> None:
    given = resolved(parent.name, "1", tmp_path)
    found = forgotten_again(given, tmp_path)
    with pytest.raises(UserError, match="version 2 serves by now"):
        promote(evidence_at(**found), model_name=parent.name, parent="1", run_name="late")
    registry = Registry(settings.from_environment().tracking_uri)
    assert [each.version for each in registry.versions(parent.name)] == ["1", "2"]


def test_a_promotion_that_is_repeated_late_does_not_move_champion_back(
    parent: Version, second: Version, evidence: dict[str, Path], tmp_path: Path
) -> None:
    found = forgotten_again(resolved(parent.name, "2", tmp_path), tmp_path)
    promote(evidence_at(**found), model_name=parent.name, parent="2", run_name="next")
    again = promote(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run", batch="batch-1")
    assert (again.version, again.aliases) == ("2", ("superseded",))


def test_what_its_parent_honoured_a_version_honours_too(parent: Version, second: Version, tmp_path: Path) -> None:
    Registry(settings.from_environment().tracking_uri).set_tags(
        second, Tags.model_validate({"request.R1": "fulfilled"})
    )
    found = forgotten_again(resolved(parent.name, "2", tmp_path), tmp_path)
    third = promote(evidence_at(**found), model_name=parent.name, parent="2", run_name="next")
    assert third.tags.requests["R1"] == "fulfilled"


def test_what_was_forgotten_before_is_audited_again(
    chain: Chain, parent: Version, second: Version, tmp_path: Path
) -> None:
    found = forgotten_again(resolved(parent.name, "2", tmp_path), tmp_path)
    before = load_audit(found["audit_path"]).forgotten_before
    assert before is not None
    assert (before.records, before.untested) == (len(forget_set.load(chain["forget"]).ids), 0)
    assert tuple(each.attack for each in before.comparisons) == expected_attacks(0)
    told = load_verdict(found["verdict_path"])
    assert told.forgotten_before == before
    assert (told.outcome, any("forgotten before" in each for each in told.limits)) == ("passed", False)
    assert any(each.startswith(f"{before.records} records forgotten before: every attack") for each in told.reasons)
    promote(evidence_at(**found), model_name=parent.name, parent="2", run_name="next")
    third = resolved(parent.name, "3", tmp_path / "third")
    past, snapshot = past_forget_sets.load(tmp_path / "third" / "forgotten_before")
    assert set(past.ids) == {*forget_set.load(chain["forget"]).ids, *forget_set.load(tmp_path / "forget").ids}
    assert snapshot is not None
    assert snapshot.manifest.digest == parent.tags.snapshot
    assert set(past.ids).isdisjoint(splits.load(third["split_path"]).members)


def test_where_it_was_purged_the_verdict_says_how_many_were_not_tested(
    chain: Chain, parent: Version, second: Version, tmp_path: Path
) -> None:
    Registry(settings.from_environment().tracking_uri).set_tags(parent, Tags(purge_started="2027-01-01T00:00:00+00:00"))
    found = forgotten_again(resolved(parent.name, "2", tmp_path), tmp_path)
    forgotten = len(forget_set.load(chain["forget"]).ids)
    told = load_verdict(found["verdict_path"])
    assert told.forgotten_before == ForgottenBefore(records=0, untested=forgotten)
    (said,) = [each for each in told.limits if "forgotten before" in each]
    assert said.startswith(f"not tested again, since no image of them is kept any more: {forgotten} records")
    assert promote(evidence_at(**found), model_name=parent.name, parent="2", run_name="next").version == "3"


def test_an_original_was_made_from_nothing(chain: Chain, parent: Version) -> None:
    made = register(
        model_path=chain["model"],
        split_path=chain["split"],
        evaluation_path=chain["before"],
        model_name=parent.name,
        run_name="first",
    )
    assert {made.tags.written()[name] for name in ("from_snapshot", "from_split", "batch")} == {"none"}
