"""Which records a version and its ancestors were made to forget, and what is still kept of them.

A version that serves stands for its parent's data without what it forgot, so that the data of an ancestor holds what
was forgotten since, until it is purged. Data is nested: the oldest that is left holds the most.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from unlearning.core.errors import UserError
from unlearning.data import past_forget_sets
from unlearning.data.past_forget_sets import PastForgetSets
from unlearning.registry.history import ORIGINAL, by_number, chain, reduced, refused
from unlearning.registry.versions import Version, condemned, data_of
from unlearning.storage.datasets import fetch, load_split
from unlearning.storage.store import Store


def save_forgotten_before(store: Store, version: Version, versions: Sequence[Version], path: Path) -> PastForgetSets:
    """Write what the line of a version was made to forget, with the images as far as they are kept, as a new folder.

    What is withdrawn and not purged yet is used: the copy goes with it, since a purge tells it by its snapshot.

    Args:
        version: that is to forget more; its split is in the store.
        versions: all of its model.
        path: folder, see `past_forget_sets`.
    """
    line = chain(version, by_number(versions))
    now = load_split(store, data_of(version).split)
    with tempfile.TemporaryDirectory() as scratch:
        ids, snapshot = _kept(store, line[1:], frozenset(now.members), Path(scratch))
        asked = _asked(line)
        gone = None if asked is None else max(asked - len(ids), 0)
        past = PastForgetSets(split=now.digest, ids=ids, gone=gone)
        past_forget_sets.save(past, snapshot, path)
    return past


def _asked(line: Sequence[Version]) -> int | None:
    """How many records they were made to forget; None where a part of the line is not known."""
    if line[-1].tags.kind != ORIGINAL:
        return None
    # What was refused stands for its parent's data: nobody has shown that it forgot anything.
    forgot = [each for each in line if each.tags.kind != ORIGINAL and reduced(each) and not refused(each)]
    counts = [each.tags.forgotten_records for each in forgot]
    return sum(int(each) for each in counts) if all(each.isdecimal() for each in counts) else None


def _kept(
    store: Store, ancestors: Sequence[Version], now: frozenset[str], scratch: Path
) -> tuple[tuple[str, ...], Path | None]:
    """Members of the oldest ancestor whose data is left that are members no more, and its snapshot."""
    for each in reversed(ancestors):
        if condemned(each):
            continue  # its data may be half gone
        try:
            data = data_of(each)
            ids = tuple(member for member in load_split(store, data.split).members if member not in now)
            if not ids:
                break
            return ids, fetch(store, data, scratch / each.version)[0]
        except UserError:
            continue  # gone or damaged: what cannot be read cannot be audited, and is counted
    return (), None
