"""What a speed measurement found: ratios of seconds, and memory, each with its goal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json


class Goal(Config):
    """A bound that a figure should keep."""

    side: Literal["at most", "at least"]
    bound: float

    def held(self, middle: float, low: float, high: float) -> str:
        """Whether the figure is on the right side of the bound, and whether its whole interval is."""
        if self.side == "at least":
            middle, low, high, bound = -middle, -high, -low, -self.bound
        else:
            bound = self.bound
        if high <= bound:
            return "held"
        return "held, but its interval reaches beyond" if middle <= bound else "not held"


class Ratio(Config):
    """Seconds of one thing over those of another, both measured in turn in one process."""

    what: str
    over: str
    paradigm: str
    median: float
    low: float
    high: float
    repeats: int
    seconds: float = Field(description="Median of the numerator.")
    over_seconds: float = Field(description="Median of the denominator.")
    goal: Goal | None = None
    note: str = ""

    @property
    def held(self) -> str:
        """Whether the goal is held; a dash without a goal."""
        return self.goal.held(self.median, self.low, self.high) if self.goal else "—"


class Memory(Config):
    """Peak resident memory of a fresh process, above what it held once everything was imported."""

    what: str
    paradigm: str
    records: int
    mebibytes: float
    imports: float = Field(description="Mebibytes that the imports took before.")
    goal: Goal

    @property
    def held(self) -> str:
        """Whether the limit is held."""
        return self.goal.held(self.mebibytes, self.mebibytes, self.mebibytes)


class Speed(Config):
    """Everything one run of the command found."""

    ratios: tuple[Ratio, ...]
    memory: tuple[Memory, ...]
    skipped: tuple[str, ...] = ()
    dataset: str
    seed: int
    commit: str
    machine: str
    torch: str
    threads: int
    seconds: float = Field(description="Wall time of the whole run.")


def median_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Median with the narrowest pair of order statistics that covers it at `level` (sign test).

    It assumes nothing of how the values are distributed. Of fewer than six values no pair covers
    it at 95 %, and the whole range is returned.
    """
    ordered = sorted(values)
    count = len(ordered)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    outside, cut = 0.0, 0
    while cut < (count - 1) // 2:
        outside += 2 * math.comb(count, cut) / 2**count
        if outside > 1 - level:
            break
        cut += 1
    first = max(cut - 1, 0)
    return middle, ordered[first], ordered[count - 1 - first]


def interleaved(pieces: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Wall seconds of every piece, taken in turn (A B C A B C …), after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in pieces}
    for turn in range(repeats + 1):
        for name, piece in pieces.items():
            begun = time.perf_counter()
            piece()
            taken = time.perf_counter() - begun
            if turn > 0:
                seconds[name].append(taken)
    return seconds


def ratio(
    what: str, over: str, paradigm: str, seconds: Sequence[float], over_seconds: Sequence[float], *,
    goal: Goal | None = None, units: int = 1, note: str = "",
) -> Ratio:  # fmt: skip
    """The ratio of paired seconds; `units` is how many steps or epochs each of them is made of."""
    median, low, high = median_interval([mine / other for mine, other in zip(seconds, over_seconds, strict=True)])
    return Ratio(
        what=what,
        over=over,
        paradigm=paradigm,
        median=median,
        low=low,
        high=high,
        repeats=len(seconds),
        seconds=median_interval(seconds)[0] / units,
        over_seconds=median_interval(over_seconds)[0] / units,
        goal=goal,
        note=note,
    )


def load(path: Path) -> Speed:
    """What an earlier run wrote.

    Raises:
        UserError: not a file of it.
    """
    try:
        return Speed.model_validate(read_json(path, "speed results"))
    except ValidationError as error:
        raise UserError(f"speed results {path}: {error.errors()[0]['msg']}: measure again") from None


def save(speed: Speed, path: Path) -> None:
    """Write in one step."""
    write_json(path, speed.model_dump(mode="json"))
