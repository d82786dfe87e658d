"""Asking a store about many requests side by side: S3 answers each question late, but many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

AT_ONCE = 10
"""As many as there are connections to S3."""

PART = 500
"""How many answers are remembered before they are asked for."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def side_by_side(ask: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
    """The answers in the order of the items, of which no more than a part is taken beforehand."""
    remaining = iter(items)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while part := tuple(islice(remaining, PART)):
            yield from pool.map(ask, part)
