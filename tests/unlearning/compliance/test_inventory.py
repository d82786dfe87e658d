"""Where records are, and what follows from it: the accidents of an office, one by one. `test_office` plays them at
random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.unlearning.compliance.office import GRACE_DAYS, IDS, PEOPLE, PICTURES, Office, opened
from tests.unlearning.compliance.test_office import documents
from unlearning.compliance.certificates import dsse, statement
from unlearning.compliance.certificates.predicate import Erasure
from unlearning.compliance.inventory import Inventory, StoredSnapshot, stored_snapshots
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests import intake
from unlearning.compliance.requests.requests import Request, private_keys
from unlearning.compliance.requests.whereabouts import whereabouts
from unlearning.compliance.retention import tombstones
from unlearning.data import snapshots
from unlearning.data.records import Records, other_id, record_ids
from unlearning.data.snapshots import MANIFEST_FILE, RECORDS_FILE, Snapshot
from unlearning.lineage import queries
from unlearning.registry.versions import champion, data_of
from unlearning.reporting.summary import Summary
from unlearning.storage.datasets import keep_snapshot, load_split
from unlearning.storage.keys import certificate_key, snapshot_key
from unlearning.storage.local import LocalStore

MakeRecords = Callable[..., Records]
ALL = frozenset(range(PICTURES))


@pytest.fixture
def office(tmp_path: Path, make_summary: Callable[..., Summary], monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """An office with one original of the model `shop`, trained on half of all pictures."""
    office = opened(tmp_path / "home", documents(make_summary), monkeypatch)
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
    stones = {each for each, requests in tombstones.load(office.store).items() if request in requests}
    assert stones.intersection(IDS) == mine
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


def test_what_is_asked_for_by_id_does_not_come_in_later(office: Office) -> None:
    held = next(iter(members(office, "shop")))
    never = record_ids(torch.full((1, 1, 5, 5), 7, dtype=torch.uint8))[0]
    asked = Request.model_validate({"id": "R9", "records": (held, never), "received": office.now})
    office.asked["R9"] = asked
    intake.add(office.store, [asked], by="office", now=office.now)
    batch(office)
    assert {held, never} <= tombstones.load(office.store).keys()


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
    assert held.of_subject("Zoe\u0308") == {"a"}
    assert held.similar_to("Zoe\u0308") == {"zoë"}


def test_near_misses_are_told_with_their_number_and_close_nothing(office: Office) -> None:
    asked = Request.model_validate({"id": "R9", "subject": "P 1", "received": office.now})
    office.asked["R9"] = asked
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


# Snapshots in the store


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def inventory_of(store: LocalStore) -> Inventory:
    found, damaged = stored_snapshots(store)
    return Inventory(found, (), {}, {}, damaged)


def asked_for(*records: str) -> Request:
    return Request.model_validate({"id": "R", "records": records, "received": "2026-01-01T00:00:00Z"})


def kept(store: LocalStore, records: Records, tmp_path: Path) -> Snapshot:
    made = snapshots.build(records, source="made up", licence="CC0", class_names=("cat", "dog"))
    snapshots.save(made, tmp_path / "made")
    keep_snapshot(store, tmp_path / "made", made.manifest.digest)
    return made


def as_before(made: Snapshot) -> Snapshot:
    """With the ids that grey pictures in three channels had before."""
    ids = tuple(other_id(each.numpy()) or "" for each in made.records.images)
    return Snapshot(
        made.records,
        made.manifest.model_copy(update={"record_ids": ids, "ids": "stored", "digest": "d" * 64, "subjects": {}}),
    )


@pytest.mark.parametrize("content", [b"{", b'{"class_names": ["caf\\udce9"]}', b"{}"])
def test_a_damaged_snapshot_is_told_beside_the_others(
    store: LocalStore, noise: MakeRecords, tmp_path: Path, content: bytes
) -> None:
    good, bad = (kept(store, noise(2, shape=(1, size, size)), tmp_path) for size in (5, 6))
    (store.root / snapshot_key(bad.manifest.digest) / MANIFEST_FILE).write_bytes(content)
    found, damaged = stored_snapshots(store)
    assert [each.digest for each in found] == [good.manifest.digest]
    (line,) = damaged
    assert line.startswith(f"snapshot {bad.manifest.digest[:12]} in the store is damaged: put ")


def test_grey_pictures_of_before_are_known_by_both_ids(store: LocalStore, noise: MakeRecords, tmp_path: Path) -> None:
    one = noise(2, shape=(1, 6, 6))
    new = kept(store, one, tmp_path)
    three = snapshots.build(
        Records(one.images.repeat(1, 3, 1, 1), one.labels), source="made up", licence="CC0", class_names=("cat", "dog")
    )
    old = as_before(three)
    snapshots.save(old, tmp_path / "old")
    keep_snapshot(store, tmp_path / "old", old.manifest.digest)
    both = {each.digest: each for each in stored_snapshots(store)[0]}
    assert both[new.manifest.digest].other_ids == {}
    assert set(both["d" * 64].other_ids) == {*new.manifest.record_ids, *old.manifest.record_ids}
    assert inventory_of(store).knows(asked_for(*new.manifest.record_ids, *old.manifest.record_ids))


def test_an_id_that_no_manifest_names_is_looked_for_among_the_pixels(
    store: LocalStore, noise: MakeRecords, tmp_path: Path
) -> None:
    made = kept(store, noise(2, shape=(1, 6, 6)), tmp_path)
    asked = [other_id(made.records.images[0].numpy()) or "", "0" * 64]
    held = inventory_of(store)
    assert not held.knows(asked_for(asked[0]))
    more = held.with_other_ids(store)
    assert more.complete
    assert more.knows(asked_for(asked[0]))
    assert more.records_of(asked_for(*asked)) == {made.manifest.record_ids[0]}
    assert not more.knows(asked_for(asked[1]))


def test_pixels_that_cannot_be_read_are_damage_too(store: LocalStore, noise: MakeRecords, tmp_path: Path) -> None:
    made = kept(store, noise(2, shape=(1, 6, 6)), tmp_path)
    (store.root / snapshot_key(made.manifest.digest) / RECORDS_FILE).write_bytes(b"no tensors")
    held = inventory_of(store).with_other_ids(store)
    assert len(held.damaged) == len(held.snapshots) == 1


def test_what_is_still_arriving_is_no_damage(store: LocalStore) -> None:
    store.create(f"{snapshot_key('a' * 64)}/{RECORDS_FILE}", bytes(torch.zeros(1, dtype=torch.uint8).numpy()))
    assert stored_snapshots(store) == ((), ())


def test_which_versions_have_not_honoured_a_request_is_told_by_their_records_not_by_their_tags(office: Office) -> None:
    request = ask(office, subject="0")
    assert queries.holders(office.registry, request) == frozenset({("shop", "1")})
    office.set_tag("shop", "1", f"request.{request}", "fulfilled")
    office.delete_tag("shop", "1", "split")
    assert queries.holders(office.registry, request) == frozenset({("shop", "1")})
    batch(office, "promote")
    assert queries.holders(office.registry, request) == frozenset({("shop", "1")}), (
        "it is withdrawn, and its weights are stored"
    )
    for key in private_keys(office.store, request):
        office.store.delete(key)
    assert queries.holders(office.registry, request) is None


def test_what_serves_again_after_it_was_withdrawn_keeps_its_data_and_every_batch_tells(office: Office) -> None:
    """Members and what was held out: the next unlearning would need it. Once another version serves, all of it goes."""
    ask(office, subject="2")
    batch(office, "promote")
    office.move_champion("shop", "1")
    office.steps += 1
    result = office.batch(["promote"], dies="", meanwhile=False)
    assert result is not None
    assert len(result.undone) == 1
    assert "shop version 1 serves and holds what was erased for request R0" in result.undone[0]
    office.later(24 * (GRACE_DAYS + 1))
    office.purge()
    assert office.registry.resolve("shop", "1").tags.status != "purged"
    office.move_champion("shop", "2")
    office.purge()
    assert office.registry.resolve("shop", "1").tags.status == "purged"
    assert office.found_again() == []
