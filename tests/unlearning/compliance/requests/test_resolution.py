from __future__ import annotations

from datetime import UTC, datetime

import pytest

from unlearning.compliance.requests.requests import Request
from unlearning.compliance.requests.resolution import Holding, ServingData, concern

ONE, THREE, OTHER = "1" * 64, "3" * 64, "9" * 64
OLD = Holding("old", frozenset({THREE, OTHER}), other_ids={ONE: THREE, THREE: ONE})
NEW = Holding("new", frozenset({ONE}), subjects={ONE: ("ann",)})


def asked(**about: object) -> Request:
    return Request.model_validate({"id": "C-1", "received": datetime(2025, 1, 1, tzinfo=UTC), **about})


@pytest.mark.parametrize("about", [{"records": (ONE,)}, {"records": (THREE,)}, {"subject": "ann"}])
def test_a_grey_picture_is_found_in_every_snapshot_by_either_id_and_by_its_person(about: dict[str, object]) -> None:
    serving = [
        ServingData("shop", "1", "old", frozenset({THREE})),
        ServingData("depot", "1", "old", frozenset({OTHER})),
    ]
    found = concern(asked(**about), (OLD, NEW), serving)
    assert found.records == {ONE, THREE}
    assert found.snapshots == ("new", "old")
    assert found.members == {"shop": {THREE}}


def test_who_is_nowhere_is_nowhere() -> None:
    for about in ({"records": ("0" * 64,)}, {"subject": "bob"}):
        assert concern(asked(**about), (OLD, NEW), ()).records == frozenset()
