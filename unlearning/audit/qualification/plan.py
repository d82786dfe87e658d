"""Which simulated sets a method forgets for its qualification, and which task makes it forget which."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from unlearning.audit.policy import Margins
from unlearning.core.errors import UserError
from unlearning.core.seeding import derive

Rows = npt.NDArray[np.intp]

SIZES = "1,3,10,30"
"""Records of a set, by default: what a person's request asks for, and what a batch of several does."""
SETS = 100
FEWEST_SETS = 8
"""Intervals come from the spread between sets: that of fewer is hardly known."""
LARGEST_SIZE = 1000
"""So many records are audited as they are."""


def sizes_of(text: str) -> tuple[int, ...]:
    """Sizes from a text such as `1,3,10,30`, in order.

    Raises:
        UserError: one is no number from 1 to 1,000, or there is none.
    """
    parts = [each.strip() for each in text.split(",") if each.strip()]
    if not parts or not all(each.isdecimal() and 1 <= int(each) <= LARGEST_SIZE for each in parts):
        raise UserError(f"sizes {text!r}: give numbers of records from 1 to {LARGEST_SIZE}, such as {SIZES}")
    return tuple(sorted({int(each) for each in parts}))


def _possible_sizes(text: str) -> str:
    sizes_of(text)
    return text


class SetsToForget(Margins):
    """What a method is made to forget before it counts as qualified, and how that is judged."""

    sizes: Annotated[str, AfterValidator(_possible_sizes)] = SIZES
    """Records of a simulated set, separated by commas: a request is covered at these sizes and between them."""
    sets: int = Field(SETS, ge=FEWEST_SETS)
    """Simulated sets of each size, at most; as many as the members make where they are fewer. Each is one unlearning
    and one audit."""
    qualification_tasks: int = Field(4, ge=1)
    """Tasks that forget them side by side."""


def count_of(size: int, wanted: int, members: int) -> int:
    """How many sets of a size there are: as many as are wanted, but no member is in two of them.

    Raises:
        UserError: there are too few members for sets of this size.
    """
    found = min(wanted, members // size)
    if found < FEWEST_SETS:
        raise UserError(
            f"size {size}: {FEWEST_SETS} sets at least are needed, which {members} members do not make"
            if wanted >= FEWEST_SETS
            else f"sets {wanted}: give {FEWEST_SETS} or more"
        )
    return found


def draw(members: int, size: int, count: int, seed: int) -> Rows:
    """The rows of the members that each set is made of.

    Args:
        members: M.
        size: S records of a set.
        count: J sets.
        seed: of the draw.

    Returns:
        (J, S), no row twice.
    """
    order = np.random.default_rng(derive(seed, f"qualification {size}")).permutation(members)
    return np.asarray(order[: size * count].reshape(count, size))


def shares(text: str, sets: int, members: int, tasks: int) -> list[dict[int, list[int]]]:
    """The numbers of the sets by size, divided over at most `tasks` tasks, none of them empty.

    Raises:
        UserError: a size, the sets or the tasks have no meaning, or there are too few members.
    """
    if tasks < 1:
        raise UserError(f"qualification_tasks {tasks}: give 1 or more")
    every = [(size, number) for size in sizes_of(text) for number in range(count_of(size, sets, members))]
    found: list[dict[int, list[int]]] = []
    for first in range(min(tasks, len(every))):
        share: dict[int, list[int]] = {}
        for size, number in every[first::tasks]:
            share.setdefault(size, []).append(number)
        found.append(share)
    return found


def as_text(share: dict[int, list[int]]) -> str:
    """A share in one line, such as `3: 0 4 8; 10: 1 5`."""
    return "; ".join(f"{size}: {' '.join(map(str, numbers))}" for size, numbers in share.items())


def from_text(text: str) -> dict[int, list[int]]:
    """A share out of its line."""
    parts = (each.partition(":") for each in text.split(";"))
    return {int(size): [int(number) for number in numbers.split()] for size, _, numbers in parts}
