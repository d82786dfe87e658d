from __future__ import annotations

import time

import pytest

from benchmarks.conditions import report_seeds
from benchmarks.pool import in_parallel
from unlearning.core.errors import UserError

pytestmark = pytest.mark.slow


def test_a_failed_piece_is_told_after_the_others_are_done() -> None:
    """Zero seeds are bad input; the other pieces are not."""
    pieces = in_parallel(report_seeds, [3, 0, 5], jobs=1, label=lambda count: f"piece {count}")
    assert {next(pieces), next(pieces)} == {(3, range(3)), (5, range(5))}
    with pytest.raises(UserError, match="1 of 3 failed, the others are kept: piece 0: 0 seeds asked for"):
        next(pieces)


def test_a_programming_error_ends_everything_at_once() -> None:
    """A negative sleep is one; the 100 that wait behind it would take 50 seconds."""
    begun = time.monotonic()
    with pytest.raises(ValueError, match="sleep length must be non-negative"):
        list(in_parallel(time.sleep, [-1, *[0.5] * 100], jobs=1, label=str))
    assert time.monotonic() - begun < 40
