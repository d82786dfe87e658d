from __future__ import annotations

from collections.abc import Callable

import pytest

from unlearning.lineage import artifacts
from unlearning.lineage.artifacts import Place
from unlearning.registry.versions import Version

Make = Callable[..., Version]


@pytest.mark.parametrize(
    ("kind", "there", "statuses", "state"),
    [
        ("weights", True, ["serving"], "live"),
        ("weights", True, ["superseded"], "live"),
        ("weights", True, ["rejected"], "live"),
        ("weights", True, ["withdrawn"], "withdrawn"),
        ("weights", True, ["purged"], "left_behind"),
        ("weights", False, ["purged"], "purged"),
        ("weights", False, ["withdrawn"], "missing"),
        ("weights", False, ["serving"], "missing"),
        ("snapshot", True, ["purged", "serving"], "live"),
        ("snapshot", True, ["purged", "withdrawn"], "withdrawn"),
        ("snapshot", True, ["purged", "purged"], "left_behind"),
        ("snapshot", False, ["purged", "purged"], "purged"),
        ("snapshot", False, ["purged", "withdrawn"], "missing"),
        ("snapshot", False, ["purged", "serving"], "missing"),
        ("certificate", True, ["purged"], "live"),
        ("certificate", False, ["purged"], "missing"),
        ("batch", True, ["withdrawn"], "live"),
        ("forget_set", True, ["serving"], "live"),
        ("forget_set", False, ["serving"], "purged"),
    ],
)
def test_the_state_of_an_artefact(
    version: Make, kind: artifacts.Kind, there: bool, statuses: list[str], state: str
) -> None:
    users = [version(number, status=status) for number, status in enumerate(statuses, 1)]
    assert artifacts.state(kind, there, users) == state


def test_a_version_is_not_shared_with_itself(version: Make) -> None:
    own, place = version(2, 1, status="purged"), Place(kind="snapshot", key="snapshots/x", folder=True)
    others = [own, version(2, name="other", status="serving"), version(3, 2, status="purged")]
    found = artifacts.artefact(place, 3, own, others)
    assert (found.shared_with, found.state, found.objects) == (("other/2", "m/3"), "live", 3)
    assert artifacts.artefact(place, 3, own, [own]).state == "left_behind"


def test_where_certificates_and_batches_are_looked_for(version: Make) -> None:
    made = version(3, 1, request_R2="fulfilled", request_R1="fulfilled", request_R3="asked", batch="b1")
    assert [place.key for place in artifacts.certificates(made)] == ["certificates/R1", "certificates/R2"]
    assert [place.key for place in artifacts.batch(made)] == ["batches/b1.json", "batches/b1/m"]
    assert artifacts.certificates(version(1)) == artifacts.batch(version(1)) == ()
