from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.data import snapshots, splits
from unlearning.data.records import Records, concatenate
from unlearning.data.snapshots import Manifest
from unlearning.data.splits import PARTS, Split, SplitConfig, make_split

SIZES = st.tuples(*(st.integers(2, 8) for _ in PARTS))


def manifest_of(ids: Sequence[str]) -> Manifest:
    return Manifest(
        source="made up",
        licence="CC0",
        class_names=("a",),
        image_shape=(1, 1, 1),
        record_ids=tuple(ids),
        duplicates=0,
        digest="0123456789abcdef",
    )


def names(count: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


def config_of(sizes: Sequence[int]) -> SplitConfig:
    return SplitConfig(**dict(zip(PARTS, sizes, strict=True)))


def parts_of(split: Split) -> list[tuple[str, ...]]:
    return [split.members, split.calibration, split.holdout, split.test]


@pytest.fixture
def split() -> Split:
    return make_split(manifest_of(names(20)), config_of((6, 4, 3, 2)), seed=0)


@given(sizes=SIZES, spare=st.integers(0, 5), seed=st.integers(0, 2**40))
def test_parts_have_their_sizes_and_never_overlap(sizes: tuple[int, ...], spare: int, seed: int) -> None:
    ids = names(sum(sizes) + spare)
    parts = parts_of(make_split(manifest_of(ids), config_of(sizes), seed))
    assert [len(part) for part in parts] == list(sizes)
    drawn = [identity for part in parts for identity in part]
    assert len(set(drawn)) == sum(sizes)
    assert set(drawn) <= set(ids)


@given(sizes=SIZES, seed=st.integers(0, 99), order=st.randoms(use_true_random=False))
def test_the_same_seed_gives_the_same_split_whatever_the_order_of_rows(
    sizes: tuple[int, ...], seed: int, order: random.Random
) -> None:
    ids = names(sum(sizes) + 3)
    shuffled = list(ids)
    order.shuffle(shuffled)
    config = config_of(sizes)
    assert make_split(manifest_of(ids), config, seed) == make_split(manifest_of(shuffled), config, seed)


def test_different_seeds_give_different_splits() -> None:
    manifest = manifest_of(names(40))
    drawn = {make_split(manifest, config_of((10, 10, 10, 10)), seed).members for seed in range(20)}
    assert len(drawn) == 20


def test_every_record_is_equally_likely_in_every_part() -> None:
    ids, config, seeds = names(10), config_of((4, 2, 2, 2)), 600
    manifest = manifest_of(ids)
    drawn = [make_split(manifest, config, seed) for seed in range(seeds)]
    for part, size in zip(range(len(PARTS)), (4, 2, 2, 2), strict=True):
        share = size / len(ids)
        spread = (share * (1 - share) / seeds) ** 0.5
        for identity in ids:
            found = sum(identity in parts_of(each)[part] for each in drawn) / seeds
            assert abs(found - share) < 4.5 * spread


def test_a_snapshot_of_exactly_the_needed_size_is_enough() -> None:
    assert make_split(manifest_of(names(9)), config_of((3, 2, 2, 2)), seed=0).snapshot == "0123456789abcdef"


def test_a_split_larger_than_the_snapshot_is_refused() -> None:
    with pytest.raises(UserError, match="needs 9 distinct records but snapshot 0123456789ab has 8"):
        make_split(manifest_of(names(8)), config_of((3, 2, 2, 2)), seed=0)


def test_a_repeated_id_counts_once() -> None:
    with pytest.raises(UserError, match="needs 9 distinct records but snapshot 0123456789ab has 8"):
        make_split(manifest_of(names(8) * 2), config_of((3, 2, 2, 2)), seed=0)


def test_an_image_that_the_source_repeats_is_in_one_part_only(noise: Callable[..., Records]) -> None:
    images = noise(10, shape=(1, 2, 2))
    snapshot = snapshots.build(concatenate(images, images[:7]), source="made up", licence="CC0", class_names=("a", "b"))
    split = make_split(snapshot.manifest, config_of((4, 2, 2, 2)), seed=3)
    drawn = snapshot.rows(tuple(identity for part in parts_of(split) for identity in part)).images
    assert len(torch.unique(drawn.flatten(1), dim=0)) == len(drawn) == 10


@pytest.mark.parametrize("size", [1, 0, -3])
def test_a_part_of_fewer_than_two_records_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="greater than 1"):
        config_of((4, size, 4, 4))


@pytest.mark.parametrize(("part", "other"), [("members", "test"), ("calibration", "holdout")])
def test_a_split_with_overlapping_parts_is_refused(split: Split, tmp_path: Path, part: str, other: str) -> None:
    content = split.model_dump(mode="json")
    content[part][0] = content[other][0]
    write_json(tmp_path / "split.json", content)
    with pytest.raises(UserError, match=r"split .* is not valid: .* in two parts of the split"):
        splits.load(tmp_path / "split.json")


def test_a_split_that_names_a_record_twice_in_one_part_is_refused(split: Split) -> None:
    twice = (*split.members, split.members[0])
    with pytest.raises(ValueError, match="or twice in one"):
        Split(**(split.model_dump() | {"members": twice}))


def test_saving_and_loading_gives_the_split_back(split: Split, tmp_path: Path) -> None:
    splits.save(split, tmp_path / "deep" / "split.json")
    loaded = splits.load(tmp_path / "deep" / "split.json")
    assert loaded == split
    assert loaded.digest == split.digest


def test_a_file_that_is_no_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"split: .* does not exist"):
        splits.load(tmp_path / "split.json")
    (tmp_path / "split.json").write_text("{")
    with pytest.raises(UserError, match=r"split: .* cannot be read as JSON"):
        splits.load(tmp_path / "split.json")
    write_json(tmp_path / "split.json", {"seed": 3})
    with pytest.raises(UserError, match=r"split .* is not valid: Field required"):
        splits.load(tmp_path / "split.json")


@given(sizes=SIZES, gone=st.sets(st.integers(0, 40)))
def test_erased_records_leave_every_part_and_nothing_else_changes(sizes: tuple[int, ...], gone: set[int]) -> None:
    ids = names(sum(sizes))
    before = make_split(manifest_of(ids), config_of(sizes), seed=5)
    erased = {identity for number, identity in enumerate(names(41)) if number in gone}
    after = splits.without(before, erased, "another snapshot")
    assert (after.snapshot, after.seed) == ("another snapshot", 5)
    assert parts_of(after) == [tuple(each for each in part if each not in erased) for part in parts_of(before)]
    assert after.digest != before.digest
    assert before == make_split(manifest_of(ids), config_of(sizes), seed=5)
    assert after.ids == tuple(each for part in parts_of(after) for each in part)


@pytest.mark.parametrize("key", ["snapshot", "seed", *PARTS])
def test_digest_changes_with_everything_in_the_split(split: Split, tmp_path: Path, key: str) -> None:
    splits.save(split, tmp_path / "split.json")
    content = read_json(tmp_path / "split.json", "split")
    content[key] = content[key][:-1] if key != "seed" else content[key] + 1
    assert Split(**content).digest != split.digest


def test_retained_members_keep_their_order(split: Split) -> None:
    first, second, third, fourth, fifth, sixth = split.members
    assert split.retained((fifth, second)) == (first, third, fourth, sixth)
    assert split.gallery((fifth, second)) == (first, third, fourth, sixth)


@given(chosen=st.sets(st.integers(0, 5), min_size=1, max_size=5))
def test_forget_and_retain_set_together_are_the_members(chosen: set[int]) -> None:
    split = make_split(manifest_of(names(12)), config_of((6, 2, 2, 2)), seed=1)
    forget = tuple(split.members[number] for number in chosen)
    retained = split.retained(forget)
    assert sorted(retained + forget) == sorted(split.members)


def test_an_empty_forget_set_is_refused(split: Split) -> None:
    with pytest.raises(UserError, match="the forget set is empty"):
        split.retained(())


def test_a_forget_set_that_repeats_a_record_is_refused(split: Split) -> None:
    with pytest.raises(UserError, match="names a record twice"):
        split.retained((split.members[0], split.members[1], split.members[0]))


@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_forget_set_with_a_non_member_is_refused(split: Split, part: int) -> None:
    non_member = parts_of(split)[part][0]
    message = f"1 of 2 records to forget are not members of split {split.digest[:12]}, the first is '{non_member}'"
    with pytest.raises(UserError, match=message):
        split.retained((split.members[0], non_member))


def test_forgetting_every_member_is_refused(split: Split) -> None:
    with pytest.raises(UserError, match="every member would be forgotten: retire the model"):
        split.retained(split.members[::-1])
    with pytest.raises(UserError, match="every member would be forgotten"):
        split.gallery(split.members)
