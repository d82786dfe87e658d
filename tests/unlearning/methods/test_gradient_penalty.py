from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unlearning.errors import UserError
from unlearning.input_gradients import input_gradient_norms
from unlearning.methods import gradient_penalty
from unlearning.methods.gradient_penalty import GradientPenaltyConfig, distance, feature_drift, stage_1, stage_2
from unlearning.models import Model
from unlearning.paradigms import Paradigm
from unlearning.paradigms.supervised import Supervised
from unlearning.records import Records, concatenate
from unlearning.training import OptimisationConfig

SEEDS = range(4)
MATCHES = ("mean", "quantiles")


def config_of(match: str = "mean", **changes: Any) -> GradientPenaltyConfig:
    optimisation = OptimisationConfig(epochs=30, batch_size=32, learning_rate=0.003)
    return GradientPenaltyConfig(**({"optimisation": optimisation, "match": match, "forget_batch": 16} | changes))


def values(count: int, seed: int) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


def quantile(ordered: list[float], level: float) -> float:
    """Linear interpolation between neighbours, where the k-th of K values stands at (k + ½) / K."""
    place = min(max(level * len(ordered) - 0.5, 0.0), len(ordered) - 1.0)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def test_the_distance_of_means_is_their_squared_difference() -> None:
    for seed in SEEDS:
        forget, target = values(7, seed), values(11, seed + 100)
        expected = (sum(forget.tolist()) / 7 - sum(target.tolist()) / 11) ** 2
        assert distance(forget, target, "mean").item() == pytest.approx(expected, rel=1e-4)


def test_the_distance_of_quantiles_compares_the_sorted_values_one_by_one() -> None:
    for seed in SEEDS:
        forget, target = values(7, seed), values(11, seed + 100)
        ordered = sorted(target.tolist())
        differences = [
            value - quantile(ordered, (rank + 0.5) / 7) for rank, value in enumerate(sorted(forget.tolist()))
        ]
        expected = sum(difference**2 for difference in differences) / 7
        assert distance(forget, target, "quantiles").item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("match", MATCHES)
@pytest.mark.parametrize("count", [1, 2, 7, 64, 100])
def test_identical_samples_are_exactly_0_apart(count: int, match: str, dtype: torch.dtype) -> None:
    sample = values(count, 0).to(dtype)
    result = distance(sample, sample.clone(), match)
    assert result.dtype == dtype
    assert result.item() == 0


def test_stored_quantiles_are_read_at_the_levels_they_were_measured_at() -> None:
    """The quantile function is level itself, so any number of stored levels gives the same one."""
    stored = (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    for count in (16, 64):
        forget = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        assert distance(forget, stored, "quantiles").item() == pytest.approx(0, abs=1e-30)


@pytest.mark.parametrize("match", MATCHES)
def test_the_distance_to_one_number_has_a_closed_form(match: str) -> None:
    forget = torch.tensor([1.0, 3.0, 5.0])
    expected = {"mean": 4.0, "quantiles": 4 + 8 / 3}[match]
    assert distance(forget, torch.tensor([1.0]), match).item() == pytest.approx(expected)


@pytest.mark.parametrize("match", MATCHES)
def test_the_distance_knows_no_order_and_no_common_offset(match: str) -> None:
    forget, target = values(7, 0), values(11, 1)
    expected = distance(forget, target, match)
    torch.testing.assert_close(distance(forget.flip(0), target.flip(0), match), expected)
    torch.testing.assert_close(distance(forget + 5, target + 5, match), expected, rtol=1e-4, atol=1e-5)


def test_only_quantiles_notice_another_spread() -> None:
    forget, target = torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([-9.0, 0.0, 9.0])
    assert distance(forget, target, "mean") == 0
    assert distance(forget, target, "quantiles") > 10


def mean_log_norms(model: Model, paradigm: Paradigm, *groups: Records) -> list[float]:
    """Each group's mean log g, all in one batch, over four draws of views."""
    records, draw = concatenate(*groups), torch.Generator().manual_seed(123)
    measured = torch.stack(
        [
            input_gradient_norms(model, paradigm, paradigm.views(records.images, draw), records.labels).log()
            for _ in range(4)
        ]
    ).mean(dim=0)
    ends = np.cumsum([0, *(len(group) for group in groups)]).tolist()
    return [measured[begin:end].mean().item() for begin, end in itertools.pairwise(ends)]


def parts_of(toy: Any) -> tuple[Records, Records, Records, Records]:
    """16 members to forget, 32 to retain, 24 strangers to calibrate with and 24 held out."""
    return toy.members[:16], toy.members[16:], toy.strangers[:24], toy.strangers[24:]


def buffers_of(model: Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.named_buffers()}


@pytest.mark.parametrize("match", MATCHES)
@pytest.mark.parametrize("name", ["simclr", "supervised"])
def test_stage_1_lifts_forgotten_gradients_to_those_of_strangers(
    memorised: Callable[[str, int], Any], name: str, match: str
) -> None:
    before, after, retained = [], [], []
    for seed in SEEDS:
        toy = memorised(name, seed)
        forget, retain, calibration, holdout = parts_of(toy)
        model, groups = toy.model.clone(), (forget, holdout, retain)
        forgotten, strange, _ = mean_log_norms(model, toy.paradigm, *groups)
        before.append(strange - forgotten)
        stage_1(
            model, toy.paradigm, retain=retain, forget=forget, calibration=calibration, config=config_of(match),
            seed=seed,
        )  # fmt: skip
        forgotten, strange, kept = mean_log_norms(model, toy.paradigm, *groups)
        after.append(abs(strange - forgotten))
        retained.append(strange - kept)
    assert min(before) > 0.5
    assert np.mean(after) < 0.4 * np.mean(before)
    assert all(late < early for early, late in zip(before, after, strict=True))
    assert np.mean(retained) > 2 * np.mean(after)


@pytest.mark.parametrize("match", MATCHES)
@pytest.mark.parametrize("name", ["simclr", "supervised"])
def test_stage_2_lifts_forgotten_gradients_to_the_stored_target(
    memorised: Callable[[str, int], Any], name: str, match: str
) -> None:
    before, after = [], []
    for seed in SEEDS:
        toy = memorised(name, seed)
        forget, retain, _, holdout = parts_of(toy)
        model = toy.model.clone()
        forgotten, target = mean_log_norms(model, toy.paradigm, forget, holdout)
        before.append(target - forgotten)
        model.spec = model.spec.model_copy(update={"gradient_target": (target,)})
        stage_2(model, toy.paradigm, retain=retain, forget=forget, config=config_of(match), seed=seed)
        forgotten, _ = mean_log_norms(model, toy.paradigm, forget, holdout)
        after.append(abs(target - forgotten))
    assert min(before) > 0.5
    assert np.mean(after) < 0.4 * np.mean(before)
    assert all(late < early for early, late in zip(before, after, strict=True))


@pytest.mark.parametrize("name", ["simclr", "supervised"])
@pytest.mark.parametrize("stage", [1, 2])
def test_batch_norm_statistics_stay_frozen(memorised: Callable[[str, int], Any], name: str, stage: int) -> None:
    toy = memorised(name, 0)
    forget, retain, calibration, _ = parts_of(toy)
    model = toy.model.clone().train()
    model.spec = model.spec.model_copy(update={"gradient_target": (0.5,)})
    before, weights = buffers_of(model), torch.nn.utils.parameters_to_vector(model.parameters()).clone()
    shown: dict[str, Any] = {"retain": retain, "forget": forget, "config": config_of(), "seed": 0}
    result = (
        stage_1(model, toy.paradigm, calibration=calibration, **shown)
        if stage == 1
        else stage_2(model, toy.paradigm, **shown)
    )
    assert result is model
    assert not result.training
    assert before
    assert all(torch.equal(value, before[key]) for key, value in result.named_buffers())
    assert not torch.equal(torch.nn.utils.parameters_to_vector(result.parameters()), weights)


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize(("share", "expected"), [(1.0, 10), (0.4, 4), (0.01, 1)])
def test_only_the_first_steps_carry_the_penalty(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records],
    monkeypatch: pytest.MonkeyPatch, stage: int, share: float, expected: int,
) -> None:  # fmt: skip
    """Five epochs of two steps: with and without the penalty, in this order."""
    calls: list[Tensor] = []

    def counted(*arguments: Any, **options: Any) -> Tensor:
        calls.append(input_gradient_norms(*arguments, **options))
        return calls[-1]

    monkeypatch.setattr(gradient_penalty, "input_gradient_norms", counted)
    model = build_model(supervised)
    model.spec = model.spec.model_copy(update={"gradient_target": (0.5,)})
    optimisation = OptimisationConfig(epochs=5, batch_size=8)
    shown: dict[str, Any] = {
        "retain": noise(16), "forget": noise(4, 1), "seed": 0,
        "config": config_of(optimisation=optimisation, penalised=share),
    }  # fmt: skip
    if stage == 1:
        stage_1(model, supervised, calibration=noise(4, 2), **shown)
    else:
        stage_2(model, supervised, **shown)
    assert len(calls) == expected


def test_stage_2_cannot_be_shown_a_non_member() -> None:
    assert "calibration" in inspect.signature(stage_1).parameters
    assert list(inspect.signature(stage_2).parameters) == ["model", "paradigm", "retain", "forget", "config", "seed"]


def test_stage_2_without_a_stored_target_says_what_to_do(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    model = build_model(supervised)
    with pytest.raises(UserError, match="stage 2 needs the gradient target that pretraining stores"):
        stage_2(model, supervised, retain=noise(8), forget=noise(4, 1), config=config_of(), seed=0)


def test_small_forget_and_calibration_sets_are_enough(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    for match in MATCHES:
        model = stage_1(
            build_model(supervised), supervised, retain=noise(8), forget=noise(3, 1), calibration=noise(2, 2),
            config=config_of(match, forget_batch=100), seed=0,
        )  # fmt: skip
        assert torch.isfinite(torch.nn.utils.parameters_to_vector(model.parameters())).all()


@pytest.mark.parametrize(
    "wrong",
    [{"penalty": 0}, {"match": "median"}, {"forget_batch": 1}, {"penalised": 0}, {"penalised": 1.1}, {"lambda": 1}],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        config_of(**wrong)


def test_features_that_did_not_move_have_no_drift(simclr: Paradigm, build_model: Callable[..., Model]) -> None:
    model = build_model(simclr).eval()
    assert feature_drift(model, model.clone(), torch.rand(2, 5, 1, 4, 4)).item() == 0


def test_the_drift_is_the_mean_relative_squared_distance(simclr: Paradigm, build_model: Callable[..., Model]) -> None:
    model, original = build_model(simclr, 1).eval(), build_model(simclr, 2).eval()
    views = torch.rand(2, 5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    ratios = []
    for pixels in views.flatten(0, 1):
        now = model.features(pixels[None])[0].detach().double().numpy()
        before = original.features(pixels[None])[0].detach().double().numpy()
        ratios.append(np.sum((now - before) ** 2) / np.sum(before**2))
    drift = feature_drift(model, original, views)
    assert drift.item() == pytest.approx(np.mean(ratios), rel=1e-4)
    drift.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in original.parameters())


def test_distillation_keeps_features_closer_to_where_they_were(memorised: Callable[[str, int], Any]) -> None:
    kept: list[float] = []
    free: list[float] = []
    for seed in SEEDS:
        toy = memorised("simclr", seed)
        forget, retain, calibration, _ = parts_of(toy)
        views = toy.paradigm.views(retain.images, torch.Generator().manual_seed(seed))
        for weight, found in ((5.0, kept), (0.0, free)):
            model = stage_1(
                toy.model.clone(), toy.paradigm, retain=retain, forget=forget, calibration=calibration,
                config=config_of(distillation=weight), seed=seed,
            )  # fmt: skip
            found.append(feature_drift(model, toy.model, views).item())
    assert np.mean(kept) < np.mean(free) / 2
