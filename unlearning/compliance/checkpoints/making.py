"""Make a checkpoint: look at the store, and sign what is new beside what was there before."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from functools import partial

from unlearning.compliance.certificates.keys import PrivateKey, keyid, raw_public
from unlearning.compliance.checkpoints import log as logs
from unlearning.compliance.checkpoints.document import Document, Leaf, TreeHead, sign
from unlearning.compliance.checkpoints.log import Log
from unlearning.compliance.checkpoints.objects import digest_at, kept, sealed, thing
from unlearning.compliance.checkpoints.tree import Tree
from unlearning.compliance.fields import CLOCK_DIFFERENCE
from unlearning.compliance.ledger.events import NOTHING_BEFORE
from unlearning.compliance.ledger.hash_chain import CLOCKS, Seal
from unlearning.compliance.requests.deadlines import clock
from unlearning.core.config import Config
from unlearning.core.errors import LostRaceError, UserError
from unlearning.storage.concurrency import side_by_side
from unlearning.storage.keys import checkpoint_key, event_key
from unlearning.storage.store import Store, create_idempotent

TRIES = 5
"""Of making one, while others do."""


class Made(Config):
    """The newest checkpoint."""

    number: int
    at: datetime
    key: str
    """Where it lies in the store."""
    signed_by: str
    """Id of the key."""
    objects: int
    added: int
    """Objects that this call added; 0 where there was nothing new, and no new checkpoint."""
    missing: tuple[str, ...]
    """Keys of what earlier checkpoints hold and the store does not; they stay in the checkpoint."""
    unsound: tuple[str, ...]
    """Requests whose last event is not the one that was sealed; it is left out."""


def make(store: Store, signer: PrivateKey, *, now: datetime, restored: str = "") -> Made:
    """Write a checkpoint of the store as it is, unless the newest one says the same.

    What earlier checkpoints hold stays in the new one, there or not, so that no loss is forgotten.

    Args:
        store: others may go on writing to it.
        signer: the key of certificates.
        now: this machine's clock, before the store is looked at.
        restored: why it begins anew with what is there now, such as after a backup was restored; kept for ever.

    Raises:
        LostRaceError: others made checkpoints all the time.
        UserError: the checkpoints before it are damaged, or the store cannot be used.
    """
    for _ in range(TRIES):
        made = _try(store, signer, now, restored)
        if made is not None:
            return made
    raise LostRaceError("other processes made checkpoints at the same time: make it again")


def _try(store: Store, signer: PrivateKey, now: datetime, restored: str) -> Made | None:
    """One checkpoint; None where somebody else made that of this number."""
    log = logs.read(store)
    if log.problems and not restored:
        raise UserError(f"{log.problems[0]}: run `unlearn ledger verify`, and see docs/restoring.md")
    if restored:
        log.holders, log.keys, log.tree = {}, {}, Tree()
    heads = _heads(store)
    there = set(kept(store))
    new = sorted(there - log.keys.keys())
    digests = dict(zip(new, side_by_side(partial(digest_at, store), new), strict=True))
    expected = {event_key(request, seal.sequence): seal for request, seal in heads.items()}
    events = sorted(expected.keys() - log.keys.keys())
    read = dict(zip(events, side_by_side(partial(digest_at, store), events), strict=True))
    sound = {key: digest for key, digest in read.items() if digest == expected[key].digest}
    leaves = tuple(Leaf(key, digest) for key, digest in sorted((sound | digests).items()) if digest)
    missing = tuple(sorted(key for key in log.keys if not _is_there(key, there, heads)))
    unsound = tuple(key.split("/")[1] for key in events if key not in sound)
    document = _next(log, leaves, signer, now, restored)
    stated = document.checkpoint
    key = checkpoint_key(stated.number)
    if document is not log.newest and not create_idempotent(store, key, document.bytes()):
        return None
    return Made(
        number=stated.number, at=stated.at, key=key, signed_by=keyid(raw_public(signer)),
        objects=stated.size, added=len(leaves), missing=missing, unsound=unsound,
    )  # fmt: skip


def _heads(store: Store) -> dict[str, Seal]:
    heads: dict[str, Seal] = {}
    for request, seal in sealed(store):
        if request not in heads or seal.sequence > heads[request].sequence:
            heads[request] = seal
    return heads


def _is_there(key: str, there: set[str], heads: dict[str, Seal]) -> bool:
    found = thing(key)
    if found is None or found.sequence is None:
        return key in there
    return found.request in heads and heads[found.request].sequence >= found.sequence


def _next(log: Log, leaves: tuple[Leaf, ...], signer: PrivateKey, now: datetime, restored: str) -> Document:
    """The checkpoint after the newest one; the newest itself where it says all of it, signed by this key."""
    newest, name = log.newest, keyid(raw_public(signer))
    ours = newest is not None and name in {each.keyid for each in newest.envelope.signatures}
    if newest and ours and not leaves and not restored:
        return newest
    for leaf in leaves:
        log.tree.append(leaf.line)
    before = newest.checkpoint.at if newest else now
    if now < before - CLOCK_DIFFERENCE:
        print(f"warning: it is {clock(now)} here, before the checkpoint of {clock(before)}: {CLOCKS}", file=sys.stderr)
    checkpoint = TreeHead(
        number=log.last + 1,
        at=max(now, before),
        previous=newest.digest if newest else NOTHING_BEFORE,
        size=log.tree.size,
        root=log.tree.root(),
        restored=restored,
    )
    return sign(checkpoint, leaves, signer)


def copy_of(store: Store) -> Document | None:
    """The newest checkpoint with everything that it holds, to be kept elsewhere; None if there is none.

    Raises:
        UserError: the checkpoints are damaged, or the store cannot be used.
    """
    log = logs.read(store)
    if log.problems:
        raise UserError(f"{log.problems[0]}: run `unlearn ledger verify`, and see docs/restoring.md")
    if log.newest is None:
        return None
    return Document(log.newest.line, log.newest.envelope, log.newest.checkpoint, log.leaves())


def knows(store: Store, copy: Document) -> bool:
    """Whether a checkpoint is one of the store's own.

    Raises:
        UserError: the store cannot be used.
    """
    own = logs.read(store).documents.get(copy.checkpoint.number)
    return own is not None and own.digest == copy.digest


def warnings(made: Made) -> Iterator[str]:
    """What a person must look at, a line each."""
    advice = "run unlearn ledger verify"
    if made.missing:
        more = f" and {len(made.missing) - 1} more" if len(made.missing) > 1 else ""
        first = thing(made.missing[0])
        name = f"{first.text} of request {first.request}" if first else repr(made.missing[0])
        yield f"{name}{more} of an earlier checkpoint is not in the store: {advice}"
    if made.unsound:
        yield f"request {made.unsound[0]!r} is left out of the checkpoint, since its last event was changed: {advice}"
