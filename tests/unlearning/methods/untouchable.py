"""Records that a method must not be shown."""

from __future__ import annotations

from typing import Any


class Untouchable:
    """Non-members that nobody may touch."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"non-members were asked for {name}")

    def __len__(self) -> int:
        raise AssertionError("non-members were counted")

    def __getitem__(self, rows: Any) -> Any:
        raise AssertionError("non-members were drawn")
