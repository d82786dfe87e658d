from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unlearning.audit.attacks.in_place import between_models, judges, shared_variances
from unlearning.audit.references.training import halves


@pytest.fixture(params=[(), (3,)], ids=["one value", "three queries"])
def given(request: Any) -> Any:
    draw = np.random.default_rng(4)
    return draw.normal(3.0, 2.0, size=(8, 15, *request.param)), halves(15, 8, 4)


def test_the_judges_are_the_others_counted_one_reference_at_a_time(given: Any) -> None:
    reference, trained = given
    found = judges(reference, trained)
    for number, record in zip(*(~trained).nonzero(), strict=True):
        others = [k for k in range(8) if k != number]
        inside = reference[[k for k in others if trained[k, record]], record]
        outside = reference[[k for k in others if not trained[k, record]], record]
        assert found.outside[number, record]
        assert found.count_in[record] == len(inside)
        assert found.count_out[record] == len(outside)
        assert np.allclose(found.mean_in[record], inside.mean(axis=0))
        assert np.allclose(found.squares_in[record], np.square(inside - inside.mean(axis=0)).sum(axis=0))
        assert np.allclose(found.mean_out[number, record], outside.mean(axis=0))
        assert np.allclose(found.squares_out[number, record], np.square(outside - outside.mean(axis=0)).sum(axis=0))


def test_variances_are_shared_by_the_records_a_reference_is_judged_over(given: Any) -> None:
    reference, trained = given
    inside, outside = shared_variances(judges(reference, trained))
    for number in range(8):
        squares: dict[bool, list[float]] = {True: [], False: []}
        for record in (~trained[number]).nonzero()[0]:
            for knows in (True, False):
                chosen = [k for k in range(8) if k != number and trained[k, record] == knows]
                values = reference[chosen, record]
                squares[knows] += np.square(values - values.mean(axis=0)).ravel().tolist()
        assert inside[number] == pytest.approx(np.mean(squares[True]))
        assert outside[number] == pytest.approx(np.mean(squares[False]))


def test_references_that_all_show_the_same_have_no_variance() -> None:
    inside, outside = shared_variances(judges(np.full((8, 6), 0.1), halves(6, 8, 0)))
    assert (inside >= 0).all()
    assert np.allclose(inside, 0)
    assert np.allclose(outside, 0)


@pytest.mark.parametrize(("wrong", "what"), [((1, 7), "trained on it"), ((6, 2), "not trained on it")])
def test_too_few_judges_are_refused(wrong: tuple[int, int], what: str) -> None:
    trained = np.repeat([[True]] * wrong[0] + [[False]] * wrong[1], 3, axis=1)
    with pytest.raises(ValueError, match=f"3 records have fewer than 2 references {what}"):
        judges(np.zeros((8, 3)), trained)


def test_two_on_either_side_are_enough() -> None:
    trained = np.repeat([[True]] * 2 + [[False]] * 3, 3, axis=1)
    assert judges(np.zeros((5, 3)), trained).count_out.tolist() == [2, 2, 2]


def test_models_differ_by_what_their_records_do_not_explain() -> None:
    means, errors = np.array([0.0, 1.0, 2.0]), np.array([0.5, 0.5, 0.5])
    assert between_models(means, errors) == pytest.approx(np.sqrt(1 - 0.25))
    assert between_models(means, errors * 4) == 0
    assert between_models(means[:1], errors[:1]) == 0
