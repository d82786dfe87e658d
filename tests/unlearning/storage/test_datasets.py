from __future__ import annotations

from pathlib import Path

import pytest

from unlearning.core.errors import UserError
from unlearning.data import snapshots, splits
from unlearning.data.provenance import DataDigests
from unlearning.registry.tags import Tags
from unlearning.registry.versions import Version, data_of
from unlearning.storage.datasets import fetch, keep_snapshot, keep_split, load, reduce
from unlearning.storage.keys import complete_key, split_key
from unlearning.storage.local import LocalStore

Chain = dict[str, Path]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def data(chain: Chain, store: LocalStore) -> DataDigests:
    """The chain's snapshot and split, in a store of this test alone."""
    split = splits.load(chain["split"])
    keep_snapshot(store, chain["snapshot"], split.snapshot)
    keep_split(store, split)
    return DataDigests(snapshot=split.snapshot, split=split.digest)


def test_what_is_kept_comes_back(chain: Chain, store: LocalStore, data: DataDigests, tmp_path: Path) -> None:
    snapshot, split = fetch(store, data, tmp_path)
    assert snapshots.load(snapshot).manifest == snapshots.load(chain["snapshot"]).manifest
    assert splits.load(split) == splits.load(chain["split"])
    assert store.exists(complete_key(data.snapshot))


def test_a_folder_that_did_not_arrive_in_full_is_put_again(chain: Chain, store: LocalStore, data: DataDigests) -> None:
    store.delete(complete_key(data.snapshot))
    (store.root / "snapshots" / data.snapshot / snapshots.RECORDS_FILE).write_bytes(b"half")
    keep_snapshot(store, chain["snapshot"], data.snapshot)
    assert load(store, data)[0].manifest.digest == data.snapshot


def test_a_split_under_a_wrong_digest_is_refused(chain: Chain, store: LocalStore, data: DataDigests) -> None:
    other = splits.without(splits.load(chain["split"]), splits.load(chain["split"]).members[:1], data.snapshot)
    splits.save(other, store.root / split_key(data.split))
    with pytest.raises(UserError, match="was changed in the store"):
        load(store, data)


def test_reduced_data_lacks_the_records_in_every_part_and_nothing_else(
    chain: Chain, store: LocalStore, data: DataDigests
) -> None:
    split = splits.load(chain["split"])
    gone = {split.members[0], split.members[5], split.calibration[1], split.holdout[2], split.test[3]}
    left = reduce(store, data, gone)
    assert left != data
    snapshot, divided = load(store, left)
    before = snapshots.load(chain["snapshot"]).manifest.record_ids
    assert snapshot.manifest.record_ids == tuple(identity for identity in before if identity not in gone)
    for part in splits.PARTS:
        assert getattr(divided, part) == tuple(each for each in getattr(split, part) if each not in gone)
    assert divided.snapshot == snapshot.manifest.digest == left.snapshot


def test_reducing_twice_or_by_unknown_ids_changes_nothing(store: LocalStore, data: DataDigests, chain: Chain) -> None:
    gone = splits.load(chain["split"]).members[:3]
    left = reduce(store, data, gone)
    there = store.list("")
    assert reduce(store, data, gone) == left
    assert reduce(store, left, gone) == left
    assert reduce(store, data, ["0" * 64]) == data
    assert store.list("") == there


def test_reducing_step_by_step_leads_to_the_same_data(store: LocalStore, data: DataDigests, chain: Chain) -> None:
    first, second = splits.load(chain["split"]).members[:3], splits.load(chain["split"]).members[3:7]
    at_once = reduce(store, data, first + second)
    assert reduce(store, reduce(store, data, second), first) == at_once


def test_a_version_that_does_not_say_what_it_stands_for_is_refused_in_one_line() -> None:
    version = Version(name="m", version="3", aliases=(), tags={"split": "b"}, description="")
    with pytest.raises(UserError, match="model m version 3 has no tag snapshot"):
        data_of(version)
    told = version.model_copy(update={"tags": Tags(snapshot="a", split="b")})
    assert data_of(told) == DataDigests(snapshot="a", split="b")
