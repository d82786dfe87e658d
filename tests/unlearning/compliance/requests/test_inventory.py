from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from unlearning.compliance.requests.inventory import Held, holdings, with_other_ids
from unlearning.compliance.requests.resolution import unknown
from unlearning.data import snapshots
from unlearning.data.records import Records, other_id
from unlearning.data.snapshots import MANIFEST_FILE, RECORDS_FILE, Snapshot
from unlearning.storage.datasets import keep_snapshot
from unlearning.storage.keys import snapshot_key
from unlearning.storage.local import LocalStore

MakeRecords = Callable[..., Records]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


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
    held = holdings(store)
    assert [each.digest for each in held.holdings] == [good.manifest.digest]
    (line,) = held.damaged
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
    both = {each.digest: each for each in holdings(store).holdings}
    assert both[new.manifest.digest].other_ids == {}
    assert set(both["d" * 64].other_ids) == {*new.manifest.record_ids, *old.manifest.record_ids}
    assert not unknown((*new.manifest.record_ids, *old.manifest.record_ids), tuple(both.values()))


def test_an_id_that_no_manifest_names_is_looked_for_among_the_pixels(
    store: LocalStore, noise: MakeRecords, tmp_path: Path
) -> None:
    made = kept(store, noise(2, shape=(1, 6, 6)), tmp_path)
    asked = [other_id(made.records.images[0].numpy()) or "", "0" * 64]
    held = holdings(store)
    assert unknown(asked, held.holdings) == set(asked)
    more = with_other_ids(store, held)
    assert more.complete
    assert unknown(asked, more.holdings) == {"0" * 64}


def test_pixels_that_cannot_be_read_are_damage_too(store: LocalStore, noise: MakeRecords, tmp_path: Path) -> None:
    made = kept(store, noise(2, shape=(1, 6, 6)), tmp_path)
    (store.root / snapshot_key(made.manifest.digest) / RECORDS_FILE).write_bytes(b"no tensors")
    held = with_other_ids(store, holdings(store))
    assert len(held.damaged) == len(held.holdings) == 1


def test_what_is_still_arriving_is_no_damage(store: LocalStore) -> None:
    store.create(f"{snapshot_key('a' * 64)}/{RECORDS_FILE}", bytes(torch.zeros(1, dtype=torch.uint8).numpy()))
    assert holdings(store) == Held(holdings=(), damaged=())
