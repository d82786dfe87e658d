"""A model's versions as the report and the drawing show them."""

from __future__ import annotations

from collections.abc import Sequence

from unlearning.registry.history import honoured
from unlearning.registry.versions import CHAMPION, Version
from unlearning.reporting.summary import VersionSummary


def overview(versions: Sequence[Version], newest: int = 0) -> tuple[VersionSummary, ...]:
    """The versions of one model, oldest first.

    Args:
        newest: how many of the newest are shown; 0 for all.
    """
    honours = honoured(versions)
    return tuple(
        VersionSummary(
            version=each.version,
            parent=each.tag("parent"),
            kind=each.tag("kind"),
            method=each.tag("method"),
            status=each.tag("status"),
            verdict=each.tag("verdict"),
            serves=CHAMPION in each.aliases,
            requests=len(honours[each.version]),
        )
        for each in versions[-newest:]
    )
