from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.conftest import Memorised, small_model
from unlearning.audit.attacks import expected_attacks
from unlearning.audit.audit import measure_model
from unlearning.audit.forgotten_before import compare_forgotten_before
from unlearning.audit.results import Comparison
from unlearning.audit.signals import SignalConfig
from unlearning.learning.models import Model

CONFIG = SignalConfig(queries=2, batch_size=48)
Memorise = Callable[[str, int], Memorised]


def compared(known: Memorised, candidate: Model, retrained: Model, seed: int = 0) -> dict[str, Comparison]:
    """Half of what the memorising model was trained on was forgotten before."""
    models = {"candidate": candidate, "retrained": retrained}
    found = compare_forgotten_before(models, known.paradigm, **groups(known), config=CONFIG, seed=seed)
    return {each.attack: each for each in found}


def groups(known: Memorised) -> dict[str, Any]:
    return {"before": known.members[:24], "retained": known.members[24:], "holdout": known.strangers}


@pytest.mark.parametrize("name", ["simclr", "supervised"])
def test_every_attack_without_references_is_compared_with_the_retrained_model(memorised: Memorise, name: str) -> None:
    known = memorised(name, 0)
    found = compared(known, known.model, small_model(known.paradigm, 1, hidden=(64,)))
    assert tuple(found) == expected_attacks(0)
    assert {each.reference for each in found.values()} == {"retrained"}
    assert {each.difference.level for each in found.values()} == {0.9}
    assert all(each.simultaneous is not None for each in found.values())


@pytest.mark.parametrize("seed", range(3))
def test_a_candidate_that_learned_the_records_again_is_found(memorised: Memorise, seed: int) -> None:
    known = memorised("supervised", seed)
    back = compared(known, known.model, small_model(known.paradigm, 90 + seed, hidden=(64,)))
    assert back["loss"].difference.low > 0.1
    same = compared(known, known.model, known.model)
    assert {each.difference.estimate for each in same.values()} == {0.0}


def test_the_difference_is_that_of_two_areas(memorised: Memorise) -> None:
    known = memorised("supervised", 0)
    other = small_model(known.paradigm, 1, hidden=(64,))
    found = compared(known, known.model, other, seed=5)["loss"].difference.estimate

    def area(model: Model) -> float:
        given = groups(known)
        given["forget"] = given.pop("before")
        shown = measure_model(model, known.paradigm, **given, config=CONFIG, seed=5)
        ours, theirs = shown.forget.signals["loss"][:, None], shown.holdout.signals["loss"][None]
        return float(np.mean((ours > theirs) + 0.5 * (ours == theirs)))

    assert found == pytest.approx(area(known.model) - area(other), abs=1e-12)
