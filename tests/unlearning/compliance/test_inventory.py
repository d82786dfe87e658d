"""Where records are, and what follows from it: the accidents of an office, one by one. `test_office` plays them at
random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest

from tests.mlflow_in_memory import Client
from tests.unlearning.compliance.office import GRACE_DAYS, IDS, PEOPLE, PICTURES, Office
from tests.unlearning.compliance.test_office import documents
from unlearning.compliance.certificates import dsse, statement
from unlearning.compliance.certificates.predicate import Erasure
from unlearning.compliance.inventory import Inventory, StoredSnapshot
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests.requests import Request
from unlearning.compliance.requests.whereabouts import whereabouts
from unlearning.compliance.retention import tombstones
from unlearning.registry.versions import champion, data_of
from unlearning.reporting.summary import Summary
from unlearning.storage.datasets import load_split
from unlearning.storage.keys import certificate_key

ALL = frozenset(range(PICTURES))


@pytest.fixture
def office(tmp_path: Path, make_summary: Callable[..., Summary], monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """An office with one original of the model `shop`, trained on half of all pictures."""
    client = Client(tmp_path / "home/mlartifacts")
    monkeypatch.setattr(mlflow, "MlflowClient", lambda *_: client)
    for name, value in {
        "UNLEARNING_HOME": str(tmp_path / "home"),
        "UNLEARNING_COMMIT": "test",
        "MLFLOW_TRACKING_URI": "http://office.invalid",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("UNLEARNING_STORE", "UNLEARNING_CHECKPOINTS", "UNLEARNING_PIPELINE_ROOT"):
        monkeypatch.delenv(name, raising=False)
    office = Office(tmp_path / "home", client, documents(make_summary))
    train(office, "shop", seed=1)
    yield office
    office.work_through()
    assert office.found_again() == []


def train(office: Office, model: str, *, seed: int, pictures: frozenset[int] = ALL) -> None:
    office.begin(model, pictures, seed)
    office.finish(office.trainings[-1])


def ask(office: Office, *records: str, subject: str = "", model: str = "") -> str:
    if subject:
        office.request(int(subject), frozenset(), model)
    else:
        office.request(None, frozenset(IDS.index(each) for each in records), model)
    return list(office.asked)[-1]


def batch(office: Office, *outcomes: str, meanwhile: bool = False) -> None:
    office.steps += 1
    office.later(1)
    office.batch(list(outcomes or ("promote",)), dies="", meanwhile=meanwhile)


def certificate(office: Office, request: str, number: int = 1) -> Erasure:
    content = office.store.read(certificate_key(request, number))
    return statement.parse(dsse.decoded(dsse.read(content).payload)).predicate


def members(office: Office, model: str, version: str = "") -> frozenset[str]:
    found = office.registry.versions(model)
    chosen = next(each for each in found if each.version == version) if version else champion(found)
    assert chosen is not None
    return frozenset(load_split(office.store, data_of(chosen).split).members)


def test_all_records_of_a_person_are_erased_members_or_not(office: Office) -> None:
    mine = frozenset(each for number, each in enumerate(IDS) if number % PEOPLE == 2)
    trained = members(office, "shop")
    assert mine & trained
    assert mine - trained
    request = ask(office, subject="2")
    batch(office)
    assert {each for each, requests in tombstones.load(office.store).items() if request in requests} == mine
    serving = champion(office.registry.versions("shop"))
    assert serving is not None
    assert not mine & set(load_split(office.store, data_of(serving).split).ids)
    train(office, "shop", seed=5)
    assert not mine & members(office, "shop"), "no next split makes members of them"


def test_an_older_original_on_another_split_is_found_and_withdrawn(office: Office) -> None:
    train(office, "shop", seed=2)
    only_before = next(iter(members(office, "shop", "1") - members(office, "shop", "2")))
    request = ask(office, only_before)
    batch(office)
    (told,) = certificate(office, request).models
    assert (told.how, told.forgotten.records) == ("withdrawn", 1)
    assert told.before is not None
    assert told.after is not None
    assert (told.before.version, told.after.version) == ("1", "2")
    (waiting,) = certificate(office, request).to_be_purged
    assert waiting.version == "1"
    assert office.registry.versions("shop")[0].tags.status == "withdrawn"


def test_another_model_on_the_same_folder_forgets_too(office: Office) -> None:
    train(office, "shelf", seed=1)
    both = members(office, "shop") & members(office, "shelf")
    request = ask(office, next(iter(both)))
    batch(office, "promote", "promote")
    told = {each.name: each.how for each in certificate(office, request).models}
    assert told == {"shop": "unlearned", "shelf": "unlearned"}


def test_a_rejected_candidate_has_forgotten_nothing(office: Office) -> None:
    record = next(iter(members(office, "shop")))
    request = ask(office, record)
    batch(office, "reject")
    assert Ledger(office.store).state(request).status == "escalated"
    inventory = Inventory.of(office.store, office.registry)
    assert [each.version.version for each in inventory.model("shop").holders({record})] == ["1", "2"]


@pytest.mark.parametrize("tag", ["kind", "split", "snapshot", "digest", "status", "parent"])
def test_a_tag_that_somebody_deletes_hides_nothing(office: Office, tag: str) -> None:
    record = next(iter(members(office, "shop")))
    office.delete_tag("shop", "1", tag)
    request = ask(office, record)
    batch(office)
    assert [each.how for each in certificate(office, request).models] == ["unlearned"]


def test_a_tag_that_somebody_moves_hides_nothing(office: Office) -> None:
    train(office, "shop", seed=2)
    only_before = next(iter(members(office, "shop", "1") - members(office, "shop", "2")))
    office.set_tag("shop", "1", "split", office.registry.versions("shop")[1].tags.split)
    office.set_tag("shop", "1", "status", "purged")
    request = ask(office, only_before)
    batch(office)
    assert [each.how for each in certificate(office, request).models] == ["withdrawn"]


def test_a_version_under_another_name_is_found(office: Office) -> None:
    """As MLflow's copying does: the same source and run, without tags."""
    record = next(iter(members(office, "shop")))
    version = office.client.models["shop"].versions["1"]
    office.client.register("copy", {}, b"", {}, 0)
    copied = office.client.models["copy"].versions["1"]
    copied.source, copied.run_id, copied.tags = version.source, version.run_id, {}
    inventory = Inventory.of(office.store, office.registry)
    assert inventory.model("copy").holders({record})
    office.delete_version("copy", "1")


def test_without_a_champion_what_holds_the_records_is_withdrawn(office: Office) -> None:
    record = next(iter(members(office, "shop")))
    office.drop_champion("shop")
    request = ask(office, record)
    batch(office)
    (told,) = certificate(office, request).models
    assert (told.how, told.after) == ("withdrawn", None)


@pytest.mark.parametrize("purged", [False, True], ids=["before the purge", "after it"])
@pytest.mark.parametrize("model", ["", "shop"], ids=["every model", "one model"])
def test_who_asks_later_is_told_what_the_first_was_told(office: Office, purged: bool, model: str) -> None:
    record = next(iter(members(office, "shop")))
    first = ask(office, record)
    batch(office)
    if purged:
        office.later(24 * (GRACE_DAYS + 1))
        office.purge()
    later = ask(office, record, model=model)
    batch(office)
    told = [certificate(office, each).models[0] for each in (first, later)]
    assert [each.how for each in told] == ["unlearned", "unlearned"]
    assert told[0].after == told[1].after
    assert told[0].forgotten == told[1].forgotten


def test_a_count_is_the_requests_own(office: Office) -> None:
    one, two, three = sorted(members(office, "shop"))[:3]
    requests = ask(office, one), ask(office, two, three)
    batch(office)
    assert [certificate(office, each).models[0].forgotten.records for each in requests] == [1, 2]


def test_never_trained_is_said_where_no_stored_version_was(office: Office) -> None:
    record = next(each for each in IDS if each not in members(office, "shop"))
    request = ask(office, record)
    batch(office)
    (told,) = certificate(office, request).models
    assert (told.name, told.how, told.forgotten.records) == ("shop", "never_trained", 0)


def test_an_original_that_is_registered_while_a_batch_runs_is_told_as_what_it_is(office: Office) -> None:
    """Seen on a cluster: it served just before `fulfil`, and the certificate looked for the parent of an original."""
    office.begin("shop", ALL, 2)
    split = office.trainings[-1].split
    record = next(iter(members(office, "shop") - set(split.members)))
    office.trainings.clear()
    request = ask(office, record)
    office.begin("shop", ALL - {IDS.index(record)}, 3)
    batch(office, "nothing", meanwhile=True)
    batch(office)
    (told,) = certificate(office, request).models
    assert told.how == "withdrawn"
    assert office.registry.versions("shop")[0].tags.status == "withdrawn"


def test_what_serves_again_is_told_by_every_batch(office: Office) -> None:
    ask(office, next(iter(members(office, "shop"))))
    batch(office)
    office.move_champion("shop", "1")
    office.steps += 1
    found = office.batch(["nothing"], dies="collect", meanwhile=False)
    assert found is not None
    assert found.undone == [
        "shop version 1 serves and holds what was erased for request R0: promote a version that has forgotten it"
    ]


def test_a_version_that_somebody_deletes_leaves_no_weights(office: Office) -> None:
    ask(office, next(iter(members(office, "shop"))))
    batch(office)
    office.delete_version("shop", "1")
    office.later(24 * (GRACE_DAYS + 1))
    office.purge()
    assert len(list((office.home / "mlartifacts/models").rglob("weights.safetensors"))) == 1


def test_a_person_is_found_however_their_id_is_spelled() -> None:
    held = StoredSnapshot("d", frozenset("ab"), {"a": ("Zoë",), "b": ("zoe\u0308 ",)})
    asked = Request.model_validate({"id": "R", "subject": "Zoe\u0308", "received": "2026-01-01T00:00:00Z"})
    assert held.of(asked) == {"a"}
    assert held.similar_to("Zoe\u0308") == {"zoë"}


def test_near_misses_are_told_with_their_number_and_close_nothing(office: Office) -> None:
    asked = Request.model_validate({"id": "R9", "subject": "P 1", "received": office.now})
    office.asked["R9"] = asked
    from unlearning.compliance.requests import intake

    intake.add(office.store, [asked], by="office", now=office.now)
    office.steps += 1
    found = office.batch([], dies="collect", meanwhile=False)
    assert found is not None
    (skipped,) = found.skipped
    assert "of 1 whose id differs in case or spaces alone" in skipped.why
    assert not Ledger(office.store).state("R9").closed


def test_nothing_found_is_looked_for_again(office: Office) -> None:
    office.asked.clear()
    train(office, "shelf", seed=1, pictures=frozenset(range(12)))
    request = ask(office, subject=str(PEOPLE))
    batch(office)
    state = Ledger(office.store).state(request)
    assert (state.status, state.closed) == ("nothing_found", False)
    office.change_their_mind(request)
    assert Ledger(office.store).state(request).closed


def test_where_a_record_is(office: Office) -> None:
    record = next(iter(members(office, "shop")))
    request = ask(office, record)
    batch(office)
    (found,) = whereabouts(Inventory.of(office.store, office.registry), [record])
    assert [each.version for each in found.versions] == ["shop version 1"]
    assert found.versions[0].status == "withdrawn"
    assert found.erased_for == (request,)
    assert len(found.snapshots) == 1
