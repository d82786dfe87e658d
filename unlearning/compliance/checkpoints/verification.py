"""Whether what checkpoints hold is there unchanged: in the store's own, and in a copy that was kept elsewhere.

What was asked is held by no checkpoint, so that it can be deleted after the end. Who lays an older store over this one,
its checkpoints included, is found out by a copy alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from unlearning.compliance.certificates.keyring import Keyring
from unlearning.compliance.checkpoints import log as logs
from unlearning.compliance.checkpoints.document import Document, Leaf, TreeHead
from unlearning.compliance.checkpoints.log import Log
from unlearning.compliance.checkpoints.objects import digest_at, sealed, thing
from unlearning.compliance.checkpoints.tree import Tree
from unlearning.compliance.ledger.hash_chain import Problem, ProblemKind
from unlearning.core.errors import UserError
from unlearning.storage.concurrency import side_by_side
from unlearning.storage.keys import event_key
from unlearning.storage.store import Store


@dataclass(frozen=True)
class Trust:
    """By whose keys checkpoints must be signed."""

    keyring: Keyring
    only: bool
    """Whether a signature by any other key is a problem, and not just one that cannot be looked at."""


@dataclass(frozen=True)
class StoreVerification:
    """What was found."""

    problems: tuple[Problem, ...]
    newest: TreeHead | None
    """Of the store."""
    unchecked: int
    """Checkpoints whose signatures could not be looked at, since their keys were not given."""


def verify(store: Store, trust: Trust, *, copy: Document | None = None, request: str = "") -> StoreVerification:
    """Compare the store with its checkpoints, and with a copy.

    Others may go on writing meanwhile; what they do is no problem.

    Args:
        store: what is looked at.
        trust: keys that checkpoints must be signed by.
        copy: a checkpoint with everything that it holds, see `making.copy_of`.
        request: only what is there for this request; all if empty.

    Raises:
        UserError: the copy does not hold what it signs, or the store cannot be used.
    """
    log = logs.read(store)
    # The newest one names all before it, and its tree holds theirs: its signature is for all of them.
    documents = [each for each in (log.newest, copy) if each is not None]
    problems = [_about_store("bad_checkpoint", text) for text in log.problems]
    problems += [_about_store("bad_checkpoint", text) for text in _refusals(documents, trust)]
    problems += [
        _about_store("restored", f"{each.name} begins anew: {each.restored}")
        for each in (document.checkpoint for document in log.documents.values())
        if each.restored
    ]
    holders = dict(log.holders)
    if copy is not None:
        _check_copy(copy)
        problems += _contradictions(log, copy)
        for leaf in copy.leaves:
            holders.setdefault(leaf, copy)
    wanted = {leaf: document.checkpoint for leaf, document in holders.items()}
    problems += _losses(store, wanted, request)
    newest = log.newest
    unchecked = sum(not _known(each, trust) for each in documents)
    return StoreVerification(tuple(problems), newest.checkpoint if newest else None, 0 if trust.only else unchecked)


def _known(document: Document, trust: Trust) -> bool:
    return all(trust.keyring.find(each.keyid) for each in document.envelope.signatures)


def _refusals(documents: list[Document], trust: Trust) -> Iterator[str]:
    for document in documents:
        refusal = document.refusal(trust.keyring) if trust.only or _known(document, trust) else ""
        if refusal:
            yield f"{document.checkpoint.name}: {refusal}"


def _check_copy(copy: Document) -> None:
    tree = Tree(leaf.line for leaf in copy.leaves)
    if (tree.size, tree.root()) != (copy.checkpoint.size, copy.checkpoint.root):
        raise UserError(
            f"the copy of {copy.checkpoint.name} does not hold all that it signs: "
            "give a file of `unlearn ledger checkpoint --out`, as it was written"
        )


def _contradictions(log: Log, copy: Document) -> Iterator[Problem]:
    """What is wrong with the store's checkpoints by a later look at a copy."""
    name, number = copy.checkpoint.name, copy.checkpoint.number
    if number > log.last:
        newest = log.newest.checkpoint.name if log.newest else "no checkpoint"
        text = f"the copy is {name}, the store's newest is {newest}: an older store was laid over it"
        yield _about_store("rolled_back", text)
    elif number in log.documents and log.documents[number].digest != copy.digest:
        other = log.documents[number].checkpoint.name
        yield _about_store("rolled_back", f"the copy is {name}, the store has another, {other}: it went another way")


def _losses(store: Store, wanted: Mapping[Leaf, TreeHead], request: str) -> Iterator[Problem]:
    """What is not there as it was, without reading an event whose seal says that it is."""
    left = {leaf: checkpoint for leaf, checkpoint in wanted.items() if not request or _request_of(leaf) == request}
    for each, seal in sealed(store):
        left.pop(Leaf(event_key(each, seal.sequence), seal.digest), None)
    leaves = sorted(left)
    digests = side_by_side(partial(digest_at, store), (leaf.key for leaf in leaves))
    for leaf, digest in zip(leaves, digests, strict=True):
        if digest != leaf.digest:
            yield _loss(leaf, left[leaf], gone=not digest)


def _request_of(leaf: Leaf) -> str:
    found = thing(leaf.key)
    return found.request if found else ""


def _loss(leaf: Leaf, checkpoint: TreeHead, *, gone: bool) -> Problem:
    found = thing(leaf.key)
    what = found.text if found else repr(leaf.key)
    text = f"{what} is gone, which {checkpoint.name} holds" if gone else f"{what} is not the one of {checkpoint.name}"
    request, sequence = (found.request, found.sequence) if found else ("", None)
    return Problem(kind="lost" if gone else "replaced", request=request, sequence=sequence, text=text)


def _about_store(kind: ProblemKind, text: str) -> Problem:
    return Problem(kind=kind, request="", sequence=None, text=text)
