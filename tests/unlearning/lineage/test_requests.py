from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlearning.lineage import requests
from unlearning.lineage.requests import ConcernedModels
from unlearning.registry.history import VersionEntry
from unlearning.registry.versions import Version

Make = Callable[..., Version]


def numbers(found: tuple[VersionEntry, ...]) -> list[str]:
    return [f"{each.model}/{each.version}" for each in found]


def generations(version: Make) -> list[Version]:
    """1 → 2 (refused), 1 → 3 → 4; 5 is a new original on other data."""
    return [
        version(1, status="purged"),
        version(2, 1, from_snapshot="s1", snapshot="s3", verdict="leaks", status="withdrawn"),
        version(3, 1, from_snapshot="s1", request_R1="fulfilled", **{"certificate.R1": "certificates/R1/2.json"}),
        version(4, 3, from_snapshot="s3", request_R1="fulfilled", status="serving", aliases=("champion",)),
        version(5, snapshot="elsewhere", status="registered"),
    ]


def test_versions_that_have_not_honoured_a_request_by_whether_their_weights_exist(version: Make) -> None:
    found = requests.pending("R1", ConcernedModels(models=("m",)), generations(version))
    assert (numbers(found.stored), numbers(found.purged)) == (["m/2", "m/5"], ["m/1"])


def test_what_was_trained_on_other_data_is_left_out_where_that_is_known(version: Make) -> None:
    found = requests.pending("R1", ConcernedModels(models=("m",), snapshots=("s1",)), generations(version))
    assert (numbers(found.stored), numbers(found.purged)) == (["m/2"], ["m/1"])


@pytest.mark.parametrize("snapshot", ["s1", "s3", "s4"])
def test_one_snapshot_of_a_family_is_enough_to_know_all_that_it_concerns(version: Make, snapshot: str) -> None:
    """A reduced snapshot that holds a record says that the snapshots before it held the record too."""
    found = requests.pending("R2", ConcernedModels(models=("m",), snapshots=(snapshot,)), generations(version))
    assert numbers(found.stored) + numbers(found.purged) == ["m/2", "m/3", "m/4", "m/1"]


def test_a_version_whose_parent_is_gone_is_concerned_by_what_it_was_made_from(version: Make) -> None:
    left = [version(4, 3, from_snapshot="s3")]
    assert numbers(requests.pending("R", ConcernedModels(models=("m",), snapshots=("s3",)), left).stored) == ["m/4"]
    assert requests.pending("R", ConcernedModels(models=("m",), snapshots=("s1",)), left).stored == ()


def test_stored_versions_go_by_the_records_that_they_hold_where_those_are_known(version: Make) -> None:
    """Tags are on a page that anybody can change: here they say that 4 honours the request, and that 2 does not."""
    versions = [*generations(version), version(1, name="other")]
    found = requests.pending("R1", ConcernedModels(models=("m",)), versions, held={("m", "4"), ("other", "1")})
    assert (numbers(found.stored), numbers(found.purged)) == (["m/4", "other/1"], ["m/1"])
    assert (found.models, found.by) == (("m", "other"), "records")
    assert requests.pending("R1", ConcernedModels(models=("m",)), versions).by == "tags"


def test_other_models_are_not_concerned(version: Make) -> None:
    versions = [*generations(version), version(1, name="other")]
    assert numbers(requests.pending("R1", ConcernedModels(models=("other",)), versions).stored) == ["other/1"]
    assert requests.pending("R1", ConcernedModels(models=()), versions).stored == ()


def test_the_first_version_to_honour_a_request_with_its_certificate(version: Make) -> None:
    versions = [*generations(version), version(1, name="other"), version(2, 1, name="other", request_R1="fulfilled")]
    first, other = requests.first_honoured("R1", versions).versions
    assert (first.model, first.version, first.certificate) == ("m", "3", "certificates/R1/2.json")
    assert (first.serves, first.still) == ("4", True)
    assert (other.version, other.certificate, other.serves, other.still) == ("2", None, None, False)
    assert requests.first_honoured("R2", versions).versions == ()


def test_that_what_serves_now_no_longer_honours_it_is_told(version: Make) -> None:
    versions = [version(1, aliases=("champion",)), version(2, 1, request_R1="fulfilled")]
    (first,) = requests.first_honoured("R1", versions).versions
    assert (first.serves, first.still) == ("1", False)


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        (
            "s1",
            {
                "1": ("trained", "nothing"),
                "2": ("descended", "tried"),
                "3": ("descended", "part"),
                "4": ("descended", "part"),
            },
        ),
        ("s3", {"2": ("reduced_to", "nothing"), "3": ("reduced_to", "nothing"), "4": ("descended", "part")}),
        ("s4", {"4": ("reduced_to", "nothing")}),
        ("elsewhere", {"5": ("trained", "nothing")}),
        ("nowhere", {}),
    ],
)  # fmt: skip
def test_versions_that_go_back_to_a_snapshot(
    version: Make, snapshot: str, expected: dict[str, tuple[str, str]]
) -> None:
    found = requests.trained_on(snapshot, generations(version)).versions
    assert {each.version: (each.relation, each.forgot) for each in found} == expected


def test_a_model_retrained_exactly_was_trained_on_what_was_left(version: Make) -> None:
    versions = [version(1), version(2, 1, kind="retrained", from_snapshot="s1")]
    ((number, relation, forgot),) = [
        (each.version, each.relation, each.forgot) for each in requests.trained_on("s2", versions).versions
    ]
    assert (number, relation, forgot) == ("2", "trained", "nothing")
    assert [each.forgot for each in requests.trained_on("s1", versions).versions] == ["nothing", "part"]


def test_versions_from_before_reduced_snapshots_have_forgotten_part_of_the_one_they_name(version: Make) -> None:
    versions = [version(1), version(2, 1, snapshot="s1"), version(3, 2, snapshot="s1")]
    found = requests.trained_on("s1", versions).versions
    assert [(each.relation, each.forgot) for each in found] == [("trained", "nothing")] + 2 * [("descended", "part")]


def test_a_version_whose_parent_is_gone_still_goes_back_to_what_it_was_made_from(version: Make) -> None:
    found = requests.trained_on("s3", [version(4, 3, from_snapshot="s3")]).versions
    assert [(each.version, each.relation, each.forgot) for each in found] == [("4", "descended", "part")]


@st.composite
def families(draw: st.DrawFn) -> list[dict[str, str]]:
    """Tags of the versions of one model; snapshots are sets of records, spelled out."""
    made: list[dict[str, str]] = []
    for number in range(1, draw(st.integers(1, 8)) + 1):
        parent = draw(st.integers(0, number - 1))
        tags = {"parent": str(parent) if parent else "none", "verdict": draw(st.sampled_from(["passed", "leaks"]))}
        if parent:
            before = made[parent - 1]["snapshot"]
            left = "".join(letter for letter in before if draw(st.booleans()))
            tags |= {"kind": "unlearned", "from_snapshot": before, "snapshot": left or before[:1]}
        else:
            tags |= {"kind": "original", "snapshot": draw(st.sampled_from(["abcd", "cdef"]))}
        if draw(st.booleans()) and parent:
            tags["request.R"] = "fulfilled"
        made.append(tags | {"status": draw(st.sampled_from(["serving", "purged", "withdrawn"]))})
    return made


def made(tags: list[dict[str, str]]) -> list[Version]:
    return [
        Version(name="m", version=str(number), aliases=(), tags=each, description="")
        for number, each in enumerate(tags, 1)
    ]


@settings(max_examples=200, deadline=None)
@given(families(), st.sampled_from(["abcd", "cdef", "cd", "a"]))
def test_answers_are_those_of_a_slow_reference(tags: list[dict[str, str]], snapshot: str) -> None:
    """The reference asks every version its parent's answer, over and over."""

    def honours(number: int) -> bool:
        if not number:
            return False
        own = tags[number - 1]
        return own.get("request.R") == "fulfilled" or honours(0 if own["parent"] == "none" else int(own["parent"]))

    def root(number: int) -> int:
        parent = tags[number - 1]["parent"]
        return number if parent == "none" else root(int(parent))

    def goes_back(number: int) -> bool:
        own = tags[number - 1]
        return own["snapshot"] == snapshot or (own["parent"] != "none" and goes_back(int(own["parent"])))

    every = range(1, len(tags) + 1)
    found = requests.pending("R", ConcernedModels(models=("m",), snapshots=(snapshot,)), made(tags))
    concerned = {root(number) for number in every if tags[number - 1]["snapshot"] == snapshot}
    expected = [number for number in every if root(number) in concerned and not honours(number)]
    purged = [number for number in expected if tags[number - 1]["status"] == "purged"]
    assert [int(each.version) for each in found.purged] == purged
    assert [int(each.version) for each in found.stored] == [number for number in expected if number not in purged]
    back = requests.trained_on(snapshot, made(tags)).versions
    assert [int(each.version) for each in back] == [number for number in every if goes_back(number)]
    firsts = [number for number in every if tags[number - 1].get("request.R") == "fulfilled"]
    assert [int(each.version) for each in requests.first_honoured("R", made(tags)).versions] == firsts[:1]
