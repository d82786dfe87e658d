from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import random_records
from unlearning.data import past_forget_sets, snapshots, splits
from unlearning.data.past_forget_sets import PastForgetSets
from unlearning.data.provenance import DataDigests
from unlearning.data.splits import SplitConfig
from unlearning.registry.forgotten_before import save_forgotten_before
from unlearning.registry.versions import Version
from unlearning.storage.datasets import keep_snapshot, keep_split, reduce
from unlearning.storage.keys import snapshot_key, split_key
from unlearning.storage.local import LocalStore

Make = Callable[..., Version]
FORGOT = (3, 2, 4)
"""Members that each version forgot, from the second on."""


class Line:
    """1 → 2 → 3 → 4, with what each stands for in a store; 5 is a candidate from 3 that was refused."""

    def __init__(self, version: Make, folder: Path) -> None:
        self.store, self.folder = LocalStore(folder / "store"), folder
        snapshot = snapshots.build(random_records(40), source="noise", licence="none", class_names=("a", "b"))
        split = splits.make_split(snapshot.manifest, SplitConfig(members=20, calibration=5, holdout=5, test=5), 0)
        snapshots.save(snapshot, folder / "first")
        keep_snapshot(self.store, folder / "first", snapshot.manifest.digest)
        keep_split(self.store, split)
        self.members = split.members
        self.data = [DataDigests(snapshot=snapshot.manifest.digest, split=split.digest)]
        self.forgot: list[tuple[str, ...]] = []
        self.versions = [version(1, **self.data[0].model_dump())]
        start = 0
        for number, count in enumerate(FORGOT, 2):
            self.forgot.append(split.members[start : start + count])
            start += count
            before = self.data[-1]
            self.data.append(reduce(self.store, before, self.forgot[-1]))
            told = {"from_snapshot": before.snapshot, "from_split": before.split, "forgotten_records": str(count)}
            self.versions.append(version(number, number - 1, **self.data[-1].model_dump(), **told))
        kept = self.data[2].model_dump()
        told = {"from_snapshot": kept["snapshot"], "forgotten_records": "7", "verdict": "leaks"}
        self.versions.append(version(5, 3, **kept, **told))

    def found(self, number: int, *without: int) -> PastForgetSets:
        """Of a version, where some are not in the registry any more."""
        versions = [each for each in self.versions if int(each.version) not in without]
        target = self.folder / f"before-{number}"
        shutil.rmtree(target, ignore_errors=True)
        told = save_forgotten_before(self.store, self.versions[number - 1], versions, target)
        past, snapshot = past_forget_sets.load(target)
        assert past == told
        if past.ids:
            assert snapshot is not None
            snapshots.verify(snapshot)
            assert set(past.ids) <= set(snapshot.manifest.record_ids)
        else:
            assert snapshot is None
        return past

    def tag(self, number: int, **tags: str) -> None:
        old = self.versions[number - 1]
        self.versions[number - 1] = old.model_copy(update={"tags": old.tags.model_copy(update=tags)})

    def lose(self, number: int) -> None:
        """As after a purge of a version that nothing else stands for."""
        shutil.rmtree(self.store.root / snapshot_key(self.data[number - 1].snapshot))
        (self.store.root / split_key(self.data[number - 1].split)).unlink()


@pytest.fixture
def line(version: Make, tmp_path: Path) -> Line:
    return Line(version, tmp_path)


def test_an_original_has_forgotten_nothing(line: Line) -> None:
    assert line.found(1) == PastForgetSets(split=line.data[0].split, ids=(), gone=0)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_all_that_a_line_has_forgotten_is_found_in_its_original(line: Line, number: int) -> None:
    expected = [each for some in line.forgot[: number - 1] for each in some]
    found = line.found(number)
    assert sorted(found.ids) == sorted(expected)
    assert (found.gone, found.split) == (0, line.data[number - 1].split)


def test_what_a_purge_has_taken_is_counted(line: Line) -> None:
    line.lose(1)
    found = line.found(4)
    assert (set(found.ids), found.gone) == ({*line.forgot[1], *line.forgot[2]}, FORGOT[0])
    line.lose(2)
    found = line.found(4)
    assert (set(found.ids), found.gone) == (set(line.forgot[2]), FORGOT[0] + FORGOT[1])
    line.lose(3)
    assert line.found(4) == PastForgetSets(split=line.data[3].split, ids=(), gone=sum(FORGOT))


def test_what_a_purge_has_begun_to_take_is_not_used(line: Line) -> None:
    line.tag(1, purge_started="2027-01-01T00:00:00+00:00")
    found = line.found(4)
    assert (set(found.ids), found.gone) == ({*line.forgot[1], *line.forgot[2]}, FORGOT[0])


def test_a_withdrawn_version_is_used_until_it_is_purged(line: Line) -> None:
    line.tag(1, purge_after="2027-01-01T00:00:00+00:00", status="withdrawn")
    assert line.found(4).gone == 0


def test_a_damaged_snapshot_stops_nothing(line: Line) -> None:
    path = line.store.root / snapshot_key(line.data[0].snapshot) / snapshots.RECORDS_FILE
    path.write_bytes(path.read_bytes()[:-10])
    assert line.found(4).gone == FORGOT[0]


def test_what_was_refused_has_forgotten_nothing(line: Line) -> None:
    """Its data is its parent's, so that the members it was to forget are members still."""
    found = line.found(5)
    assert (set(found.ids), found.gone) == ({*line.forgot[0], *line.forgot[1]}, 0)


def test_where_an_ancestor_was_deleted_nobody_knows_how_many_there_were(line: Line) -> None:
    found = line.found(4, 1)
    assert (set(found.ids), found.gone) == ({*line.forgot[1], *line.forgot[2]}, None)


def test_where_a_version_does_not_say_how_many_nobody_knows(line: Line) -> None:
    line.tag(3, forgotten_records="none")
    found = line.found(4)
    assert (len(found.ids), found.gone) == (sum(FORGOT), None)


def test_members_stay_out_that_are_members_still(line: Line) -> None:
    assert set(line.found(4).ids).isdisjoint(splits.load(line.store.root / split_key(line.data[3].split)).members)
    assert set(line.members) >= set(line.found(4).ids)
