"""Waiting for a cluster: each wait has its own limit, all of them one budget, and what goes on is told."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from unlearning.core.errors import UserError

Found = TypeVar("Found")


class TooLongError(AssertionError):
    """Something did not come in its time."""


@dataclass
class Budget:
    """The seconds that everything together may take."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    @property
    def spent(self) -> float:
        return self.clock() - self.began

    def tell(self, line: str) -> None:
        """A line of progress, with the time since the beginning."""
        minutes, seconds = divmod(int(self.spent), 60)
        print(f"[{minutes:2}:{seconds:02}] {line}", file=sys.stderr, flush=True)

    def wait(
        self,
        what: str,
        look: Callable[[], Found | None],
        limit: float,
        every: float = 2.0,
        state: Callable[[], str] = lambda: "",
    ) -> Found:
        """Look until something is found; a service that does not answer is asked again at the next look.

        Args:
            what: is waited for, in words.
            look: gives None until then.
            limit: seconds; the budget's rest where that is less.
            every: seconds between two looks.
            state: how it stands, for the message.

        Raises:
            TooLongError: it was not found in time.
        """
        began = self.clock()
        rest = self.seconds - self.spent
        refused = ""
        while True:
            try:
                found = look()
            except UserError as error:
                found = None
                if str(error) != refused:
                    refused = str(error)
                    self.tell(f"{refused}; asking again")
            if found is not None:
                return found
            waited = self.clock() - began
            if waited >= min(limit, rest):
                which = "its limit" if limit <= rest else f"the rest of {self.seconds / 60:.0f} minutes for everything"
                raise TooLongError(f"{what}: not after {waited:.0f} s, which is {which}. {_told(state)}".rstrip())
            self.sleep(every)


def _told(state: Callable[[], str]) -> str:
    try:
        return state()
    except UserError as error:
        return str(error)
