from __future__ import annotations

from datetime import UTC, datetime

import pytest

from unlearning.compliance.inventory import Inventory, StoredSnapshot, TrainedModel, TrainedVersion
from unlearning.compliance.requests.requests import Request
from unlearning.compliance.requests.resolution import concern
from unlearning.core.errors import UserError
from unlearning.registry.tags import Tags
from unlearning.registry.versions import Version

ONE, THREE, OTHER = "1" * 64, "3" * 64, "9" * 64
OLD = StoredSnapshot("old", frozenset({THREE, OTHER}), other_ids={ONE: THREE, THREE: ONE})
NEW = StoredSnapshot("new", frozenset({ONE}), subjects={ONE: ("ann",)})


def asked(**about: object) -> Request:
    return Request.model_validate({"id": "C-1", "received": datetime(2025, 1, 1, tzinfo=UTC), **about})


def serving(name: str, members: frozenset[str] | None) -> TrainedModel:
    version = Version(name=name, version="1", aliases=("champion",), tags=Tags(kind="original"), description="")
    return TrainedModel(name, (TrainedVersion(version, members),), (version,))


@pytest.mark.parametrize("about", [{"records": (ONE,)}, {"records": (THREE,)}, {"subject": "ann"}])
def test_a_grey_picture_is_found_in_every_snapshot_by_either_id_and_by_its_person(about: dict[str, object]) -> None:
    models = serving("depot", frozenset({OTHER})), serving("shop", frozenset({THREE}))
    found = concern(asked(**about), Inventory((OLD, NEW), models, {}, {}))
    assert found.records == {ONE, THREE}
    assert found.snapshots == ("new", "old")
    assert found.members == {"shop": {THREE}}
    assert found.settled == {}


def test_who_is_nowhere_is_nowhere() -> None:
    for about in ({"records": ("0" * 64,)}, {"subject": "bob"}):
        assert concern(asked(**about), Inventory((OLD, NEW), (), {}, {})).records == frozenset()


def test_of_what_serves_without_a_known_split_nobody_can_say_anything() -> None:
    inventory = Inventory((NEW,), (serving("shop", None),), {}, {})
    with pytest.raises(UserError, match="the split of what serves of model shop is missing or damaged"):
        concern(asked(subject="ann"), inventory)
    assert concern(asked(subject="ann", model="depot"), inventory).members == {}
