from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from unlearning.core.errors import UserError
from unlearning.registry import history
from unlearning.registry.versions import Version

Make = Callable[..., Version]


def generations(version: Make) -> list[Version]:
    """1 → 2 (refused), 1 → 3 → 4, which serves."""
    return [
        version(1, superseded_by="3", superseded_at="t3", served_at="t1"),
        version(2, 1, from_snapshot="s1", status="rejected", verdict="leaks"),
        version(
            3, 1, from_snapshot="s1", superseded_by="4", superseded_at="t4", served_at="t3",
            request_R1="fulfilled", batch="b1",
        ),
        version(
            4, 3, from_snapshot="s3", aliases=("champion",), status="serving", served_at="t4", superseded_by="none",
            request_R1="fulfilled", request_R2="fulfilled", batch="b2",
        ),
    ]  # fmt: skip


def test_who_serves_is_told_with_whom_it_replaced_and_what_it_honours(version: Make) -> None:
    found = history.serving("m", generations(version))
    assert (found.version, found.since, found.replaced, found.requests) == ("4", "t4", "3", ("R1", "R2"))


def test_where_nobody_serves_it_is_said(version: Make) -> None:
    with pytest.raises(UserError, match="no version of model 'm' serves: promote one"):
        history.serving("m", [version(1)])


@pytest.mark.parametrize(
    ("number", "by", "at", "requests", "batch"),
    [
        (1, "3", "t3", ("R1",), "b1"),
        (2, None, "none", (), "none"),
        (3, "4", "t4", ("R2",), "b2"),
        (4, None, "none", (), "none"),
    ],
)  # fmt: skip
def test_what_replaced_a_version_when_and_for_whom(
    version: Make, number: int, by: str | None, at: str, requests: tuple[str, ...], batch: str
) -> None:
    versions = generations(version)
    found = history.replaced(versions[number - 1], versions)
    assert (found.replaced_by, found.replaced_at, found.requests, found.batch) == (by, at, requests, batch)
    assert found.undone == ()


def test_going_back_undoes_requests_and_is_told(version: Make) -> None:
    """Version 2 honoured R1; then somebody let version 1 serve again."""
    versions = [
        version(1, aliases=("champion",), superseded_by="none", served_at="t3"),
        version(2, 1, superseded_by="1", superseded_at="t3", request_R1="fulfilled"),
    ]
    assert history.replaced(versions[1], versions).undone == ("R1",)
    assert history.serving("m", versions).requests == ()
    assert history.serving("m", versions).replaced == "2"


def test_the_last_of_several_that_one_replaced_is_named(version: Make) -> None:
    back = version(1, aliases=("champion",))
    before = [version(number, 1, superseded_by="1", superseded_at=f"2027-0{10 - number}-01") for number in (2, 3)]
    assert history.serving("m", [back, *before]).replaced == "2"


def test_a_replacement_by_a_version_that_was_deleted_is_still_named(version: Make) -> None:
    alone = version(1, superseded_by="7", superseded_at="t7")
    found = history.replaced(alone, [alone])
    assert (found.replaced_by, found.replaced_at, found.requests, found.undone) == ("7", "t7", (), ())


def test_all_ancestors_down_to_the_snapshots(version: Make) -> None:
    versions = generations(version)
    found = history.ancestors(versions[3], versions)
    assert [step.version for step in found.steps] == ["4", "3", "1"]
    assert found.snapshots == ("s4", "s3", "s1")
    assert found.missing is None
    assert all(step.parent_matches for step in found.steps)


def test_a_version_from_before_reduced_snapshots_names_what_its_parent_was_trained_on(version: Make) -> None:
    versions = [version(1), version(2, 1, snapshot="s1")]
    assert history.ancestors(versions[1], versions).snapshots == ("s1",)
    assert (history.made_from(versions[1]), history.made_from(versions[0])) == ("s1", "none")


def test_a_parent_that_is_gone_is_told(version: Make) -> None:
    versions = generations(version)[1:]
    found = history.ancestors(versions[2], versions)
    assert [step.version for step in found.steps] == ["4", "3"]
    assert found.missing == "1"
    assert found.snapshots == ("s4", "s3", "s1"), "which snapshot the missing one stood for is known all the same"
    assert [step.parent_matches for step in found.steps] == [True, False]


def test_a_parent_with_other_weights_is_told(version: Make) -> None:
    versions = [version(1, digest="changed"), version(2, 1)]
    assert [step.parent_matches for step in history.ancestors(versions[1], versions).steps] == [False, True]


def test_tags_that_go_in_circles_end(version: Make) -> None:
    versions = [version(1, 2), version(2, 1)]
    assert [each.version for each in history.chain(versions[0], history.by_number(versions))] == ["1", "2"]
    assert history.ancestors(versions[0], versions).missing == "1"


def test_what_something_else_registered_has_a_lineage_too() -> None:
    alone = Version(name="m", version="1", aliases=("champion",), tags={}, description="")
    assert history.serving("m", [alone]).kind == "none"
    assert history.ancestors(alone, [alone]).snapshots == ()
    assert history.replaced(alone, [alone]).replaced_by is None


@pytest.mark.parametrize(
    ("tags", "refused"),
    [
        ({}, False),
        ({"verdict": "leaks", "status": "withdrawn"}, True),
        ({"verdict": "inconclusive", "accepted": "yes"}, False),
        ({"verdict": "inconclusive", "accepted": "no"}, True),
    ],
)
def test_a_refused_candidate_is_known_by_its_verdict(version: Make, tags: dict[str, Any], refused: bool) -> None:
    assert history.refused(version(2, 1, **tags)) is refused
    assert not history.refused(version(1, **tags | {"kind": "original"}))


def test_a_descendant_honours_what_its_ancestors_do_even_where_its_own_tags_lack_it(version: Make) -> None:
    versions = [version(1), version(2, 1, request_R1="fulfilled"), version(3, 2), version(4, 1, request_R2="asked for")]
    assert history.honoured(versions) == {
        "1": frozenset(), "2": frozenset({"R1"}), "3": frozenset({"R1"}), "4": frozenset(),
    }  # fmt: skip


def test_a_version_is_found_by_number_and_alias_or_missed_by_name(version: Make) -> None:
    versions = generations(version)
    assert history.of(versions, "m", "2") is versions[1]
    assert history.of(versions, "m", "champion") is versions[3]
    with pytest.raises(UserError, match="model 'm' has no version or alias '5': `unlearn lineage show m` lists them"):
        history.of(versions, "m", "5")
