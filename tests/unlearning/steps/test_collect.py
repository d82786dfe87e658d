"""Collecting, fulfilling, releasing and certifying, on tiny models in a home of each test's own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import set_home
from tests.unlearning.steps.generations import RANDOM, forgotten_again, honoured, resolved
from unlearning.audit.policy import Policy
from unlearning.compliance.batches import store as batches
from unlearning.compliance.batches.collect import Collection
from unlearning.compliance.batches.report import batch_report
from unlearning.compliance.batches.store import ModelBatch
from unlearning.compliance.certificates import keyring, keys, verification
from unlearning.compliance.certificates.keyring import Keyring
from unlearning.compliance.checkpoints import verification as checkpoints
from unlearning.compliance.checkpoints.verification import Trust
from unlearning.compliance.ledger.events import Audited, Fulfilled, Unlearned
from unlearning.compliance.ledger.state import State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests import intake
from unlearning.compliance.requests.requests import Request
from unlearning.compliance.retention import tombstones
from unlearning.compliance.retention.erase import erase
from unlearning.compliance.retention.purge import purge
from unlearning.core import errors, settings
from unlearning.core.errors import UserError
from unlearning.data import snapshots, splits
from unlearning.data.snapshots import MANIFEST_FILE
from unlearning.learning import models
from unlearning.registry import promotion
from unlearning.registry.client import Registry, Version
from unlearning.registry.tags import Tags
from unlearning.registry.versions import data_of
from unlearning.steps.certify import certify
from unlearning.steps.collect import collect
from unlearning.steps.decide import decide
from unlearning.steps.fulfil import fulfil, release
from unlearning.steps.promote import evidence_at, promote
from unlearning.steps.register import register
from unlearning.steps.reject import reject
from unlearning.steps.select import select
from unlearning.storage.datasets import load_split
from unlearning.storage.keys import batch_key, certificate_key, checkpoint_key, promotion_lock, snapshot_key
from unlearning.storage.lease import lock
from unlearning.storage.open import open_store
from unlearning.storage.store import Store

Chain = dict[str, Path]
NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
MODEL = "shop"


@pytest.fixture
def served(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Version:
    """The chain's original as version 1 of a model, in a home of this test alone."""
    home = tmp_path / "home"
    shutil.copytree(chain["home"] / "store", home / "store")
    monkeypatch.setenv("UNLEARNING_HOME", str(home))
    for name in ("UNLEARNING_STORE", "MLFLOW_TRACKING_URI", "UNLEARNING_CHECKPOINTS", "UNLEARNING_PIPELINE_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return register(
        model_path=chain["model"],
        split_path=chain["split"],
        evaluation_path=chain["before"],
        model_name=MODEL,
        run_name="first",
    )


@pytest.fixture
def store(served: Version) -> Store:
    return open_store(settings.from_environment().store)


@pytest.fixture
def registry(served: Version) -> Registry:
    return Registry(settings.from_environment().tracking_uri)


@pytest.fixture
def members(chain: Chain) -> tuple[str, ...]:
    return splits.load(chain["split"]).members


def ask(store: Store, request: str, records: Sequence[str], **more: object) -> None:
    given = {"id": request, "records": tuple(records), "received": NOW - timedelta(days=3), **more}
    intake.add(store, [Request.model_validate(given)], by="test", now=NOW)


def every_id(chain: Chain, records: Sequence[str]) -> set[str]:
    """Of the pictures of these records."""
    found = dict(snapshots.pictures(snapshots.load(chain["snapshot"])))
    return {each for record in records for each in found[record]}


def state(store: Store, request: str) -> State:
    return Ledger(store).state(request)


def statuses(store: Store, *requests: str) -> list[str]:
    return [state(store, request).status for request in requests]


def test_requests_are_looked_up_claimed_and_grouped(store: Store, members: tuple[str, ...]) -> None:
    ask(store, "late", members[:2], received=NOW - timedelta(days=1))
    ask(store, "early", members[1:4], received=NOW - timedelta(days=9))
    result = collect(batch="b1", now=NOW)
    (work,) = result.batch.models
    assert (work.model, work.version, work.requests, work.records) == (MODEL, "1", ("early", "late"), 4)
    assert batches.wanted(store, result.batch, MODEL).ids == tuple(sorted(members[:4]))
    assert statuses(store, "late", "early") == ["claimed", "claimed"]
    assert collect(batch="b1", now=NOW + timedelta(hours=1)).batch == result.batch
    public = b"".join(store.read(key) for key in store.list("ledger")) + store.read(batch_key("b1"))
    assert not any(identity.encode() in public for identity in members)


def test_a_request_that_arrives_during_a_batch_waits_and_so_does_its_model(
    store: Store, members: tuple[str, ...]
) -> None:
    ask(store, "first", members[:2])
    collect(batch="b1", now=NOW)
    ask(store, "second", members[5:6])
    assert collect(batch="b2", now=NOW).batch.models == ()
    assert statuses(store, "first", "second") == ["claimed", "resolved"]


def test_a_batch_takes_no_more_models_than_it_is_let_and_the_next_takes_the_others(
    chain: Chain, store: Store, members: tuple[str, ...]
) -> None:
    for name in ("annex", "depot"):
        register(
            model_path=chain["model"], split_path=chain["split"], evaluation_path=chain["before"], model_name=name,
            run_name="more",
        )  # fmt: skip
    ask(store, "one", members[:1])
    first = collect(batch="b1", now=NOW, most_models=2)
    assert first.left == [each.model for each in first.batch.models] == ["annex", "depot"]
    waits = f"model {MODEL} waits for the next batch: this one has 2 models"
    assert [(each.request, each.why) for each in first.skipped] == [("one", waits)]
    assert {name: model.batch for name, model in state(store, "one").models.items()} == {
        "annex": "b1", "depot": "b1", MODEL: "",
    }  # fmt: skip
    second = collect(batch="b2", now=NOW + timedelta(hours=1), most_models=2)
    assert (second.left, second.skipped) == ([MODEL], [])
    assert collect(batch="b3", now=NOW + timedelta(hours=1)).left == []


MODELS = ("shop", "depot", "attic")
"""Models that have something to forget; `annex` has not any more."""


def test_models_of_the_earliest_deadlines_come_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Collection(store, Registry(settings.from_environment().tracking_uri), "b1", NOW, NOW)
    asked = [{"shop": {"r1"}}, {"depot": {"r2"}, "annex": {"r2"}}, {"shop": {"r3"}, "attic": {"r3"}}]
    work.looked = [SimpleNamespace(concern=SimpleNamespace(members=each)) for each in asked]  # type: ignore[misc]
    made = {name: ModelBatch(model=name, version="1", requests=("one",), records=1, wanted=64 * "0") for name in MODELS}
    monkeypatch.setattr(work, "_claim_model", made.get)
    monkeypatch.setattr(work, "_is_left", lambda each, model: False)
    work.claim_models({"attic"}, "", 2)
    assert work.result.left == ["shop", "depot"], "annex has nothing left to do, and takes nobody's place"
    work.claim_models(set(), "", 0)
    assert work.result.left == ["shop", "depot", "attic"]
    work.claim_models(set(), "depot", 2)
    assert work.result.left == ["depot"]


def test_what_no_snapshot_holds_is_told_to_be_nothing(store: Store) -> None:
    ask(store, "unheld", ["0" * 64])
    intake.add(store, [Request(id="nobody", subject="ann", received=NOW - timedelta(days=1))], by="test", now=NOW)
    result = collect(batch="b1", now=NOW)
    assert sorted(result.nothing_found) == ["nobody", "unheld"]
    assert statuses(store, "unheld", "nobody") == ["nothing_found", "nothing_found"]


def test_a_damaged_snapshot_keeps_open_what_it_could_hold_and_nothing_else(
    chain: Chain, store: Store, members: tuple[str, ...]
) -> None:
    store.create(f"{snapshot_key('d' * 64)}/{MANIFEST_FILE}", b'{"class_names": ["caf\\udce9"]}')
    ask(store, "stranger", ["0" * 64])
    ask(store, "quiet", splits.load(chain["split"]).holdout[:1])
    ask(store, "known", members[:2])
    result = collect(batch="b1", now=NOW)
    (line,) = result.batch.damaged
    assert line.startswith("snapshot dddddddddddd in the store is damaged: put ")
    assert result.counts()["damaged_snapshots"] == 1
    assert sorted(each.request for each in result.skipped) == ["quiet", "stranger"]
    assert all(line in each.why for each in result.skipped)
    assert statuses(store, "stranger", "quiet", "known") == ["received", "received", "claimed"]
    assert batch_report("b1", now=NOW).batch.damaged == (line,)
    for key in store.list(snapshot_key("d" * 64)):
        store.delete(key)
    later = collect(batch="b2", now=NOW)
    assert (later.nothing_found, later.settled, later.batch.damaged) == (["stranger"], ["quiet"], ())


def test_records_that_no_model_was_trained_on_leave_its_data_at_once(
    chain: Chain, store: Store, registry: Registry, served: Version
) -> None:
    split = splits.load(chain["split"])
    gone = (split.holdout[0], split.test[1])
    ask(store, "quiet", gone)
    assert collect(batch="b1", now=NOW).settled == ["quiet"]
    assert state(store, "quiet").models[""].how == "never_trained"
    now = registry.resolve(MODEL, "champion")
    assert now.version == served.version
    left = load_split(store, data_of(now).split)
    assert set(gone).isdisjoint(left.ids)
    assert left.members == split.members
    assert set(tombstones.load(store)) == every_id(chain, gone)


def test_what_would_take_most_of_a_model_is_for_a_person_and_holds_nobody_back(
    store: Store, members: tuple[str, ...]
) -> None:
    ask(store, "greedy", members[: int(0.6 * len(members))], received=NOW - timedelta(days=20))
    ask(store, "modest", members[-3:])
    result = collect(batch="b1", now=NOW)
    assert [each.requests for each in result.batch.models] == [("modest",)]
    assert statuses(store, "greedy", "modest") == ["escalated", "claimed"]


def test_two_requests_that_together_take_too_much_are_honoured_one_after_another(
    store: Store, members: tuple[str, ...]
) -> None:
    third = int(0.4 * len(members))
    ask(store, "one", members[:third], received=NOW - timedelta(days=20))
    ask(store, "two", members[third : 2 * third])
    result = collect(batch="b1", now=NOW)
    assert [each.requests for each in result.batch.models] == [("one",)]
    assert [each.request for each in result.skipped] == ["two"]
    assert statuses(store, "one", "two") == ["claimed", "resolved"]


@pytest.mark.slow
def test_only_what_is_due_soon_is_taken_where_that_is_asked(store: Store, members: tuple[str, ...]) -> None:
    ask(store, "soon", members[:1], received=NOW - timedelta(days=25))
    ask(store, "later", members[1:2])
    (work,) = collect(batch="b1", now=NOW, due_within_days=7).batch.models
    assert work.requests == ("soon",)


def test_a_fulfilled_batch_is_tombstoned_withdrawn_and_certified(
    chain: Chain, store: Store, registry: Registry, members: tuple[str, ...], tmp_path: Path
) -> None:
    ask(store, "R1", members[:20])
    ask(store, "R2", members[20:22])
    collect(batch="b1", now=NOW)
    made = honoured("b1", MODEL, tmp_path)
    told = fulfil(batch="b1", model=MODEL, now=NOW, grace_days=7)
    assert (told.version, sorted(told.fulfilled), told.escalated) == (made.version, ["R1", "R2"], [])
    assert fulfil(batch="b1", model=MODEL, now=NOW, grace_days=7) == told
    history = Ledger(store).history("R1")
    assert history is not None
    kinds = [event.details.kind for event in history.events]
    assert kinds == ["received", "resolved", "claimed", "unlearned", "audited", "fulfilled"]
    assert set(tombstones.load(store)) == every_id(chain, members[:22])
    old, new = registry.versions(MODEL)
    assert (old.tags.status, old.aliases) == ("withdrawn", ())
    assert old.tags.purge_after.startswith("2027-03-08")
    assert new.tags.requests["R1"] == new.tags.requests["R2"] == "fulfilled"

    key = keys.new()
    result = certify(now=NOW + timedelta(hours=1), key=key)
    assert result.certificates == {"R1": certificate_key("R1", 1), "R2": certificate_key("R2", 1)}
    again = certify(now=NOW + timedelta(hours=2), key=key)
    assert (again.certificates, again.checkpoint, result.checkpoint) == ({}, checkpoint_key(1), checkpoint_key(1))
    content = store.read(certificate_key("R1", 1))
    known = Keyring(keys=(keyring.trusted(keys.raw_public(key)),))
    assert verification.verify(content, known).verified
    looked = checkpoints.verify(store, Trust(known, only=True))
    assert (looked.problems, looked.newest and looked.newest.size) == ((), 4 + len(store.list("tombstones")))
    assert not any(identity.encode() in content for identity in members)
    assert registry.resolve(MODEL).tags.certificates["R1"] == certificate_key("R1", 1)
    assert state(store, "R1").closed
    assert store.list("open") == []


@pytest.mark.slow
def test_the_next_batch_takes_what_arrived_meanwhile_and_the_model_forgets_both(
    store: Store, registry: Registry, members: tuple[str, ...], tmp_path: Path
) -> None:
    ask(store, "R1", members[:20])
    collect(batch="b1", now=NOW)
    honoured("b1", MODEL, tmp_path / "first")
    fulfil(batch="b1", model=MODEL, now=NOW)
    ask(store, "R2", members[20:40])
    ask(store, "R3", members[:3])
    second = collect(batch="b2", now=NOW)
    assert [each.requests for each in second.batch.models] == [("R2",)]
    assert second.settled == ["R3"], "another request has had these records erased"
    honoured("b2", MODEL, tmp_path / "second")
    fulfil(batch="b2", model=MODEL, now=NOW)
    champion = registry.resolve(MODEL)
    assert set(load_split(store, data_of(champion).split).members) == set(members[40:])
    assert champion.tags.requests["R1"] == champion.tags.requests["R2"] == "fulfilled"


@pytest.mark.slow
def test_a_batch_whose_candidates_all_failed_leaves_its_requests_to_a_person(
    store: Store, members: tuple[str, ...]
) -> None:
    ask(store, "R1", members[:2])
    collect(batch="b1", now=NOW)
    told = fulfil(batch="b1", model=MODEL, now=NOW)
    assert (told.fulfilled, told.escalated) == ([], ["R1"])
    assert state(store, "R1").models[MODEL].status == "escalated"
    assert tombstones.load(store) == {}
    assert collect(batch="b2", now=NOW + timedelta(days=2)).batch.models == ()


@pytest.mark.slow
def test_what_a_batch_did_not_finish_is_released_and_taken_by_the_next(store: Store, members: tuple[str, ...]) -> None:
    ask(store, "R1", members[:2])
    collect(batch="b1", now=NOW)
    (told,) = release(batch="b1", now=NOW)
    assert told.released == ["R1"]
    assert release(batch="unknown", now=NOW) == []
    (work,) = collect(batch="b2", now=NOW).batch.models
    assert work.requests == ("R1",)


@pytest.mark.slow
def test_a_batch_that_died_after_its_promotion_is_not_repeated(
    store: Store, registry: Registry, members: tuple[str, ...], tmp_path: Path
) -> None:
    ask(store, "R1", members[:20])
    collect(batch="b1", now=NOW, lease_hours=1)
    made = honoured("b1", MODEL, tmp_path)
    result = collect(batch="b2", now=NOW + timedelta(hours=2))
    assert result.batch.models == ()
    assert state(store, "R1").models[MODEL].version == made.version
    assert state(store, "R1").models[MODEL].how in ("retrained", "accepted")
    assert [each.tags.status for each in registry.versions(MODEL)] == ["withdrawn", "serving"]


def test_a_batch_that_died_before_its_promotion_is_taken_over_when_its_claims_ended(
    store: Store, members: tuple[str, ...]
) -> None:
    ask(store, "R1", members[:2])
    collect(batch="b1", now=NOW, lease_hours=1)
    assert collect(batch="b2", now=NOW + timedelta(minutes=63)).batch.models == (), "clocks may differ"
    (work,) = collect(batch="b3", now=NOW + timedelta(hours=2)).batch.models
    assert work.requests == ("R1",)
    assert state(store, "R1").models[MODEL].batch == "b3"


def test_a_forget_set_of_a_batch_is_what_its_requests_ask_for(
    chain: Chain, store: Store, members: tuple[str, ...], tmp_path: Path
) -> None:
    ask(store, "R1", members[3:5])
    collect(batch="b1", now=NOW)
    given: dict[str, Any] = {"snapshot_path": chain["snapshot"], "split_path": chain["split"], "seed": 0}
    given |= {"kind": "batch", "fraction": 0.2, "class_name": "", "ids": "", "batch": "b1"}
    assert select(**given, model_name=MODEL, forget_path=tmp_path / "forget").records == 2
    with pytest.raises(UserError, match="nothing to do for model 'other'"):
        select(**given, model_name="other", forget_path=tmp_path / "forget")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"batch": "../b"}, "cannot be one's name"),
        ({"lease_hours": 0.0}, "lease_hours 0.0 is not possible"),
        ({"lease_hours": float("nan")}, "lease_hours nan is not possible"),
        ({"due_within_days": -1.0}, "due_within_days -1.0 is not possible"),
        ({"grace_days": -1}, "grace_days -1 is not possible"),
    ],
)
def test_a_parameter_without_meaning_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], problem: str
) -> None:
    """Before anything is looked for: there is neither a store nor a registry."""
    set_home(monkeypatch, tmp_path / "home")
    parameters: dict[str, Any] = {"batch": "b1", "now": NOW} | given
    with pytest.raises(UserError, match=problem):
        collect(**parameters)
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_a_batch_that_is_run_again_has_nothing_left_to_do(
    store: Store, registry: Registry, members: tuple[str, ...], tmp_path: Path
) -> None:
    ask(store, "R1", members[:20])
    assert collect(batch="b1", now=NOW).left == [MODEL]
    honoured("b1", MODEL, tmp_path)
    again = collect(batch="b1", now=NOW)
    assert again.left == [], "it had been promoted before anybody said so"
    assert statuses(store, "R1") == ["fulfilled"]
    assert [each.tags.status for each in registry.versions(MODEL)] == ["withdrawn", "serving"]
    assert collect(batch="b1", now=NOW).left == []


@pytest.mark.slow
def test_a_batch_that_is_run_again_after_it_failed_takes_its_requests_back(
    store: Store, members: tuple[str, ...]
) -> None:
    ask(store, "R1", members[:3])
    ask(store, "R2", members[3:6])
    collect(batch="b1", now=NOW)
    release(batch="b1", now=NOW)
    intake.withdraw(store, "R2", reason="changed their mind", by="test", now=NOW)
    assert collect(batch="b1", now=NOW + timedelta(hours=1)).left == [MODEL]
    assert statuses(store, "R1", "R2") == ["claimed", "withdrawn"]


@pytest.mark.slow
def test_a_batch_that_is_run_again_leaves_alone_what_another_has_taken(store: Store, members: tuple[str, ...]) -> None:
    ask(store, "R1", members[:3])
    collect(batch="b1", now=NOW)
    release(batch="b1", now=NOW)
    collect(batch="b2", now=NOW)
    assert collect(batch="b1", now=NOW).left == []
    assert state(store, "R1").models[MODEL].batch == "b2"


@pytest.mark.slow
def test_who_withdrew_meanwhile_is_not_forgotten(
    chain: Chain, store: Store, members: tuple[str, ...], tmp_path: Path
) -> None:
    ask(store, "R1", members[:3])
    ask(store, "R2", members[3:6])
    collect(batch="b1", now=NOW)
    release(batch="b1", now=NOW)
    intake.withdraw(store, "R2", reason="changed their mind", by="test", now=NOW)
    collect(batch="b1", now=NOW)
    given: dict[str, Any] = {"snapshot_path": chain["snapshot"], "split_path": chain["split"], "seed": 0}
    given |= {"kind": "batch", "fraction": 0.2, "class_name": "", "ids": "", "batch": "b1", "model_name": MODEL}
    assert select(**given, forget_path=tmp_path / "forget").records == 3


@pytest.mark.slow
def test_a_batch_that_has_purged_its_own_records_can_be_ended_and_run_again(
    store: Store, members: tuple[str, ...], tmp_path: Path
) -> None:
    ask(store, "R1", members[:20])
    collect(batch="b1", now=NOW)
    honoured("b1", MODEL, tmp_path)
    fulfil(batch="b1", model=MODEL, now=NOW, grace_days=0)
    certify(now=NOW, key=keys.new())
    purge(now=NOW + timedelta(hours=1), grace_days=0)
    with pytest.raises(errors.PurgedError, match="they were purged"):
        batches.wanted(store, batches.load(store, "b1"), MODEL)
    (told,) = release(batch="b1", now=NOW + timedelta(hours=1), grace_days=0)
    assert told.released == []
    assert collect(batch="b1", now=NOW + timedelta(hours=2)).left == []


@pytest.mark.slow
def test_what_a_batch_that_died_has_left_in_use_is_withdrawn_before_the_certificate(
    store: Store,
    registry: Registry,
    members: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(promotion, "PATIENCE", 0.0)
    ask(store, "R1", members[:20])
    collect(batch="b1", now=NOW)
    honoured("b1", MODEL, tmp_path)
    held = lock(store, promotion_lock(MODEL), "somebody", seconds=60)
    with held, pytest.raises(UserError, match="held by somebody"):
        fulfil(batch="b1", model=MODEL, now=NOW)
    assert statuses(store, "R1") == ["fulfilled"]
    assert registry.versions(MODEL)[0].tags.status == "superseded"
    collect(batch="b2", now=NOW + timedelta(days=2))
    certify(now=NOW + timedelta(days=2), key=keys.new(), grace_days=3)
    old = registry.versions(MODEL)[0]
    assert (old.tags.status, old.aliases) == ("withdrawn", ())
    assert old.tags.purge_after.startswith("2027-03-06")
    assert state(store, "R1").closed


@pytest.mark.slow
def test_what_one_attempt_of_a_batch_released_and_another_finished_counts(
    store: Store, registry: Registry, members: tuple[str, ...], tmp_path: Path
) -> None:
    ask(store, "R1", members[:20])
    collect(batch="b1", now=NOW)
    chosen = RANDOM | {"kind": "batch", "batch": "b1", "model_name": MODEL}
    found = forgotten_again(resolved(MODEL, "champion", tmp_path), tmp_path, chosen=chosen)
    release(batch="b1", now=NOW)
    given: dict[str, Any] = {"model_name": MODEL, "parent": "1", "run_name": "b1", "batch": "b1"}
    promote(evidence_at(**found), **given, policy=Policy(on_inconclusive="accept"))
    assert fulfil(batch="b1", model=MODEL, now=NOW).fulfilled == ["R1"]
    assert state(store, "R1").models[MODEL].version == "2"
    assert [each.tags.status for each in registry.versions(MODEL)] == ["withdrawn", "serving"]
    assert certify(now=NOW, key=keys.new()).certificates == {"R1": certificate_key("R1", 1)}


@pytest.mark.slow
@pytest.mark.parametrize("died", [False, True], ids=["told at once", "died after the rejected one was told"])
def test_what_another_attempt_of_a_batch_had_rejected_meanwhile_keeps_nobody_from_what_serves(
    store: Store, members: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, died: bool
) -> None:
    """Found by running the same batch twice at once: the rejected candidate was told last, and fulfilling refused."""
    ask(store, "R1", members[:20])
    collect(batch="b1", now=NOW)
    chosen = RANDOM | {"kind": "batch", "batch": "b1", "model_name": MODEL}
    served, rejected = (
        forgotten_again(resolved(MODEL, "champion", tmp_path / name), tmp_path / name, chosen=chosen, seed=seed)
        for name, seed in (("served", 7), ("rejected", 8))
    )
    measured: dict[str, Any] = {name: rejected[name] for name in ("audit_path", "evaluation_path", "verdict_path")}
    decide(**measured, policy=Policy(auc_margin=0.01, utility_margin=0.01), method="retrain")
    named: dict[str, Any] = {"model_name": MODEL, "parent": "1", "batch": "b1"}
    promote(evidence_at(**served), **named, run_name="b1", policy=Policy(on_inconclusive="accept"))
    reject(evidence_at(**rejected), **named, run_name="b1 again", action="retrain")
    if died:
        append = Ledger.append

        def dies(ledger: Ledger, state: State, details: Any, **more: Any) -> State:
            if isinstance(details, Fulfilled):
                raise KeyboardInterrupt
            return append(ledger, state, details, **more)

        monkeypatch.setattr(Ledger, "append", dies)
        with pytest.raises(KeyboardInterrupt):
            fulfil(batch="b1", model=MODEL, now=NOW)
        monkeypatch.setattr(Ledger, "append", append)
        held = state(store, "R1").models[MODEL]
        told = Ledger(store)
        for details in (
            Unlearned(model=MODEL, batch="b1", digest=models.digest(rejected["candidate_path"]), method="retrain"),
            Audited(model=MODEL, batch="b1", outcome="inconclusive", action="retrain"),
        ):
            told.append(state(store, "R1"), details, by="another attempt", now=NOW)
        assert held.action != "retrain"
    assert fulfil(batch="b1", model=MODEL, now=NOW).fulfilled == ["R1"]
    assert state(store, "R1").models[MODEL].version == "2"
    assert certify(now=NOW, key=keys.new()).certificates == {"R1": certificate_key("R1", 1)}


@pytest.mark.slow
def test_data_of_which_only_the_snapshot_was_rewritten_is_put_right(
    chain: Chain, store: Store, registry: Registry, served: Version
) -> None:
    gone = splits.load(chain["split"]).holdout[:2]
    before = data_of(served)
    erase(store, registry, {"quiet": gone}, now=NOW)
    after = data_of(registry.resolve(MODEL))
    registry.set_tags(served, Tags.model_validate({"split": before.split}))
    erase(store, registry, {"quiet": gone}, now=NOW)
    assert data_of(registry.resolve(MODEL)) == after != before


@pytest.mark.slow
def test_a_clock_that_is_behind_keeps_nobody_from_a_certificate(
    store: Store, members: tuple[str, ...], tmp_path: Path
) -> None:
    ask(store, "R1", members[:20])
    collect(batch="b1", now=NOW)
    honoured("b1", MODEL, tmp_path)
    fulfil(batch="b1", model=MODEL, now=NOW)
    result = certify(now=NOW - timedelta(minutes=4), key=keys.new())
    assert (list(result.certificates), result.skipped) == (["R1"], ())


@pytest.mark.slow
def test_what_was_purged_before_the_certificate_stands_in_the_first_one(
    store: Store, registry: Registry, members: tuple[str, ...], tmp_path: Path
) -> None:
    """As when a batch died between the purge and the certificate, or between two certificates."""
    ask(store, "R1", members[:20])
    collect(batch="b1", now=NOW)
    honoured("b1", MODEL, tmp_path)
    fulfil(batch="b1", model=MODEL, now=NOW, grace_days=0)
    registry.set_tags(registry.versions(MODEL)[0], Tags.model_validate({"status": "purged", "purged_objects": "7"}))
    result = certify(now=NOW, key=keys.new())
    assert (list(result.certificates), result.skipped) == (["R1"], ())
    assert state(store, "R1").head.kind == "certified"
    assert [each.objects for each in state(store, "R1").purged] == [7]
