from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from unlearning.core.errors import UserError
from unlearning.storage.local import LocalStore
from unlearning.storage.store import create_idempotent


def test_a_lost_answer_is_asked_for(store: LocalStore, losing_answers: Callable[..., Any]) -> None:
    assert create_idempotent(losing_answers(store), "a/1", b"mine")
    assert not create_idempotent(losing_answers(store), "a/1", b"theirs")
    assert store.read("a/1") == b"mine"


def test_an_answer_that_stays_lost_is_told(store: LocalStore, losing_answers: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="cannot be reached"):
        create_idempotent(losing_answers(store, silent=1), "a/1", b"mine")
    assert store.read("a/1") == b"mine"


def test_what_was_never_written_is_not_said_to_be(store: LocalStore) -> None:
    class Refusing(LocalStore):
        def create(self, key: str, data: bytes) -> bool:
            raise UserError("no space is left")

    with pytest.raises(UserError, match="no space is left"):
        create_idempotent(Refusing(store.root), "a/1", b"mine")
