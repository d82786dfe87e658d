from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from unlearning.compliance import places
from unlearning.core.errors import UserError
from unlearning.storage.store import LocalStore


def test_a_lost_answer_is_asked_for(store: LocalStore, losing_answers: Callable[..., Any]) -> None:
    assert places.create_surely(losing_answers(store), "a/1", b"mine")
    assert not places.create_surely(losing_answers(store), "a/1", b"theirs")
    assert store.read("a/1") == b"mine"


def test_an_answer_that_stays_lost_is_told(store: LocalStore, losing_answers: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="cannot be reached"):
        places.create_surely(losing_answers(store, silent=1), "a/1", b"mine")
    assert store.read("a/1") == b"mine"


def test_what_was_never_written_is_not_said_to_be(store: LocalStore) -> None:
    class Refusing(LocalStore):
        def create(self, key: str, data: bytes) -> bool:
            raise UserError("no space is left")

    with pytest.raises(UserError, match="no space is left"):
        places.create_surely(Refusing(store.root), "a/1", b"mine")


def test_keys_sort_as_numbers_do() -> None:
    keys = [places.event_key("C-1", number) for number in (1, 9, 10, 99_999_999)]
    assert keys == sorted(keys)
    assert keys[0] == "ledger/C-1/00000001.json"
