"""Tombstones: what was erased is in no new snapshot, split, training or set of references."""

from __future__ import annotations

from collections.abc import Iterable

from unlearning.compliance.retention import tombstones as stones
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.data import snapshots
from unlearning.data.snapshots import Snapshot
from unlearning.storage.store import open_store

REFUSE, DROP = "refuse", "drop"
"""What becomes of erased records that a data source still holds."""


def check_policy(erased: str) -> None:
    """Look at the parameter `erased`.

    Raises:
        UserError: it has no meaning.
    """
    if erased not in (REFUSE, DROP):
        raise UserError(f"erased {erased!r} is unknown: choose {REFUSE} or {DROP}")


def refuse_erased(records: Iterable[str], what: str, advice: str) -> None:
    """The one check of everything that is made from data.

    Args:
        records: ids of all records that it would be made from.
        what: names the data for people.
        advice: what to do about it.

    Raises:
        UserError: some of them were erased; the message says how many, and on whose request.
    """
    found = stones.among(_load(), records)
    if found:
        count = "1 erased record" if len(found) == 1 else f"{len(found)} erased records"
        raise UserError(f"{what} holds {count} ({stones.named(found)}): {advice}")


def without_erased(snapshot: Snapshot, erased: str) -> Snapshot:
    """A snapshot that was just read from its source, without the records that may not come back.

    Args:
        erased: `refuse` them, or `drop` them as a scheduled ingest does.

    Raises:
        UserError: it holds some and they are to be refused, or the policy has no meaning.
    """
    check_policy(erased)
    if erased == DROP:
        return snapshots.without(snapshot, _load().keys())
    advice = "remove them from the source, or ingest with erased=drop"
    refuse_erased(snapshot.manifest.record_ids, f"the source {snapshot.manifest.source}", advice)
    return snapshot


def tombstones() -> str:
    """Digest of what was erased until now. Whatever depends on it must not be taken from a cache of before."""
    return stones.digest(_load())


def _load() -> stones.Erased:
    return stones.load(open_store(settings.from_environment().store))
