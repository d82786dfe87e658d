from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unlearning.audit.references import training as training_module
from unlearning.audit.references.training import ReferenceTraining, halves, make_references
from unlearning.audit.signals import Measured, SignalConfig, measure, measure_each
from unlearning.core.seeding import initialisation
from unlearning.data.records import Records, concatenate
from unlearning.learning.models import Model
from unlearning.learning.training import TrainingConfig, train

BuildModel = Callable[..., Model]
MakeRecords = Callable[..., Records]


@given(st.integers(2, 60), st.integers(1, 6), st.integers(0, 1000))
def test_every_record_is_outside_half_of_the_references(records: int, pairs: int, seed: int) -> None:
    trained = halves(records, 2 * pairs, seed)
    assert trained.shape == (2 * pairs, records)
    assert (trained.sum(axis=0) == pairs).all()
    assert (trained[::2].sum(axis=1) == records // 2).all()
    assert np.array_equal(trained[::2], ~trained[1::2])


def test_halves_follow_from_the_seed_and_differ_between_pairs() -> None:
    assert np.array_equal(halves(40, 8, 3), halves(40, 8, 3))
    assert not np.array_equal(halves(40, 8, 3), halves(40, 8, 4))
    assert len({mask.tobytes() for mask in halves(40, 8, 3)}) == 8


@pytest.mark.parametrize(("records", "count"), [(10, 3), (1, 4)])
def test_an_odd_count_or_a_single_record_is_refused(records: int, count: int) -> None:
    with pytest.raises(ValueError, match="an even count"):
        halves(records, count, 0)


@pytest.fixture(params=["simclr", "moco", "byol", "supervised"])
def training(request: pytest.FixtureRequest, every_paradigm: Any, build_model: BuildModel, noise: MakeRecords) -> Any:
    paradigm = every_paradigm[request.param]
    return ReferenceTraining(
        build=lambda: paradigm.build(build_model(paradigm).spec.encoder, (1, 4, 4), ("a", "b")),
        paradigm=paradigm,
        members=noise(32, 1),
        holdout=noise(10, 2),
        training=TrainingConfig(epochs=2, batch_size=8, learning_rate=0.01),
        signals=SignalConfig(queries=2, batch_size=16),
        count=4,
        seed=5,
    )


def test_a_reference_is_the_same_training_on_its_half(training: ReferenceTraining) -> None:
    (made,) = make_references(training, [2])
    with initialisation(5, "reference 2"):
        plain = training.build()
    rows = torch.from_numpy(halves(32, 4, 5)[2].nonzero()[0])
    train(plain, training.paradigm, training.members[rows], training.training, seed=5, purpose="reference 2")
    for name, value in plain.state_dict().items():
        assert torch.equal(made.model.state_dict()[name], value), name
    shown = measure(plain, training.paradigm, concatenate(training.members, training.holdout), training.signals, seed=5)
    assert np.array_equal(made.measured.losses, shown.losses)


def test_any_division_of_the_work_gives_the_same_models(training: ReferenceTraining) -> None:
    together = make_references(training, [0, 1, 2, 3])
    apart = [made for number in (3, 0, 2, 1) for made in make_references(training, [number])]
    for first, second in zip(together, sorted(apart, key=lambda made: made.number), strict=True):
        assert first.number == second.number
        for name, value in first.model.state_dict().items():
            assert torch.equal(value, second.model.state_dict()[name]), name


def test_side_by_side_or_one_after_another(training: ReferenceTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = make_references(training, [0, 1, 2, 3])
    threads = torch.get_num_threads()
    monkeypatch.setattr("torch.get_num_threads", lambda: 4)
    beside = make_references(training, [0, 1, 2, 3])
    torch.set_num_threads(threads)  # it was told of four, and gave four back
    for first, second in zip(alone, beside, strict=True):
        for name, value in first.model.state_dict().items():
            assert torch.equal(value, second.model.state_dict()[name]), name


def test_a_few_references_are_measured_by_all_workers(
    training: ReferenceTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    together: list[int] = []

    def measured(models: Sequence[Model], *given: Any, **seed: Any) -> list[Measured]:
        together.append(len(models))
        return measure_each(models, *given, **seed)

    threads = torch.get_num_threads()
    monkeypatch.setattr("unlearning.audit.references.training.measure_each", measured)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    make_references(training, [0, 1, 2, 3])
    torch.set_num_threads(threads)
    assert together == [2, 2]


def test_what_a_model_was_trained_on_before_does_not_matter(training: ReferenceTraining) -> None:
    torch.manual_seed(1)
    (first,) = make_references(training, [1])
    torch.manual_seed(2)
    (second,) = make_references(replace(training), [1])
    assert np.array_equal(first.measured.losses, second.measured.losses)


def test_a_gpu_is_given_one_reference_at_a_time_and_every_core_one_of_its_own() -> None:
    with training_module._side_by_side(torch.device("cuda")) as (pool, workers):
        assert workers == pool._max_workers == 1
    before = torch.get_num_threads()
    with training_module._side_by_side(torch.device("cpu")) as (pool, workers):
        assert workers == pool._max_workers == min(before, os.cpu_count() or 1)
        assert torch.get_num_threads() == pool.submit(torch.get_num_threads).result() == 1
    assert torch.get_num_threads() == before
