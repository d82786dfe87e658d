from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from unlearning.core.errors import DamagedSnapshotError
from unlearning.data import snapshots
from unlearning.data.records import Records, other_id, picture_ids, record_id
from unlearning.data.snapshots import Snapshot
from unlearning.storage.datasets import keep_snapshot
from unlearning.storage.keys import snapshot_key
from unlearning.storage.local import LocalStore
from unlearning.storage.pictures import ids_of_pictures, other_ids, snapshot_digests

MakeRecords = Callable[..., Records]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def kept(store: LocalStore, records: Records, tmp_path: Path) -> Snapshot:
    made = snapshots.build(records, source="made up", licence="CC0", class_names=("cat", "dog"))
    snapshots.save(made, tmp_path / "made")
    keep_snapshot(store, tmp_path / "made", made.manifest.digest)
    return made


def test_every_id_of_stored_pictures_is_found(store: LocalStore, noise: MakeRecords, tmp_path: Path) -> None:
    grey = noise(3, shape=(1, 6, 6)).images
    grey[0, :, :2] = 7  # a border
    colour = kept(store, noise(2, shape=(3, 6, 6)), tmp_path)
    mixed = kept(store, Records(torch.cat([grey.repeat(1, 3, 1, 1)]), torch.zeros(3, dtype=torch.int64)), tmp_path)
    assert set(snapshot_digests(store)) == {colour.manifest.digest, mixed.manifest.digest}
    wanted = {each for image in grey[:2].numpy() for each in picture_ids(image)}
    asked = [record_id(image) for image in grey[:2].numpy()]
    assert ids_of_pictures(store, {"C-1": [*asked, "0" * 64]}) == {"C-1": {*wanted, "0" * 64}}
    assert len(wanted) == 6
    own = colour.manifest.record_ids
    assert ids_of_pictures(store, {"C-1": own}) == {"C-1": set(own)}


def test_both_ids_of_grey_pictures_by_the_other(store: LocalStore, noise: MakeRecords, tmp_path: Path) -> None:
    made = kept(store, noise(2, shape=(1, 6, 6)), tmp_path)
    found = other_ids(store, made.manifest.digest)
    first = made.manifest.record_ids[0]
    assert found[first] == other_id(made.records.images[0].numpy())
    assert found[found[first]] == first
    assert len(found) == 4
    assert other_ids(store, kept(store, noise(2, shape=(3, 6, 6)), tmp_path).manifest.digest) == {}


def test_pixels_that_cannot_be_read_leave_the_one_id(store: LocalStore, noise: MakeRecords, tmp_path: Path) -> None:
    made = kept(store, noise(2, shape=(1, 6, 6)), tmp_path)
    (store.root / snapshot_key(made.manifest.digest) / snapshots.RECORDS_FILE).write_bytes(b"no tensors")
    assert ids_of_pictures(store, {"C-1": made.manifest.record_ids}) == {"C-1": set(made.manifest.record_ids)}
    with pytest.raises(DamagedSnapshotError, match=r"is damaged: put it back"):
        other_ids(store, made.manifest.digest)
