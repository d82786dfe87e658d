from __future__ import annotations

import numpy as np
import pytest

from unlearning.audit.attacks import ATTACKS, AuditedSignals
from unlearning.audit.attacks.threshold import threshold
from unlearning.audit.signals import SIGNALS


def group(seed: int, count: int) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    draw = np.random.default_rng(seed)
    return {name: draw.normal(size=count) for name in SIGNALS}


@pytest.fixture
def signals() -> AuditedSignals:
    return AuditedSignals(group(0, 5), group(1, 7), group(2, 3))


@pytest.mark.parametrize("name", SIGNALS)
def test_the_scores_are_the_signal_itself_in_the_records_order(signals: AuditedSignals, name: str) -> None:
    for attack in (threshold(name), ATTACKS[name]):
        found = attack(signals, 0)
        np.testing.assert_array_equal(found.forget, signals.forget[name])
        np.testing.assert_array_equal(found.holdout, signals.holdout[name])
        assert found.pair == (found.forget, found.holdout)


def test_neither_the_seed_nor_the_retained_records_matter(signals: AuditedSignals) -> None:
    other = AuditedSignals(signals.forget, signals.holdout, group(9, 4))
    first, second = threshold("loss")(signals, 1), threshold("loss")(other, 2)
    np.testing.assert_array_equal(first.forget, second.forget)
    np.testing.assert_array_equal(first.holdout, second.holdout)


def test_a_signal_that_was_not_measured_is_an_error(signals: AuditedSignals) -> None:
    with pytest.raises(KeyError, match="unheard_of"):
        threshold("unheard_of")(signals, 0)


def test_every_signal_has_its_attack() -> None:
    assert tuple(ATTACKS) == (*SIGNALS, "combined_retained", "combined_forget")
