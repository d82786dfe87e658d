from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from unlearning.core.errors import UserError
from unlearning.core.files import read_json, sha256_json, write_json
from unlearning.data import snapshots
from unlearning.data.records import Records, record_id
from unlearning.data.snapshots import MANIFEST_FILE, RECORDS_FILE, Manifest, Snapshot

MakeRecords = Callable[..., Records]
RECORDED_DIGEST = "b95891da3debf7f29926cdb1f2dc58ead8c855ad5a2254c93efde379f80da9c7"


def build(records: Records) -> Snapshot:
    return snapshots.build(records, source="made up", licence="CC0", class_names=("cat", "dog"))


def with_subjects(records: Records, persons: Mapping[int, Iterable[str]]) -> Snapshot:
    """Persons are given by row."""
    subjects: dict[str, set[str]] = {}
    for row, names in persons.items():
        if names:
            subjects.setdefault(record_id(records.images[row].numpy()), set()).update(names)
    return snapshots.build(records, source="made up", licence="CC0", class_names=("cat", "dog"), subjects=subjects)


def images_of_values(values: list[int]) -> Records:
    """One 1 × 1 image per value; the label is the row number."""
    images = torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1)
    return Records(images, torch.arange(len(values)))


@pytest.fixture
def snapshot(noise: MakeRecords) -> Snapshot:
    return build(noise(6))


@pytest.fixture
def folder(snapshot: Snapshot, tmp_path: Path) -> Path:
    snapshots.save(snapshot, tmp_path / "snapshot")
    return tmp_path / "snapshot"


def test_repeated_images_are_kept_once_with_their_first_label() -> None:
    built = build(images_of_values([7, 9, 7, 3, 9, 7]))
    assert built.records.images.flatten().tolist() == [7, 9, 3]
    assert built.records.labels.tolist() == [0, 1, 3]
    assert built.manifest.duplicates == 3


@given(values=st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_every_image_is_in_a_snapshot_exactly_once(values: list[int]) -> None:
    built = build(images_of_values(values))
    assert built.records.images.flatten().tolist() == list(dict.fromkeys(values))
    assert built.manifest.duplicates == len(values) - len(set(values))
    assert list(built.manifest.record_ids) == [record_id(image.numpy()) for image in built.records.images]


def test_manifest_says_where_the_images_come_from_and_what_shape_they_have(noise: MakeRecords) -> None:
    manifest = build(noise(3, shape=(3, 4, 5))).manifest
    assert (manifest.source, manifest.licence, manifest.class_names) == ("made up", "CC0", ("cat", "dog"))
    assert manifest.image_shape == (3, 4, 5)


def test_digest_is_the_hash_of_ids_labels_and_class_names() -> None:
    built = build(images_of_values([5, 6]))
    ids = [record_id(np.full((1, 1, 1), value, dtype=np.uint8)) for value in (5, 6)]
    assert built.manifest.digest == sha256_json({"records": ids, "labels": [0, 1], "classes": ["cat", "dog"]})


def test_digest_changes_with_a_pixel_a_label_or_a_class_name_but_not_with_the_source(noise: MakeRecords) -> None:
    records = noise(4)
    other_pixels = Records(records.images ^ 1, records.labels)
    other_labels = Records(records.images, 1 - records.labels)
    digests = [build(each).manifest.digest for each in (records, other_pixels, other_labels)]
    digests += [
        snapshots.build(records, source="made up", licence="CC0", class_names=("cat", "cow")).manifest.digest,
        snapshots.build(records, source="elsewhere", licence="MIT", class_names=("cat", "dog")).manifest.digest,
    ]
    assert len(set(digests)) == 4
    assert digests[4] == digests[0]


def test_rows_come_in_the_order_asked_for(snapshot: Snapshot) -> None:
    ids = snapshot.manifest.record_ids
    chosen = snapshot.rows((ids[4], ids[0], ids[2]))
    expected = snapshot.records[torch.tensor([4, 0, 2])]
    assert torch.equal(chosen.images, expected.images)
    assert torch.equal(chosen.labels, expected.labels)


def test_no_ids_give_no_rows(snapshot: Snapshot) -> None:
    assert len(snapshot.rows(())) == 0


def test_unknown_ids_are_counted_and_the_first_is_named(snapshot: Snapshot) -> None:
    ids = (snapshot.manifest.record_ids[0], "unknown", "another")
    with pytest.raises(UserError, match=r"2 of 3 record ids are not in snapshot .* the first is 'unknown'"):
        snapshot.rows(ids)


def test_saving_and_loading_gives_the_snapshot_back(snapshot: Snapshot, folder: Path) -> None:
    loaded = snapshots.load(folder)
    assert loaded.manifest == snapshot.manifest
    assert torch.equal(loaded.records.images, snapshot.records.images)
    assert torch.equal(loaded.records.labels, snapshot.records.labels)
    snapshots.verify(loaded)


def test_a_copy_holds_the_same_bytes_and_no_more(folder: Path, tmp_path: Path) -> None:
    snapshots.copy(folder, tmp_path / "copy")
    assert sorted(file.name for file in (tmp_path / "copy").iterdir()) == [MANIFEST_FILE, RECORDS_FILE]
    for name in (MANIFEST_FILE, RECORDS_FILE):
        assert (tmp_path / "copy" / name).read_bytes() == (folder / name).read_bytes()


def test_a_missing_snapshot_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"snapshot manifest: .*nowhere.* does not exist"):
        snapshots.load(tmp_path / "nowhere")


@pytest.mark.parametrize("kept", [0, 5, 60, -1])
def test_truncated_records_are_refused(folder: Path, kept: int) -> None:
    content = (folder / RECORDS_FILE).read_bytes()
    (folder / RECORDS_FILE).write_bytes(content[:kept])
    with pytest.raises(UserError, match="is damaged or not a snapshot: SafetensorError"):
        snapshots.load(folder)


def test_missing_records_are_refused(folder: Path) -> None:
    (folder / RECORDS_FILE).unlink()
    with pytest.raises(UserError, match="is damaged or not a snapshot: FileNotFoundError"):
        snapshots.load(folder)


@pytest.mark.parametrize(
    "tensors",
    [
        {"images": torch.zeros(6, 1, 4, 4, dtype=torch.uint8)},
        {"images": torch.zeros(6, 1, 4, 4), "labels": torch.zeros(6, dtype=torch.int64)},
    ],
    ids=["no labels", "float images"],
)
def test_other_tensors_are_refused(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, str(folder / RECORDS_FILE))
    with pytest.raises(UserError, match="is damaged or not a snapshot"):
        snapshots.load(folder)


def test_a_manifest_with_an_unknown_key_is_refused(folder: Path) -> None:
    write_json(folder / MANIFEST_FILE, read_json(folder / MANIFEST_FILE, "manifest") | {"owner": "somebody"})
    with pytest.raises(UserError, match="is damaged or not a snapshot: ValidationError"):
        snapshots.load(folder)


def test_records_that_the_manifest_does_not_list_are_refused(folder: Path, snapshot: Snapshot) -> None:
    shorter = {"images": snapshot.records.images[:5].clone(), "labels": snapshot.records.labels[:5].clone()}
    save_file(shorter, str(folder / RECORDS_FILE))
    with pytest.raises(UserError, match="holds 5 records but its manifest lists 6: ingest it again"):
        snapshots.load(folder)


@pytest.mark.parametrize("pixel", [0, 15])
def test_verification_notices_one_changed_pixel(snapshot: Snapshot, pixel: int) -> None:
    snapshot.records.images[3].view(-1)[pixel] ^= 1
    with pytest.raises(UserError, match="does not hold the images its manifest names"):
        snapshots.verify(snapshot)


def test_verification_notices_one_changed_label(snapshot: Snapshot) -> None:
    snapshot.records.labels[3] ^= 1
    with pytest.raises(UserError, match="does not hold the labels and subjects its digest names"):
        snapshots.verify(snapshot)


def test_verification_notices_one_changed_subject(noise: MakeRecords) -> None:
    built = with_subjects(noise(3), {0: ("ann",)})
    changed = {built.manifest.record_ids[0]: ("bob",)}
    with pytest.raises(UserError, match="does not hold the labels and subjects its digest names"):
        snapshots.verify(Snapshot(built.records, built.manifest.model_copy(update={"subjects": changed})))


def test_the_digest_of_a_snapshot_without_subjects_is_what_it_always_was() -> None:
    """Recorded before there were subjects: models name their snapshots by these digests."""
    images = torch.arange(3 * 4, dtype=torch.uint8).view(3, 1, 2, 2)
    built = build(Records(images, torch.tensor([0, 1, 1])))
    assert built.manifest.digest == RECORDED_DIGEST
    assert with_subjects(built.records, {}).manifest == built.manifest
    told = built.manifest.model_dump(mode="json")
    assert told.pop("subjects") == {}
    assert Manifest.model_validate(told) == built.manifest  # manifests of before have no such key


def test_subjects_change_the_digest_and_their_order_does_not(noise: MakeRecords) -> None:
    records = noise(3)
    given: list[dict[int, tuple[str, ...]]] = [{}, {0: ("ann",)}, {0: ("bob",)}, {1: ("ann",)}, {0: ("ann", "bob")}]
    assert len({with_subjects(records, each).manifest.digest for each in given}) == len(given)
    first = with_subjects(records, {0: ("bob", "ann", "bob"), 2: ("cy",)})
    assert first.manifest == with_subjects(records, {2: ("cy",), 0: ("ann", "bob")}).manifest
    snapshots.verify(first)


def test_subjects_of_records_that_are_not_there_are_left_out(noise: MakeRecords) -> None:
    sampled = noise(4)[torch.tensor([0, 2])]
    ids = [record_id(image.numpy()) for image in noise(4).images]
    given = {identity: (f"person {row}",) for row, identity in enumerate(ids)}
    built = snapshots.build(sampled, source="s", licence="CC0", class_names=("cat", "dog"), subjects=given)
    assert built.manifest.subjects == {ids[0]: ("person 0",), ids[2]: ("person 2",)}


def test_subjects_are_saved_and_loaded_and_shown_nowhere(noise: MakeRecords, tmp_path: Path) -> None:
    built = with_subjects(noise(3), {1: ("ann of the lane",)})
    snapshots.save(built, tmp_path / "snapshot")
    assert snapshots.load(tmp_path / "snapshot").manifest == built.manifest
    for text in (repr(built), str(built.manifest)):
        assert "ann of the lane" not in text


@pytest.mark.parametrize("subjects", [{"0" * 64: ["ann"]}, "empty"])
def test_a_manifest_with_impossible_subjects_is_refused(folder: Path, snapshot: Snapshot, subjects: object) -> None:
    told = {snapshot.manifest.record_ids[0]: []} if subjects == "empty" else subjects
    write_json(folder / MANIFEST_FILE, read_json(folder / MANIFEST_FILE, "manifest") | {"subjects": told})
    with pytest.raises(UserError, match="is damaged or not a snapshot: ValidationError") as caught:
        snapshots.load(folder)
    assert "ann" not in str(caught.value)


@given(values=st.lists(st.integers(0, 9), min_size=1, max_size=12), gone=st.sets(st.integers(0, 12)), data=st.data())
def test_without_is_what_would_have_been_built_without(values: list[int], gone: set[int], data: st.DataObject) -> None:
    """Against building again from the rows that are left; ids of records that are not there do no harm."""
    records = images_of_values(values)
    owners = {row: data.draw(st.sets(st.sampled_from("abc"), max_size=2)) for row in range(len(values))}
    rows = [row for row, value in enumerate(values) if value not in gone]
    built = with_subjects(records, owners)
    erased = {record_id(np.full((1, 1, 1), value, dtype=np.uint8)) for value in gone}
    left = snapshots.without(built, erased)
    expected = with_subjects(records[torch.tensor(rows, dtype=torch.int64)], dict(enumerate(owners[r] for r in rows)))
    assert left.manifest == expected.manifest.model_copy(update={"duplicates": built.manifest.duplicates})
    assert torch.equal(left.records.images, expected.records.images)
    assert torch.equal(left.records.labels, expected.records.labels)
    snapshots.verify(left)


def test_without_leaves_the_snapshot_it_was_given_alone(snapshot: Snapshot) -> None:
    before = snapshot.manifest.model_dump()
    assert snapshots.without(snapshot, ()).manifest == snapshot.manifest
    snapshots.without(snapshot, snapshot.manifest.record_ids[:3])
    assert snapshot.manifest.model_dump() == before
    assert len(snapshot.records) == 6


def test_a_failed_save_leaves_nothing_behind(
    snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, value: object) -> None:
        raise UserError(f"no room for {path.name}")

    monkeypatch.setattr(snapshots, "write_json", fail)
    with pytest.raises(UserError, match="no room"):
        snapshots.save(snapshot, tmp_path / "snapshot")
    assert list(tmp_path.iterdir()) == []


def test_saving_below_a_file_says_where_it_cannot_write(snapshot: Snapshot, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write .*choose a folder you may write to"):
        snapshots.save(snapshot, tmp_path / "file" / "snapshot")


def as_before(records: Records) -> Snapshot:
    """As snapshots were made when grey in three channels had an id of its own."""
    ids = tuple(
        hashlib.sha256(f"{','.join(map(str, each.shape))}:".encode() + each.tobytes()).hexdigest()
        for each in records.images.numpy()
    )
    classes = ("cat", "dog")
    digest = sha256_json({"records": list(ids), "labels": records.labels.tolist(), "classes": list(classes)})
    manifest = build(records).manifest.model_dump() | {"record_ids": ids, "digest": digest}
    del manifest["ids"]
    return Snapshot(records, Manifest.model_validate(manifest))


def test_snapshots_from_before_grey_had_one_id_load_and_verify(noise: MakeRecords, tmp_path: Path) -> None:
    grey = noise(4, shape=(1, 5, 5)).images.repeat(1, 3, 1, 1)
    old = as_before(Records(torch.cat([grey, noise(2, shape=(3, 5, 5)).images]), torch.zeros(6, dtype=torch.int64)))
    snapshots.save(old, tmp_path / "old")
    read = snapshots.load(tmp_path / "old")
    snapshots.verify(read)
    assert read.manifest.ids == "stored"
    own, found = zip(*snapshots.pictures(read), strict=True)
    assert own == old.manifest.record_ids
    assert all(identity in names for identity, names in zip(own, found, strict=True))
    less = snapshots.without(read, own[:1])
    snapshots.verify(less)
    assert less.manifest.record_ids == own[1:]


def test_the_same_grey_in_one_channel_and_in_three_has_the_same_ids_and_two_digests(noise: MakeRecords) -> None:
    one = noise(4, shape=(1, 5, 5))
    three = Records(one.images.repeat(1, 3, 1, 1), one.labels)
    assert build(one).manifest.record_ids == build(three).manifest.record_ids
    assert build(one).manifest.digest != build(three).manifest.digest
    snapshots.verify(build(three))
