from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn

from unlearning.core.errors import TrainingDivergedError, UserError
from unlearning.data.records import Records, as_pixels
from unlearning.learning.checkpoint import Checkpoint
from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS, Paradigm
from unlearning.learning.paradigms.simclr import SimCLR
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.learning.training import OptimisationConfig, batches, fit, learning_rate, train

BuildModel = Callable[..., Model]
MakeRecords = Callable[..., Records]


class Interrupted(Exception):  # noqa: N818
    """The machine is taken away in the middle of an epoch."""


class InterruptedSimCLR(SimCLR):
    """SimCLR on a machine that is taken away after so many steps."""

    steps_left = 10**9

    def after_step(self, model: Model, views: Tensor) -> None:
        self.steps_left -= 1
        if self.steps_left < 0:
            raise Interrupted


def config_of(**changes: Any) -> OptimisationConfig:
    return OptimisationConfig(**({"epochs": 4, "batch_size": 8, "learning_rate": 0.05} | changes))


def weights_of(model: nn.Module) -> Tensor:
    return torch.cat([value.double().flatten() for value in model.state_dict().values()])


def parameters_of(model: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach()


@pytest.fixture
def model(simclr: SimCLR, build_model: BuildModel) -> Model:
    return build_model(simclr)


def fit_sum_of_weights(model: Model, config: OptimisationConfig, count: int = 8, slope: float = 1.0) -> Tensor:
    """How far every weight goes when the loss falls by `slope` per unit of each."""
    before = parameters_of(model)

    def loss(rows: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        return slope * nn.utils.parameters_to_vector(model.parameters()).sum(), rows

    fit(model, loss, count, config, seed=0, purpose="sum")
    return parameters_of(model) - before


@given(step=st.integers(0, 99), steps=st.integers(100, 200), rate=st.floats(1e-5, 10))
def test_the_cosine_schedule_has_its_closed_form(step: int, steps: int, rate: float) -> None:
    cosine = learning_rate(config_of(schedule="cosine", learning_rate=rate), step, steps)
    assert cosine == pytest.approx(rate * math.cos(math.pi * step / (2 * steps)) ** 2)
    assert learning_rate(config_of(learning_rate=rate), step, steps) == rate


def test_the_cosine_schedule_falls_from_the_rate_to_almost_zero() -> None:
    config = config_of(schedule="cosine", learning_rate=0.3)
    rates = [learning_rate(config, step, 1000) for step in range(1000)]
    assert rates[0] == 0.3
    assert all(earlier > later for earlier, later in itertools.pairwise(rates))
    assert rates[500] == pytest.approx(0.15)
    assert 0 < rates[-1] < 1e-5


@pytest.mark.parametrize(("schedule", "mean"), [("constant", 1.0), ("cosine", 0.5 + 0.5 / 12)])
def test_sgd_goes_down_the_slope_by_the_rate_of_every_step(model: Model, schedule: str, mean: float) -> None:
    """4 epochs of 3 steps; the cosines of step/12 for steps 0 … 11 sum to 1, hence the mean."""
    config = config_of(optimiser="sgd", momentum=0, schedule=schedule, learning_rate=0.01)
    moved = fit_sum_of_weights(model, config, count=20)
    torch.testing.assert_close(moved, torch.full_like(moved, -0.01 * 12 * mean), atol=1e-5, rtol=0)


def test_momentum_sums_the_earlier_steps(model: Model) -> None:
    moved = fit_sum_of_weights(model, config_of(optimiser="sgd", momentum=0.5, learning_rate=0.01, epochs=3))
    torch.testing.assert_close(moved, torch.full_like(moved, -0.01 * (1 + 1.5 + 1.75)), atol=1e-6, rtol=0)


def test_adam_goes_by_the_rate_whatever_the_slope(model: Model) -> None:
    moved = fit_sum_of_weights(model, config_of(optimiser="adam", learning_rate=0.01, epochs=2), slope=37)
    torch.testing.assert_close(moved, torch.full_like(moved, -0.02), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("clip", "length"), [(0.5, 0.5), (1e9, None)])
def test_a_step_is_clipped_to_the_largest_norm(model: Model, clip: float, length: float | None) -> None:
    moved = fit_sum_of_weights(
        model, config_of(optimiser="sgd", momentum=0, learning_rate=0.1, epochs=1, clip_norm=clip)
    )
    expected = length or math.sqrt(len(moved))
    assert moved.norm().item() == pytest.approx(0.1 * expected, rel=1e-4)


def test_weight_decay_shrinks_every_weight(model: Model) -> None:
    before = parameters_of(model)
    config = config_of(optimiser="sgd", momentum=0, learning_rate=0.1, weight_decay=0.2, epochs=3)
    fit_sum_of_weights(model, config, slope=0)
    torch.testing.assert_close(parameters_of(model), before * (1 - 0.1 * 0.2) ** 3)


@given(count=st.integers(1, 60), size=st.integers(2, 70), seed=st.integers(0, 99))
def test_batches_are_a_partition_into_equal_parts(count: int, size: int, seed: int) -> None:
    parts = batches(count, size, torch.Generator().manual_seed(seed))
    sizes = [len(part) for part in parts]
    assert sorted(torch.cat(parts).tolist()) == list(range(count))
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    assert len(parts) == -(-count // size)


def test_batches_come_in_another_order_every_epoch() -> None:
    draw = torch.Generator().manual_seed(0)
    assert batches(50, 10, draw)[0].tolist() != batches(50, 10, draw)[0].tolist()


def test_every_row_is_visited_once_per_epoch_and_every_step_is_followed_up(model: Model) -> None:
    visited: list[int] = []
    followed: list[int] = []
    finished: list[int] = []

    def follow(stepped: Model, views: Tensor) -> None:
        assert stepped is model
        followed.extend(views.tolist())

    def loss(rows: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        visited.extend(rows.tolist())
        return parameters_sum(model), rows

    fit(model, loss, 20, config_of(epochs=3), seed=0, purpose="spy", after_step=follow, after_epoch=finished.append)
    for epoch in range(3):
        assert sorted(visited[20 * epoch : 20 * epoch + 20]) == list(range(20))
    assert followed == visited
    assert finished == [1, 2, 3]


def parameters_sum(model: Model) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).sum()


def test_training_returns_the_same_model_in_evaluation_mode(model: Model, simclr: SimCLR, noise: MakeRecords) -> None:
    assert train(model, simclr, noise(16), config_of(epochs=1), seed=0) is model
    assert not model.training


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    simclr: SimCLR, build_model: BuildModel, noise: MakeRecords, optimiser: str
) -> None:
    def trained(seed: int) -> Tensor:
        return weights_of(train(build_model(simclr), simclr, noise(20), config_of(optimiser=optimiser), seed=seed))

    assert torch.equal(trained(1), trained(1))
    assert not torch.allclose(trained(1), trained(2))


def test_training_does_not_depend_on_the_global_generator(
    simclr: SimCLR, build_model: BuildModel, noise: MakeRecords
) -> None:
    first = weights_of(train(build_model(simclr), simclr, noise(20), config_of(), seed=1))
    torch.rand(7)
    before = torch.get_rng_state()
    assert torch.equal(weights_of(train(build_model(simclr), simclr, noise(20), config_of(), seed=1)), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_purpose_draws_other_batches(simclr: SimCLR, build_model: BuildModel, noise: MakeRecords) -> None:
    one, other = (
        weights_of(train(build_model(simclr), simclr, noise(20), config_of(), seed=1, purpose=purpose))
        for purpose in ("pretrain", "reference 1")
    )
    assert not torch.allclose(one, other)


def mean_loss(model: Model, paradigm: Paradigm, records: Records) -> float:
    views = paradigm.views(records.images, torch.Generator().manual_seed(99))
    with torch.no_grad():
        return paradigm.per_sample_loss(model.eval(), views, records.labels).mean().item()


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_learning_tells_separable_classes_apart_also_among_unseen_records(
    supervised: Supervised, build_model: BuildModel, separable: MakeRecords, optimiser: str
) -> None:
    members, non_members = separable(40, seed=0), separable(40, seed=1)
    for seed in range(3):
        model = build_model(supervised, seed)
        before = mean_loss(model, supervised, non_members)
        train(model, supervised, members, config_of(epochs=15, optimiser=optimiser), seed=seed)
        assert mean_loss(model, supervised, non_members) < 0.3 * before
        predicted = model(as_pixels(non_members.images)).argmax(dim=1)
        assert torch.equal(predicted, non_members.labels)


def test_contrastive_learning_lowers_its_loss(simclr: SimCLR, build_model: BuildModel, noise: MakeRecords) -> None:
    records, falls = noise(32), []
    for seed in range(4):
        model = build_model(simclr, seed, hidden=(32,))
        before = mean_loss(model, simclr, records)
        train(model, simclr, records, config_of(epochs=40, batch_size=32, learning_rate=0.01), seed=seed)
        falls.append(before - mean_loss(model, simclr, records))
    assert np.mean(falls) > 0.3
    assert min(falls) > 0


RESUMABLE = [
    {"optimiser": "adam"},
    {"optimiser": "adam", "weight_decay": 0.01, "schedule": "cosine"},
    {"optimiser": "sgd", "momentum": 0.9, "schedule": "cosine"},
    {"optimiser": "sgd", "momentum": 0.0},
]


@pytest.mark.parametrize("changes", RESUMABLE, ids=lambda changes: "-".join(map(str, changes.values())))
@pytest.mark.parametrize(("every", "steps"), [(1, 11), (2, 20), (1, 1)])
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(
    simclr: SimCLR,
    build_model: BuildModel,
    noise: MakeRecords,
    tmp_path: Path,
    changes: dict[str, Any],
    every: int,
    steps: int,
) -> None:
    """7 epochs of 3 steps, interrupted in epoch 4, 7 and 1; resumed from other initial weights."""
    config, records = config_of(epochs=7, **changes), noise(20)
    uninterrupted = train(build_model(simclr), simclr, records, config, seed=5)
    interrupted = InterruptedSimCLR(simclr.config)
    interrupted.steps_left = steps
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", config.model_dump(), every)
    with pytest.raises(Interrupted):
        train(build_model(simclr), interrupted, records, config, seed=5, checkpoint=checkpoint)
    assert checkpoint.path.exists() == (steps >= 3 * every)
    steps_before = interrupted.steps_left = 10**9
    fresh = build_model(simclr, 1 if checkpoint.path.exists() else 0)
    resumed = train(fresh, interrupted, records, config, seed=5, checkpoint=checkpoint)
    assert torch.equal(weights_of(resumed), weights_of(uninterrupted))
    assert steps_before - interrupted.steps_left == 21 - 3 * (steps // (3 * every) * every)


def trained_with_checkpoint(paradigm: Paradigm, model: Model, records: Records, checkpoint: Checkpoint) -> Model:
    return train(model, paradigm, records, config_of(), seed=0, checkpoint=checkpoint)


@pytest.fixture
def checkpoint(simclr: SimCLR, model: Model, noise: MakeRecords, tmp_path: Path) -> Checkpoint:
    """What a finished training leaves until its model is saved."""
    checkpoint = Checkpoint(tmp_path / "folder" / "checkpoint.safetensors", {"recipe": "a", "seed": 0}, 1)
    trained_with_checkpoint(simclr, model, noise(20), checkpoint)
    return checkpoint


def test_checkpointing_does_not_change_the_result(
    simclr: SimCLR, build_model: BuildModel, noise: MakeRecords, model: Model, checkpoint: Checkpoint
) -> None:
    assert checkpoint.path.exists()
    plain = train(build_model(simclr), simclr, noise(20), config_of(), seed=0)
    assert torch.equal(weights_of(model), weights_of(plain))


def test_a_checkpoint_is_one_file_of_tensors_of_this_epoch(checkpoint: Checkpoint) -> None:
    assert list(checkpoint.path.parent.iterdir()) == [checkpoint.path]
    kinds = {name.split(".")[0] for name in load_file(str(checkpoint.path))}
    assert kinds == {"model", "optimiser", "random"}


def test_the_last_epoch_needs_no_checkpoint(simclr: SimCLR, model: Model, noise: MakeRecords, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", "one", every=4)
    trained_with_checkpoint(simclr, model, noise(20), checkpoint)
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_is_one_of_several_is_found_done(
    simclr: SimCLR, build_model: BuildModel, noise: MakeRecords, model: Model, tmp_path: Path
) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", "one", every=100, last=True)
    trained_with_checkpoint(simclr, model, noise(20), checkpoint)
    idle = InterruptedSimCLR(simclr.config)
    idle.steps_left = 0
    found = train(build_model(simclr, 1), idle, noise(20), config_of(), seed=0, checkpoint=checkpoint)
    assert torch.equal(weights_of(found), weights_of(model))


def test_deleting_a_checkpoint_leaves_no_trace_of_the_training_data(checkpoint: Checkpoint) -> None:
    checkpoint.partial.write_bytes(b"half written")
    checkpoint.delete()
    assert not checkpoint.path.parent.exists()
    checkpoint.delete()


def test_deleting_a_checkpoint_leaves_its_neighbours(checkpoint: Checkpoint) -> None:
    checkpoint.partial.write_bytes(b"half written")
    neighbour = checkpoint.path.parent / "somebody else's"
    neighbour.touch()
    checkpoint.delete()
    assert list(checkpoint.path.parent.iterdir()) == [neighbour]


def test_a_checkpoint_of_another_training_is_refused(
    simclr: SimCLR, model: Model, noise: MakeRecords, checkpoint: Checkpoint
) -> None:
    other = Checkpoint(checkpoint.path, {"recipe": "a", "seed": 1}, 1)
    before = weights_of(model)
    with pytest.raises(UserError, match="belongs to another training"):
        trained_with_checkpoint(simclr, model, noise(20), other)
    assert torch.equal(weights_of(model), before)


def test_the_order_of_keys_does_not_make_another_training(
    simclr: SimCLR, build_model: BuildModel, noise: MakeRecords, model: Model, checkpoint: Checkpoint
) -> None:
    same = Checkpoint(checkpoint.path, {"seed": 0, "recipe": "a"}, 1)
    again = trained_with_checkpoint(simclr, build_model(simclr, 1), noise(20), same)
    assert torch.equal(weights_of(again), weights_of(model))


@pytest.mark.parametrize("kept", [0, 7, 200, -1])
def test_a_truncated_checkpoint_is_refused(
    simclr: SimCLR, model: Model, noise: MakeRecords, checkpoint: Checkpoint, kept: int
) -> None:
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"checkpoint .* is damaged .*: delete it to start this training again") as e:
        trained_with_checkpoint(simclr, model, noise(20), checkpoint)
    assert "\n" not in str(e.value)


def test_a_checkpoint_that_cannot_be_written_is_reported(
    simclr: SimCLR, model: Model, noise: MakeRecords, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    checkpoint = Checkpoint(tmp_path / "file" / "checkpoint.safetensors", "one", 1)
    with pytest.raises(UserError, match=r"cannot write checkpoint .*: choose a folder you may write to"):
        trained_with_checkpoint(simclr, model, noise(20), checkpoint)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_training_and_writes_no_checkpoint(
    model: Model, tmp_path: Path, value: float
) -> None:
    steps = iter([1.0] * 4 + [value] * 4)
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", "one", 2)

    def loss(rows: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        return parameters_sum(model) * 0 + next(steps), rows

    with pytest.raises(TrainingDivergedError, match=f"toy: the loss became {value} in epoch 2; nothing was saved"):
        fit(model, loss, 24, config_of(), seed=0, purpose="toy", checkpoint=checkpoint)
    assert list(tmp_path.iterdir()) == []


def test_a_training_with_an_absurd_rate_diverges_instead_of_returning(
    supervised: Supervised, build_model: BuildModel, noise: MakeRecords
) -> None:
    config = config_of(optimiser="sgd", learning_rate=1e30, epochs=5)
    with pytest.raises(TrainingDivergedError, match="lower the learning rate or set clip_norm"):
        train(build_model(supervised), supervised, noise(20), config, seed=0)


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"batch_size": 1}, {"optimiser": "lion"}, {"learning_rate": 0}, {"momentum": 1}, {"clip_norm": 0}],
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        config_of(**wrong)


@pytest.mark.parametrize("name", PARADIGMS)
def test_what_a_paradigm_remembers_beside_the_weights_is_resumed_too(
    name: str, every_paradigm: dict[str, Paradigm], build_model: BuildModel, noise: MakeRecords, tmp_path: Path
) -> None:
    paradigm, records = every_paradigm[name], noise(20)
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", name, every=2)
    saved = train(build_model(paradigm), paradigm, records, config_of(epochs=3), seed=0, checkpoint=checkpoint)
    resumed = train(build_model(paradigm, 1), paradigm, records, config_of(epochs=3), seed=0, checkpoint=checkpoint)
    assert torch.equal(weights_of(resumed), weights_of(saved))


def test_watching_a_training_changes_nothing(simclr: SimCLR, build_model: BuildModel, noise: MakeRecords) -> None:
    model, seen = build_model(simclr), list[Tensor]()
    train(model, simclr, noise(20), config_of(), seed=1, after_epoch=lambda epoch: seen.append(weights_of(model)))
    plain = train(build_model(simclr), simclr, noise(20), config_of(), seed=1)
    assert torch.equal(seen[-1], weights_of(plain))
    assert len(seen) == 4
