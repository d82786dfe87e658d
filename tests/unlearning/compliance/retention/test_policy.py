from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from unlearning.compliance.retention.policy import (
    PurgeScope,
    iso,
    purge_after,
    purge_scope,
    ready,
    requests_of,
    retention_status,
    waits,
    withdrawn,
)
from unlearning.core.errors import UserError
from unlearning.registry.client import Version

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def version(number: int, name: str = "m", *, champion: bool = False, **tags: Any) -> Version:
    given = {"logged_model": f"{name}-{number}", "parent": "none"} | {key: str(value) for key, value in tags.items()}
    aliases = ("champion",) if champion else ()
    return Version(name=name, version=str(number), aliases=aliases, tags=given, description="")


def due_on(number: int, when: datetime, **more: Any) -> Version:
    return version(number, purge_after=iso(when), **more)


def numbers(found: Any) -> list[int]:
    return [int(each.version) for each in found]


def test_a_version_is_due_when_its_time_has_come_and_it_does_not_serve() -> None:
    family = [
        due_on(1, NOW),
        due_on(2, NOW + timedelta(seconds=1)),
        due_on(3, NOW, champion=True),
        version(4),
        due_on(5, NOW, purge_started="2026-04-30T00:00:00+00:00"),
        due_on(6, NOW, name="n"),
    ]
    assert numbers(ready(family, NOW)) == [1, 6]
    assert numbers(ready(family, NOW, at_once=True)) == [1, 2, 6]
    assert numbers(ready(family, NOW, model_name="n", at_once=True)) == [6]
    assert numbers(each for each in family if withdrawn(each)) == [1, 2, 6]
    found = retention_status(family, ready(family, NOW))
    assert (numbers(found.condemned), numbers(found.kept), numbers(found.waiting)) == ([1, 5, 6], [2, 3, 4], [2])


def test_weights_that_two_versions_share_wait_for_both() -> None:
    family = [due_on(1, NOW, logged_model="x"), due_on(2, NOW + timedelta(days=1), logged_model="x")]
    assert ready(family, NOW) == ()
    assert numbers(ready(family, NOW + timedelta(days=1))) == [1, 2]


def test_times_are_times_wherever_they_were_written() -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    assert iso(tokyo) == "2026-05-01T12:00:00+00:00"
    assert numbers(ready([version(1, purge_after=tokyo.isoformat())], NOW)) == [1]
    assert purge_after(NOW, 30) == datetime(2026, 5, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["soon", "2026-05-01T12:00:00"])
def test_a_tag_that_is_no_time_is_named_and_nothing_is_guessed(text: str) -> None:
    with pytest.raises(UserError, match=f"m version 1 has purge_after '{text}', which is no time with a zone"):
        ready([version(1, purge_after=text)], NOW)
    with pytest.raises(UserError, match="correct the tag"):
        waits(version(1, purge_after=text))


def test_a_kept_version_keeps_what_it_stands_for_and_not_what_it_was_made_from() -> None:
    begun: dict[str, Any] = {"purge_started": iso(NOW)}
    family = [
        version(1, digest="d1", snapshot="old", split="old split", **begun),
        version(2, digest="d2", snapshot="new", split="x", from_snapshot="old", from_split="old split", **begun),
        version(3, digest="d3", snapshot="new", split="new split", from_snapshot="old", from_split="old split"),
    ]
    found = purge_scope(retention_status(family), ["never trained", "new"])
    assert found.models == {"d1", "d2"}
    assert found.snapshots == {"old", "never trained"}
    assert found.splits == {"old split", "x"}
    assert found.anything
    assert not purge_scope(retention_status(family[2:])).anything


DOOMED = PurgeScope(
    models=frozenset({"gone"}),
    snapshots=frozenset({"old"}),
    splits=frozenset({"old split"}),
    kept_models=frozenset({"serves"}),
    kept_snapshots=frozenset({"new"}),
    kept_splits=frozenset({"new split"}),
)


@pytest.mark.parametrize(
    ("digest", "parent", "snapshot", "held"),
    [
        ("gone", "", "new", True),
        ("serves", "gone", "old", False),
        ("candidate", "gone", "new", True),
        ("candidate", "serves", "old", False),  # at work on the version that serves
        ("candidate", "unknown", "old", True),
        ("pretrained", "", "old", True),
        ("pretrained", "", "new", False),
        ("unknown", "", "", False),
    ],
)
def test_what_holds_purged_data_is_told_by_where_it_comes_from(
    digest: str, parent: str, snapshot: str, held: bool
) -> None:
    assert DOOMED.model(digest, parent, snapshot) is held


def test_splits_and_trainings_are_told_by_the_snapshot_too() -> None:
    assert DOOMED.split("old split", "")
    assert DOOMED.split("another", "old")
    assert not DOOMED.split("new split", "old")
    assert not DOOMED.split("another", "new")
    trained = [("old", ""), ("", "old split"), ("", ""), ("new", "new split")]
    assert [DOOMED.data(*on) for on in trained] == [True, True, False, False]


def test_the_requests_are_read_as_they_are_written() -> None:
    assert requests_of(version(1, withdrawn_for="R1,R2")) == ("R1", "R2")
    assert requests_of(version(1, withdrawn_for="none")) == requests_of(version(1)) == ()
