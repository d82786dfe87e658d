from __future__ import annotations

from collections.abc import Callable

from unlearning.registry.overview import overview
from unlearning.registry.versions import Version


def test_the_newest_versions_oldest_first_with_what_all_before_them_honour(version: Callable[..., Version]) -> None:
    versions = [
        version(1),
        version(2, 1, request_R1="fulfilled", method="finetune"),
        version(3, 2, request_R2="fulfilled", aliases=("champion",), status="serving"),
    ]
    found = overview(versions)
    assert [(each.version, each.parent, each.requests, each.serves) for each in found] == [
        ("1", "none", 0, False), ("2", "1", 1, False), ("3", "2", 2, True),
    ]  # fmt: skip
    assert (found[1].kind, found[1].method, found[1].status, found[1].verdict) == (
        "unlearned", "finetune", "superseded", "passed",
    )  # fmt: skip
    assert overview(versions, 2) == found[1:]
    assert overview(versions, 9) == found
    assert overview([]) == ()
