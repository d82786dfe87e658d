from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from unlearning.audit.attacks import ASKING_REFERENCES, expected_attacks
from unlearning.audit.results import Audit, load_audit
from unlearning.core.errors import UserError
from unlearning.data import forget_set, splits
from unlearning.learning import models
from unlearning.recipes import provenance
from unlearning.steps.audit import audit
from unlearning.steps.references import make
from unlearning.steps.select import select
from unlearning.steps.unlearn import unlearn

Chain = dict[str, Path]


INPUTS = ("candidate", "retrained", "references", "snapshot", "split", "forget")


def audit_into(chain: Chain, path: Path, **changed: Path | int | None) -> Audit:
    inputs: dict[str, Any] = {f"{name}_path": chain[name] for name in INPUTS}
    return audit(**inputs | {"original_path": chain["model"]} | changed, seed=0, device="cpu", audit_path=path)


def test_the_audit_names_the_models_and_the_data_it_is_about(chain: Chain) -> None:
    found = load_audit(chain["audit"])
    digests = {name: audited.model for name, audited in found.models.items()}
    paths = {"original": chain["model"], "candidate": chain["candidate"], "retrained": chain["retrained"]}
    assert digests == {name: models.digest(path) for name, path in paths.items()}
    assert found.records == {"forget": 120, "holdout": 300, "retained": 180}
    assert found.split == splits.load(chain["split"]).digest
    assert found.forget == forget_set.load(chain["forget"]).digest


def test_every_attack_is_run_on_every_model_and_compared(chain: Chain) -> None:
    found = load_audit(chain["audit"])
    for audited in found.models.values():
        assert [attack.name for attack in audited.attacks] == list(expected_attacks(8))
    assert [comparison.attack for comparison in found.comparisons] == list(expected_attacks(8))


def test_the_same_audit_gives_the_same_file(chain: Chain, tmp_path: Path) -> None:
    audit_into(chain, tmp_path / "audit")
    assert (tmp_path / "audit").read_bytes() == chain["audit"].read_bytes()


def test_a_candidate_is_no_reference_for_itself(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a retrained model"):
        audit_into(chain, tmp_path / "audit", retrained_path=chain["candidate"])
    with pytest.raises(UserError, match="is its own reference"):
        audit_into(chain, tmp_path / "audit", candidate_path=chain["retrained"])
    assert not (tmp_path / "audit").exists()


def test_a_candidate_that_forgot_others_is_refused(chain: Chain, tmp_path: Path) -> None:
    forget = forget_set.load(chain["forget"])
    forget_set.save(forget.model_copy(update={"ids": forget.ids[:12]}), tmp_path / "forget")
    unlearn(
        model_path=chain["model"],
        snapshot_path=chain["snapshot"],
        split_path=chain["split"],
        forget_path=tmp_path / "forget",
        method="finetune",
        overrides="",
        seed=0,
        device="cpu",
        candidate_path=tmp_path / "candidate",
    )
    with pytest.raises(UserError, match="was not made from this original and this forget set"):
        audit_into(chain, tmp_path / "audit", candidate_path=tmp_path / "candidate")


def test_a_candidate_of_another_original_is_refused(chain: Chain, tmp_path: Path) -> None:
    shutil.copytree(chain["candidate"], tmp_path / "candidate")
    made = provenance.load(chain["candidate"]).model_copy(update={"parent": "0" * 64})
    provenance.save(made, tmp_path / "candidate")
    with pytest.raises(UserError, match="was not made from this original"):
        audit_into(chain, tmp_path / "audit", candidate_path=tmp_path / "candidate")


def test_a_split_of_another_model_is_refused(chain: Chain, tmp_path: Path) -> None:
    splits.save(splits.load(chain["split"]).model_copy(update={"seed": 7}), tmp_path / "split")
    with pytest.raises(UserError, match="the model was trained on split"):
        audit_into(chain, tmp_path / "audit", split_path=tmp_path / "split")


def test_references_alone_or_beside_the_retrained_model(chain: Chain, tmp_path: Path) -> None:
    both = load_audit(chain["audit"])
    alone = audit_into(chain, tmp_path / "alone", retrained_path=None)
    assert both.references == alone.references == 8
    names = list(expected_attacks(8))
    assert {each.reference for each in both.comparisons} == {"retrained"}
    for compared in (both.comparisons, both.cross_check, alone.comparisons):
        assert [each.attack for each in compared] == names
    # Single records are tested with what decides, and the intervals that hold for all together are wider for it.
    assert [each.difference for each in alone.comparisons] == [each.difference for each in both.cross_check]
    assert [each.difference for each in alone.single_records] == [each.difference for each in both.single_records]
    assert len(alone.single_records) == len(ASKING_REFERENCES) + 3
    assert {each.reference for each in alone.comparisons} == {"references"}
    assert set(alone.models) == {"original", "candidate"}
    assert alone.models["candidate"] == both.models["candidate"]


def test_the_word_that_nothing_was_retrained_is_taken_for_no_retrained_model(
    chain: Chain, by_references: Chain, tmp_path: Path
) -> None:
    assert load_audit(by_references["audit"]) == audit_into(chain, tmp_path / "alone", retrained_path=None)
    with pytest.raises(UserError, match="nothing to compare the candidate with"):
        audit_into(chain, tmp_path / "none", references_path=None, retrained_path=by_references["retrained"])


def test_an_exactly_retrained_candidate_is_audited_beside_references(chain: Chain, tmp_path: Path) -> None:
    """The last attempt, where nothing was retrained to compare with."""
    found = audit_into(chain, tmp_path / "audit", candidate_path=chain["retrained"], retrained_path=None)
    assert found.compared_with == "references"
    assert found.models["candidate"].model == models.digest(chain["retrained"])


def test_references_do_not_judge_what_a_model_shows_of_a_whole_class(chain: Chain, tmp_path: Path) -> None:
    """Each has seen others of it: a candidate that still knows the class could pass beside them."""
    data: dict[str, Any] = {f"{name}_path": chain[name] for name in ("snapshot", "split")}
    forget, candidate = tmp_path / "forget", tmp_path / "candidate"
    select(**data, kind="class", fraction=0.2, class_name="3", ids="", seed=0, forget_path=forget)
    given: dict[str, Any] = data | {"model_path": chain["model"], "forget_path": forget}
    unlearn(**given, method="finetune", overrides="", seed=0, device="cpu", candidate_path=candidate)
    with pytest.raises(UserError, match="forget kind class cannot be compared with references"):
        audit_into(chain, tmp_path / "audit", candidate_path=candidate, forget_path=forget, retrained_path=None)
    assert not (tmp_path / "audit").exists()
    retrained = tmp_path / "retrained"
    unlearn(**given, method="retrain", overrides="", seed=1, device="cpu", candidate_path=retrained)
    changed = {"candidate_path": candidate, "forget_path": forget, "retrained_path": retrained}
    found = audit_into(chain, tmp_path / "audit", **changed)
    assert (found.grouped, found.single_records) == (True, ())
    assert found.cross_check


def test_an_empty_set_of_references_is_none(chain: Chain, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    make(
        model_path=chain["model"],
        snapshot_path=chain["snapshot"],
        split_path=chain["split"],
        count=0,
        numbers=[],
        device="cpu",
        references_path=empty,
    )
    without = audit_into(chain, tmp_path / "audit", references_path=empty)
    assert without == audit_into(chain, tmp_path / "again", references_path=None)
    assert (without.references, without.cross_check) == (0, ())
    assert [each.attack for each in without.comparisons] == list(expected_attacks(0))
    with pytest.raises(UserError, match="nothing to compare the candidate with"):
        audit_into(chain, tmp_path / "none", references_path=empty, retrained_path=None)


def test_u_lira_runs_where_it_is_asked_for_and_everything_else_stays(chain: Chain, tmp_path: Path) -> None:
    plain = load_audit(chain["audit"])
    found = audit_into(chain, tmp_path / "audit", unlearned_references=8)
    assert (found.references, found.unlearned_references) == (8, 8)
    assert found.unlearned_seconds > 0
    assert (plain.unlearned_references, plain.unlearned_seconds) == (0, 0)
    names = list(expected_attacks(8, 8))
    assert names == [*expected_attacks(8), "u_lira"]
    for compared in (found.comparisons, found.cross_check):
        assert [each.attack for each in compared] == names
    assert [each.reference for each in found.comparisons] == [*["retrained"] * len(expected_attacks(8)), "references"]
    for name, audited in found.models.items():
        assert [each.name for each in audited.attacks] == names
        assert audited.attacks[:-1] == plain.models[name].attacks
    for one, other in zip(found.comparisons, plain.comparisons, strict=False):
        assert one.difference == other.difference
    (shown,) = [each.auc for each in found.models["candidate"].attacks if each.name == "u_lira"]
    for compared in (found.comparisons, found.cross_check):
        # Whatever decides: by symmetry a model that was made to forget others is placed at one half.
        assert compared[-1].difference.estimate == pytest.approx(shown.estimate - 0.5)


def test_a_method_that_only_pretends_is_found_by_u_lira(chain: Chain, tmp_path: Path) -> None:
    inputs: dict[str, Any] = {f"{name}_path": chain[name] for name in ("model", "snapshot", "split", "forget")}
    unlearn(
        **inputs,
        method="finetune",
        overrides="{learning_rate: 1.0e-12}",
        seed=0,
        device="cpu",
        candidate_path=tmp_path / "candidate",
    )
    found = audit_into(chain, tmp_path / "audit", unlearned_references=8, candidate_path=tmp_path / "candidate")
    (pretends,) = [each.auc for each in found.models["candidate"].attacks if each.name == "u_lira"]
    assert pretends.low > 0.5
    assert pretends.estimate > 0.56


def test_exact_retraining_is_not_attacked_by_u_lira(chain: Chain, tmp_path: Path) -> None:
    found = audit_into(
        chain, tmp_path / "audit", unlearned_references=8, candidate_path=chain["retrained"], retrained_path=None
    )
    assert found.unlearned_references == 0
    assert [each.attack for each in found.comparisons] == list(expected_attacks(8))


@pytest.mark.parametrize("references", [True, False])
def test_more_references_than_there_are_cannot_be_unlearned(chain: Chain, tmp_path: Path, references: bool) -> None:
    changed = {} if references else {"references_path": None}
    there = 8 if references else 0
    with pytest.raises(UserError, match=f"unlearned_references 16: the original has {there} references"):
        audit_into(chain, tmp_path / "audit", unlearned_references=16, **changed)
    assert not (tmp_path / "audit").exists()
