from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unlearning.core.errors import UserError
from unlearning.data import forget_set, snapshots
from unlearning.data.forget_selection import KINDS
from unlearning.data.forget_set import ForgetSet, parse_ids, select
from unlearning.data.records import Records
from unlearning.data.snapshots import Snapshot
from unlearning.data.splits import Split, SplitConfig, make_split

NAMES = ("cat", "dog", "owl")


def snapshot_of(count: int) -> Snapshot:
    """Images that are all different, of three classes in turn."""
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    return snapshots.build(Records(images, torch.arange(count) % 3), source="s", licence="CC0", class_names=NAMES)


SNAPSHOT = snapshot_of(60)
SPLIT = make_split(SNAPSHOT.manifest, SplitConfig(members=30, calibration=10, holdout=10, test=10), seed=0)


def label_of(identity: str) -> int:
    return SNAPSHOT.manifest.record_ids.index(identity) % 3


def chosen(**options: Any) -> ForgetSet:
    return select(SPLIT, SNAPSHOT, **options)


def refusal(**options: Any) -> str:
    with pytest.raises(UserError) as refused:
        chosen(**options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@given(fraction=st.floats(0.001, 0.98), seed=st.integers(0, 2**40))
def test_a_random_forget_set_is_the_asked_share_of_the_members(fraction: float, seed: int) -> None:
    found = chosen(kind="random", fraction=fraction, seed=seed)
    assert (found.kind, found.split) == ("random", SPLIT.digest)
    assert set(found.ids) <= set(SPLIT.members)
    assert len(set(found.ids)) == len(found.ids)
    assert abs(len(found.ids) - fraction * 30) <= 0.5 or len(found.ids) == 1


def test_the_seed_decides_who_is_drawn() -> None:
    drawn = [chosen(kind="random", fraction=0.3, seed=seed).ids for seed in range(10)]
    assert chosen(kind="random", fraction=0.3, seed=4).ids == drawn[4]
    assert len(set(drawn)) == 10


def test_every_member_is_equally_likely_to_be_drawn() -> None:
    seeds, share = 600, 0.2
    drawn = [set(chosen(kind="random", fraction=share, seed=seed).ids) for seed in range(seeds)]
    spread = (share * (1 - share) / seeds) ** 0.5
    for identity in SPLIT.members:
        assert abs(sum(identity in each for each in drawn) / seeds - share) < 4.5 * spread


def test_one_fifth_is_drawn_unless_said_otherwise() -> None:
    assert len(chosen(kind="random").ids) == 6
    assert len(chosen(kind="random", fraction=0.001).ids) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_class_is_all_its_members_and_nobody_else(name: str) -> None:
    found = chosen(kind="class", class_name=name)
    expected = {identity for identity in SPLIT.members if label_of(identity) == NAMES.index(name)}
    assert found.kind == "class"
    assert set(found.ids) == expected
    assert 0 < len(expected) < 30


def test_a_cluster_is_a_member_and_its_nearest_by_pixels() -> None:
    """Every forgotten member is nearer to some common centre than every member that stays."""
    for seed in range(5):
        chosen = select(SPLIT, SNAPSHOT, kind="cluster", fraction=0.3, seed=seed).ids
        pixels = {
            identity: SNAPSHOT.rows((identity,)).images.numpy().astype(float).ravel() for identity in SPLIT.members
        }

        def encloses(centre: str, pixels: dict[str, Any] = pixels, chosen: tuple[str, ...] = chosen) -> bool:
            away = {identity: float(((other - pixels[centre]) ** 2).sum()) for identity, other in pixels.items()}
            staying = [away[identity] for identity in SPLIT.members if identity not in chosen]
            return max(away[identity] for identity in chosen) <= min(staying)

        assert len(chosen) == round(0.3 * len(SPLIT.members))
        assert any(encloses(identity) for identity in chosen)
    assert select(SPLIT, SNAPSHOT, kind="cluster", fraction=0.3, seed=0).ids != chosen


def test_named_records_are_taken_as_they_are() -> None:
    ids = (SPLIT.members[7], SPLIT.members[2])
    found = chosen(kind="records", ids=ids)
    assert found == ForgetSet(kind="records", split=SPLIT.digest, ids=ids)


@given(order=st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order_of_the_ids(order: random.Random) -> None:
    ids = list(SPLIT.members[:8])
    expected = ForgetSet(kind="records", split="s", ids=tuple(ids)).digest
    order.shuffle(ids)
    assert ForgetSet(kind="records", split="s", ids=tuple(ids)).digest == expected


def test_the_digest_is_of_who_is_forgotten_from_which_split() -> None:
    base = ForgetSet(kind="records", split="s", ids=("a", "b"))
    assert ForgetSet(kind="random", split="s", ids=("b", "a")).digest == base.digest
    others = [ForgetSet(kind="records", split=split, ids=ids) for split, ids in (("t", ("a", "b")), ("s", ("a",)))]
    assert len({base.digest, *(each.digest for each in others)}) == 3


def test_an_unknown_kind_names_the_known_ones() -> None:
    assert refusal(kind="oldest") == "forget kind 'oldest' is unknown: choose one of random, class, cluster, records"
    assert KINDS == ("random", "class", "cluster", "records")


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), float("inf")])
def test_a_fraction_is_a_share_of_the_members(fraction: float) -> None:
    assert refusal(kind="random", fraction=fraction).startswith(f"forget fraction {fraction} is outside 0 to 1")


def test_an_unknown_class_names_the_known_ones() -> None:
    assert refusal(kind="class", class_name="fox") == "class 'fox' is unknown: choose one of cat, dog, owl"
    assert "class '' is unknown" in refusal(kind="class")


def part_of(members: tuple[str, ...]) -> Split:
    return Split(snapshot=SNAPSHOT.manifest.digest, seed=0, members=members, calibration=(), holdout=(), test=())


def test_a_class_without_members_is_nobody() -> None:
    others = tuple(identity for identity in SPLIT.members if label_of(identity))
    with pytest.raises(UserError, match="the forget set is empty"):
        select(part_of(others), SNAPSHOT, kind="class", class_name="cat")


def test_a_class_of_all_members_is_everybody() -> None:
    cats = tuple(identity for identity in SPLIT.members if not label_of(identity))
    with pytest.raises(UserError, match="every member would be forgotten: retire the model"):
        select(part_of(cats), SNAPSHOT, kind="class", class_name="cat")


def test_a_share_that_rounds_to_everybody_is_refused() -> None:
    assert "every member would be forgotten" in refusal(kind="random", fraction=0.99)


@pytest.mark.parametrize("which", ["calibration", "holdout", "test"])
def test_only_members_can_be_forgotten(which: str) -> None:
    non_member = getattr(SPLIT, which)[0]
    found = refusal(kind="records", ids=(SPLIT.members[0], non_member))
    assert found.startswith("1 of 2 records to forget are not members")
    assert non_member in found


def test_records_are_named_once_and_at_least_one_is() -> None:
    assert "names a record twice" in refusal(kind="records", ids=(SPLIT.members[0],) * 2)
    assert "the forget set is empty" in refusal(kind="records")
    assert "every member would be forgotten" in refusal(kind="records", ids=SPLIT.members)


def test_saving_and_loading_gives_the_forget_set_back(tmp_path: Path) -> None:
    forget = chosen(kind="class", class_name="dog")
    forget_set.save(forget, tmp_path / "new" / "forget.json")
    assert forget_set.load(tmp_path / "new" / "forget.json") == forget


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"kind": "random", "split": "s"}', "is not valid: Field required"),
        (
            '{"kind": "oldest", "split": "s", "ids": []}',
            "is not valid: Input should be 'random', 'class', 'cluster' or 'records'",
        ),
        ('{"kind": "random", "split": "s", "ids": [], "note": 1}', "is not valid: Extra inputs are not permitted"),
        ("[]", "is not valid"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_what_is_not_a_forget_set_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "forget.json"
    path.write_text(content)
    with pytest.raises(UserError, match="forget set") as refused:
        forget_set.load(path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_missing_forget_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"forget set: .*nowhere does not exist"):
        forget_set.load(tmp_path / "nowhere")


@pytest.mark.parametrize(("text", "problem"), [("[1, 2]", "must be strings"), ("['a']", "not valid JSON")])
def test_ids_that_are_no_list_of_strings_are_refused(text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        parse_ids(text)
