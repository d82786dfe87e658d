"""A model's versions as the report and the drawing show them."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from unlearning.core.config import Config
from unlearning.registry.history import honoured
from unlearning.registry.versions import CHAMPION, Version


def overview(versions: Sequence[Version], newest: int = 0) -> tuple[VersionSummary, ...]:
    """The versions of one model, oldest first.

    Args:
        newest: how many of the newest are shown; 0 for all.
    """
    honours = honoured(versions)
    return tuple(
        VersionSummary(
            version=each.version,
            parent=each.tags.parent,
            kind=each.tags.kind,
            method=each.tags.method,
            status=each.tags.status,
            verdict=each.tags.verdict,
            serves=CHAMPION in each.aliases,
            requests=len(honours[each.version]),
        )
        for each in versions[-newest:]
    )


class VersionSummary(Config):
    """A version of the model, for the drawing of its history."""

    version: str
    parent: str
    """Version it was made from, or `none`."""
    kind: str
    method: str
    status: str
    verdict: str
    """Its outcome, or `none`."""
    serves: bool
    requests: int = Field(ge=0)
    """How many erasure requests it honours."""
