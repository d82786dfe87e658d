"""What a claim lets whom do is in test_state.py; here is what a model remembers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta
from typing import Any

import pytest

from unlearning.compliance.ledger.claims import ModelState, RefusedError, model_after, refuse_while_live


def test_a_model_remembers_what_was_found_and_forgets_it_when_released(
    details: Callable[..., Any], now: datetime
) -> None:
    model = ModelState()
    seen = []
    for word in ("claimed", "unlearned", "audited:stronger", "unlearned", "audited", "fulfilled"):
        model = model_after(model, details(word), now)
        seen.append(model.status)
    assert seen == ["claimed", "unlearned", "audited", "unlearned", "audited", "fulfilled"]
    assert (model.method, model.outcome, model.action, model.version, model.how) == (
        "finetune", "passed", "promote", "2", "unlearned"
    )  # fmt: skip
    escalated = model_after(model_after(ModelState(), details("claimed"), now), details("escalated"), now)
    assert (escalated.reason, escalated.until) == ("the verdict is leaks", None)
    assert model_after(escalated, details("released"), now) == ModelState()


def test_a_claim_is_live_while_a_batch_may_work(details: Callable[..., Any], now: datetime) -> None:
    end = now + timedelta(hours=1)
    model = ModelState()
    assert not model.live(now)
    for word in ("claimed", "unlearned", "audited"):
        model = model_after(model, details(word, until=end), now)
        for at, live in (
            (now, True),
            (end + timedelta(minutes=5), True),
            (end + timedelta(minutes=5, seconds=1), False),
        ):
            assert model.live(at) is live
    with pytest.raises(RefusedError, match="batch 'b' works on model 'm'"):
        refuse_while_live("m", model, now)
    assert not model_after(model, details("fulfilled"), now).live(now)
    assert not model_after(model, details("escalated"), now).live(now)


def test_a_state_that_others_hold_cannot_be_changed() -> None:
    state = ModelState()
    with pytest.raises(FrozenInstanceError):
        state.status = "fulfilled"  # type: ignore[misc]
    assert state == ModelState()
