from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter

from unlearning.compliance.ledger import events
from unlearning.compliance.ledger.state import State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests import deadlines
from unlearning.compliance.requests.intake import add
from unlearning.compliance.requests.requests import Request
from unlearning.core.errors import UserError
from unlearning.storage.local import LocalStore
from unlearning.storage.store import Store

NOW = datetime(2024, 6, 10, 12, tzinfo=UTC)
CANDIDATE = "c" * 64
DETAILS: TypeAdapter[Any] = TypeAdapter(Annotated[events.Details, Field(discriminator="kind")])


@pytest.fixture(scope="session")
def now() -> datetime:
    """A clock that stands still, ten days after `asked` requests were received."""
    return NOW


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def _asked(id: str = "C-1", **changes: Any) -> Request:  # noqa: A002
    who = {} if "records" in changes else {"subject": f"person of {id}"}
    return Request.model_validate({"id": id, "received": NOW - timedelta(days=10)} | who | changes)


@pytest.fixture(scope="session")
def asked() -> Callable[..., Request]:
    """A request: `asked("C-1", subject=...)`."""
    return _asked


def _details(word: str, *, model: str = "m", batch: str = "b", until: datetime | None = None) -> Any:
    """What a word of a sequence stands for; `audited:person` and the like say what follows the audit."""
    kind, _, detail = word.partition(":")
    own: dict[str, Any] = {"model": model, "batch": batch}
    received = NOW - timedelta(days=10)
    served = {} if detail == "never_trained" else {"version": "2", "digest": CANDIDATE}
    values: dict[str, dict[str, Any]] = {
        "received": {"digest": "0" * 64, "received": received, "due": deadlines.due(received)},
        "extended": {"months": 1, "reason": "many records", "due": deadlines.due(received, int(detail or 1))}
        if kind == "extended"
        else {},
        "withdrawn": {"reason": "by letter"},
        "rejected": {"reason": "identity not established"},
        "resolved": {"records": 3, "snapshots": ["a" * 64], "models": (detail or model).split(",")},
        "resolved_none": {"kind": "resolved", "records": 3, "snapshots": ["a" * 64], "models": []},
        "resolved_nothing": {"kind": "resolved", "records": 0, "snapshots": [], "models": []},
        "nothing_found": {},
        "claimed": own | {"until": until or NOW + timedelta(hours=1)},
        "released": own | {"reason": "the batch failed"},
        "unlearned": own | {"digest": CANDIDATE, "method": "finetune"},
        "audited": own | {"outcome": "passed", "action": detail or "promote"},
        "fulfilled": own | served | {"how": detail or "unlearned"},
        "escalated": own | {"reason": "the verdict is leaks"},
        "certified": {"certificate": (detail or "e") * 64},
        "purged": {"model": model, "version": "1", "objects": 4},
    }
    return DETAILS.validate_python({"kind": kind} | values[kind])


@pytest.fixture(scope="session")
def details() -> Callable[..., Any]:
    """An event's details by its name: `details("claimed", model=..., batch=..., until=...)`."""
    return _details


@pytest.fixture
def told(store: LocalStore) -> Callable[..., State]:
    """Adds a request and appends what happened to it: `told("C-1", "resolved", "claimed", ...)`."""

    def tell(request: str, *words: str) -> State:
        add(store, [_asked(request)], by="test", now=NOW)
        ledger = Ledger(store)
        state = ledger.state(request)
        for word in words:
            details = _details(word)
            if details.kind == "extended":
                day = deadlines.office_day(state.received, "UTC", details.months)
                details = details.model_copy(update={"day": day, "due": deadlines.due(state.received, 1, day)})
            state = ledger.append(state, details, by="test", now=NOW)
        return state

    return tell


class Around:
    """A store around another one, in which things may go wrong."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Dying(Around):
    """Its process dies when it wants to write once more than so many times."""

    def __init__(self, inner: Store, writes: int) -> None:
        super().__init__(inner)
        self.left = writes

    def _spend(self) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1

    def create(self, key: str, data: bytes) -> bool:
        self._spend()
        return self.inner.create(key, data)

    def delete(self, key: str) -> None:
        self._spend()
        self.inner.delete(key)


class LosingAnswers(Around):
    """The first write of every key is done, but its answer lost; then so many questions go unanswered."""

    def __init__(self, inner: Store, silent: int = 0) -> None:
        super().__init__(inner)
        self.silent, self.unanswered, self.tried = silent, 0, set[str]()

    def create(self, key: str, data: bytes) -> bool:
        made = self.inner.create(key, data)
        if key in self.tried:
            return made
        self.tried.add(key)
        self.unanswered = self.silent
        raise UserError("the store cannot be reached")

    def read(self, key: str) -> bytes:
        if self.unanswered:
            self.unanswered -= 1
            raise UserError("the store cannot be reached")
        return self.inner.read(key)


@pytest.fixture(scope="session")
def dying() -> type[Dying]:
    """`dying(store, writes)`."""
    return Dying


@pytest.fixture(scope="session")
def losing_answers() -> type[LosingAnswers]:
    """`losing_answers(store, silent)`."""
    return LosingAnswers
