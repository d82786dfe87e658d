"""Whether a request's events and seals belong together; pure, for whoever reads and for whoever verifies.

Every event names the digest of the one before it, and every event has a seal, whose name holds the event's
digest. So a change shows in the chain and in the seal, and that the last event is gone shows in its seal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from unlearning.compliance.fields import CLOCK_DIFFERENCE
from unlearning.compliance.ledger.events import NOTHING_BEFORE, Event, digest_of, read_event
from unlearning.compliance.ledger.state import State, after
from unlearning.compliance.requests.deadlines import clock as moment_text
from unlearning.core.config import Config
from unlearning.core.errors import TransitionError

ProblemKind = Literal[
    "changed", "unreadable", "missing", "misplaced", "broken_chain", "impossible", "missing_seal", "bad_seal",
    "unknown_object", "request_changed", "request_missing", "unfinished", "not_open", "unsealed", "still_open",
    "clock_set_back", "lost", "replaced", "rolled_back", "bad_checkpoint", "restored",
]  # fmt: skip

PASSING: tuple[ProblemKind, ...] = ("unsealed", "still_open")
"""What a crash at the wrong moment leaves behind; the next batch puts it right."""

NOTES: tuple[ProblemKind, ...] = ("clock_set_back", "restored")
"""What is told and calls for nothing to be put right."""

CLOCKS = "a clock was set back, or a long step wrote late"
"""What a time before that of the event before it can mean."""

_SEAL = re.compile(r"([0-9]{8})\.([a-z_]+)\.([0-9a-f]{64})")


class Problem(Config):
    """Something that is not as it was left."""

    kind: ProblemKind
    request: str
    """Its id; empty where it is about the whole store."""
    sequence: int | None
    """Of the event; None where it is not about one."""
    text: str

    @property
    def damage(self) -> bool:
        """Whether it cannot be explained by a crash at the wrong moment."""
        return self.kind not in (*PASSING, *NOTES)

    @property
    def note(self) -> bool:
        """Whether it is told and nothing is to be put right."""
        return self.kind in NOTES


@dataclass(frozen=True, slots=True)
class Seal:
    """What a seal's name says of its event."""

    sequence: int
    kind: str
    digest: str

    @property
    def name(self) -> str:
        return f"{self.sequence:08}.{self.kind}.{self.digest}"


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a request: all of it, if there is no damage."""

    request: str
    events: tuple[Event, ...]
    state: State | None
    """After all events up to the first damage; None if there are none."""
    problems: tuple[Problem, ...]


def read_seal(name: str) -> Seal | None:
    """The seal of this name; None if it is none."""
    found = _SEAL.fullmatch(name)
    return None if found is None else Seal(int(found[1]), found[2], found[3])


def examine(request: str, objects: Mapping[int, bytes], seal_names: Iterable[str]) -> History:
    """Compare the events' exact bytes, by sequence, with each other and with the seals."""
    problems: list[Problem] = []
    seals: dict[int, Seal] = {}
    for name in seal_names:
        seal = read_seal(name)
        if seal is None or seal.sequence in seals:
            problems.append(_problem("bad_seal", request, None, f"seal {name!r} is a second one or none at all"))
        else:
            seals[seal.sequence] = seal
    events: list[Event] = []
    state: State | None = None
    previous, expected, last = NOTHING_BEFORE, 1, max(objects, default=0)
    for sequence in sorted({*objects, *seals}):
        if sequence > expected:
            text = f"events {expected} to {sequence - 1} are gone, later ones are or were there"
            problems.append(_problem("missing", request, expected, text))
            previous = ""
        seal, data, expected = seals.get(sequence), objects.get(sequence), sequence + 1
        event, found = _examine_one(request, sequence, data, seal, previous, is_last=sequence == last)
        problems += found
        previous = digest_of(data) if data is not None else seal.digest if seal is not None else ""
        if event is None or any(problem.damage and problem.kind != "missing_seal" for problem in problems):
            continue
        problems += _clock(request, event, state)
        try:
            state = after(state, event, previous)
        except TransitionError as error:
            problems.append(_problem("impossible", request, sequence, str(error)))
            continue
        state = replace(state, head=replace(state.head, sealed=seal is not None))
        events.append(event)
    return History(request, tuple(events), state, tuple(problems))


def _examine_one(
    request: str, sequence: int, data: bytes | None, seal: Seal | None, previous: str, *, is_last: bool
) -> tuple[Event | None, list[Problem]]:
    """The event, if it is one, and what is wrong with it.

    Args:
        previous: digest of what stands before it; empty if that is not known.
    """

    def problem(kind: ProblemKind, text: str) -> Problem:
        return _problem(kind, request, sequence, text)

    if data is None:
        return None, [problem("missing", f"the event is gone, whose seal says {seal.kind if seal else 'nothing'}")]
    event = read_event(data)
    if seal is not None and seal.digest != digest_of(data):
        return event, [problem("changed", "the event is not the one that was sealed")]
    if event is None:
        return None, [problem("unreadable", "the object is no event")]
    found = []
    if (event.request, event.sequence) != (request, sequence):
        found.append(problem("misplaced", f"the event belongs to {event.request!r} as number {event.sequence}"))
    if previous and event.previous != previous:
        found.append(problem("broken_chain", "the event does not follow the one before it"))
    if seal is None:
        # Whoever appends seals the event before it first, so only the last one can be without.
        kind: ProblemKind = "unsealed" if is_last else "missing_seal"
        found.append(problem(kind, f"the event {event.details.kind} has no seal"))
    elif seal.kind != event.details.kind:
        found.append(problem("bad_seal", f"the seal says {seal.kind}, the event {event.details.kind}"))
    return event, found


def _clock(request: str, event: Event, before: State | None) -> list[Problem]:
    """That an event was written by a clock that was behind the event before it."""
    clock = event.clock or event.at
    if before is None or clock >= before.at - CLOCK_DIFFERENCE:
        return []
    text = f"written at {moment_text(clock)}, after an event of {moment_text(before.at)}"
    return [_problem("clock_set_back", request, event.sequence, f"{text}: {CLOCKS}")]


def _problem(kind: ProblemKind, request: str, sequence: int | None, text: str) -> Problem:
    return Problem(kind=kind, request=request, sequence=sequence, text=text)
