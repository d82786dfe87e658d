from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from unlearning.registry.versions import Version

Family = Callable[..., list[Version]]


def _version(number: int, parent: int = 0, *, aliases: Sequence[str] = (), name: str = "m", **tags: str) -> Version:
    snapshot = tags.pop("snapshot", f"s{number}")
    every = {"parent": str(parent) if parent else "none", "kind": "unlearned" if parent else "original"}
    every |= {"snapshot": snapshot, "verdict": "passed" if parent else "none", "status": "superseded"}
    every |= {"digest": f"d{number}", "parent_digest": f"d{parent}" if parent else "none"}
    return Version(
        name=name,
        version=str(number),
        aliases=tuple(aliases),
        tags=every | {key.replace("request_", "request."): value for key, value in tags.items()},
        description="",
    )


@pytest.fixture
def version() -> Callable[..., Version]:
    """A version by its number and its parent's; what is not given is as the pipelines would write it."""
    return _version
