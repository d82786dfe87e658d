"""What a check found, and how errors become findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from pydantic import BaseModel

from unlearning.core.errors import UserError

State = Literal["ok", "warning", "failed", "unknown"]
"""`unknown`: it could not be looked at, or was not asked for, which is no verdict."""


class Finding(BaseModel):
    """One line of the doctor's answer."""

    check: str
    state: State
    found: str
    do: str = ""
    """What to do about it; empty where nothing need be done."""

    def line(self, width: int = 0) -> str:
        """As people read it; `width` of the check's name."""
        advice = f"; {self.do}" if self.do else ""
        return f"{self.state:<8}{self.check:<{width}}  {self.found}{advice}"


Check = Callable[[], Iterable[Finding]]


def examine(checks: Iterable[tuple[str, Check]]) -> Iterator[Finding]:
    """Every finding of every check; one that cannot go on is a finding too, and the next is made all the same."""
    for name, check in checks:
        try:
            yield from check()
        except UserError as error:
            yield Finding(check=name, state="failed", found=" ".join(str(error).split()))
