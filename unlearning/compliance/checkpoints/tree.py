"""The Merkle tree of RFC 6962: one digest of a list that only grows, by which an earlier list shows in a later one.

A leaf and a node are hashed with different first bytes, so that neither can stand for the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

LEAF, NODE = b"\x00", b"\x01"


class Tree:
    """A list that grows leaf by leaf; remembers one digest for each bit of its length."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self.size = 0
        self._full: list[tuple[int, bytes]] = []
        """Full subtrees from left to right, with their numbers of leaves: powers of two, each smaller than before."""
        for leaf in leaves:
            self.append(leaf)

    def append(self, leaf: bytes) -> None:
        """Add a leaf at the end."""
        size, node = 1, _digest(LEAF + leaf)
        while self._full and self._full[-1][0] == size:
            node = _digest(NODE + self._full.pop()[1] + node)
            size *= 2
        self._full.append((size, node))
        self.size += 1

    def root(self) -> str:
        """SHA-256 over all leaves so far, in hexadecimal."""
        if not self._full:
            return _digest(b"").hex()
        *others, (_, node) = self._full
        for _, left in reversed(others):
            node = _digest(NODE + left + node)
        return node.hex()


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
