"""The checkpoints of a store in order: each names the one before it, and its tree goes on where that one's ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from unlearning.compliance.checkpoints.document import Document, Leaf, parse
from unlearning.compliance.checkpoints.tree import Tree
from unlearning.compliance.ledger.events import NOTHING_BEFORE
from unlearning.core.errors import MissingKeyError, UserError
from unlearning.storage.concurrency import side_by_side
from unlearning.storage.keys import LEDGER_CHECKPOINTS, checkpoint_key, names_in
from unlearning.storage.store import Store


@dataclass
class Log:
    """All checkpoints of a store, as far as they belong together."""

    documents: dict[int, Document] = field(default_factory=dict)
    """By number."""
    holders: dict[Leaf, Document] = field(default_factory=dict)
    """What must be there unchanged, and the checkpoint that says so first; since the last one that began anew."""
    keys: dict[str, str] = field(default_factory=dict)
    """The digests of the same, by key."""
    tree: Tree = field(default_factory=Tree)
    last: int = 0
    """The highest number."""
    problems: list[str] = field(default_factory=list)
    """What is wrong with the checkpoints themselves since the last one that began anew, a line each."""
    whole: bool = True
    """Whether the tree can be told: no checkpoint is missing or wrong since the last one that began anew."""

    @property
    def newest(self) -> Document | None:
        return self.documents.get(self.last)

    def leaves(self) -> tuple[Leaf, ...]:
        """In the order of the tree."""
        return tuple(self.holders)

    def add(self, number: int, document: Document) -> None:
        """Take one more checkpoint, and say what is wrong with it."""
        checkpoint, before = document.checkpoint, self.documents.get(number - 1)
        if checkpoint.number != number:
            self.lose(f"the object of checkpoint {number} is checkpoint {checkpoint.number}")
            return
        previous = NOTHING_BEFORE if number == 1 else before.digest if before else ""
        # Where the one before it is missing or damaged, that was told; one that begins anew may follow such a one.
        if previous and checkpoint.previous != previous:
            self.problems.append(f"checkpoint {number} does not follow the one before it")
        if before and checkpoint.at < before.checkpoint.at:
            self.problems.append(f"checkpoint {number} is older than the one before it")
        if checkpoint.restored:
            self.holders, self.keys, self.tree, self.whole, self.problems = {}, {}, Tree(), True, []
        for leaf in document.leaves:
            self.tree.append(leaf.line)
            self.holders.setdefault(leaf, document)
            self.keys.setdefault(leaf.key, leaf.digest)
        if self.whole and (self.tree.size, self.tree.root()) != (checkpoint.size, checkpoint.root):
            self.lose(f"checkpoint {number} does not hold what it signs, or not what those before it held")
        self.documents[number] = document

    def lose(self, problem: str) -> None:
        """Say that the tree cannot be told from here on."""
        self.whole = False
        self.problems.append(problem)


def read(store: Store) -> Log:
    """Every checkpoint of a store.

    Raises:
        UserError: the store cannot be used.
    """
    log = Log()
    numbers: set[int] = set()
    strange: list[str] = []
    for name in names_in(store, LEDGER_CHECKPOINTS):
        stem = name.removesuffix(".txt")
        number = int(stem) if stem.isascii() and stem.isdecimal() else 0
        if not number or f"{LEDGER_CHECKPOINTS}/{name}" != checkpoint_key(number):
            strange.append(f"{name!r} among the checkpoints is none")
        else:
            numbers.add(number)
    log.last = max(numbers, default=0)
    # While one lists, others may write: what the list left out before a later one is there by now.
    found = side_by_side(partial(_read, store), range(1, log.last + 1))
    for number, document in enumerate(found, start=1):
        if isinstance(document, str):
            log.lose(f"checkpoint {number}: {document}")
        else:
            log.add(number, document)
    log.problems += strange
    return log


def _read(store: Store, number: int) -> Document | str:
    try:
        data = store.read(checkpoint_key(number))
    except MissingKeyError:
        return "it is gone, later ones are there"
    try:
        return parse(data)
    except UserError as error:
        return str(error)
