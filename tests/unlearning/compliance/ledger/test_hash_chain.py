"""What is found in a damaged ledger is in test_ledger_verification.py; here is how far the state then reaches."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from unlearning.compliance.ledger.hash_chain import Seal, examine, read_seal
from unlearning.compliance.ledger.state import State
from unlearning.storage.keys import event_key
from unlearning.storage.local import LocalStore

WORDS = ("resolved", "claimed", "unlearned")


def test_a_seal_is_its_name() -> None:
    seal = Seal(12, "nothing_found", "ab" * 32)
    assert seal.name == f"00000012.nothing_found.{'ab' * 32}"
    assert read_seal(seal.name) == seal


@pytest.mark.parametrize(
    "name", ["", "1.received." + "a" * 64, "00000001.received." + "A" * 64, "00000001.Received", "x"]
)
def test_names_that_are_no_seal(name: str) -> None:
    assert read_seal(name) is None


def test_the_state_reaches_as_far_as_the_events_are_sound(store: LocalStore, told: Callable[..., State]) -> None:
    told("C-1", *WORDS)
    objects = {sequence: store.read(event_key("C-1", sequence)) for sequence in range(1, 5)}
    seals = [key.split("/")[-1] for key in store.list("seals/C-1")]
    whole = examine("C-1", objects, seals)
    assert [event.sequence for event in whole.events] == [1, 2, 3, 4]
    for changed in objects:
        history = examine("C-1", objects | {changed: b"{}"}, seals)
        assert [event.sequence for event in history.events] == list(range(1, changed))
        assert (None if history.state is None else history.state.head.sequence) == (changed - 1 or None)
        assert {problem.sequence for problem in history.problems} == {changed, changed + 1} - {5}
    assert examine("C-1", {}, ()).state is None
    without_seals = examine("C-1", objects, ())
    assert without_seals.state is not None
    assert (without_seals.state.head.sequence, without_seals.state.head.sealed) == (4, False)
