from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from unlearning.audit.signals import SIGNALS, SignalConfig, mean_pairwise_cosine, measure, measure_each, measure_signals
from unlearning.core.seeding import generator
from unlearning.data.records import Records, as_pixels, concatenate
from unlearning.learning.input_gradients import losses_and_norms
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.paradigms.simclr import SimCLR
from unlearning.learning.paradigms.supervised import Supervised

Array = npt.NDArray[np.float64]
BuildModel = Callable[..., Model]
MakeRecords = Callable[..., Records]


def cosine(a: Array, b: Array) -> float:
    length = math.sqrt(a @ a) * math.sqrt(b @ b)
    return float(a @ b / length) if length else 0.0


def slow_mean_pairwise_cosine(outputs: Array) -> list[float]:
    views, count, _ = outputs.shape
    pairs = [(i, j) for i in range(views) for j in range(i)]
    return [sum(cosine(outputs[i, row], outputs[j, row]) for i, j in pairs) / len(pairs) for row in range(count)]


@pytest.mark.parametrize("views", [2, 3, 8])
def test_the_mean_pairwise_cosine_is_that_of_explicit_loops(views: int) -> None:
    outputs = torch.randn(views, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    outputs[1, 2] = 0
    expected = slow_mean_pairwise_cosine(outputs.numpy())
    np.testing.assert_allclose(mean_pairwise_cosine(outputs).numpy(), expected, atol=1e-12)


def test_the_mean_pairwise_cosine_has_its_closed_forms() -> None:
    same = torch.tensor([3.0, 4.0]).expand(5, 1, 2)
    orthogonal = torch.eye(5)[:, None]
    opposite = torch.tensor([1.0, -2.0])[:, None, None]
    dead = torch.zeros(5, 1, 3)
    found = [mean_pairwise_cosine(outputs).item() for outputs in (same, orthogonal, opposite, dead)]
    np.testing.assert_allclose(found, [1, 0, -1, 0], atol=1e-6)


def test_neither_order_nor_length_of_views_matters_to_the_mean_pairwise_cosine() -> None:
    outputs = torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([0.1, 1.0, 10.0, 100.0])[:, None, None]
    torch.testing.assert_close(mean_pairwise_cosine(outputs.flip(0) * lengths), mean_pairwise_cosine(outputs))


def auc(members: Array, non_members: Array) -> float:
    """How often a member's value is above a non-member's."""
    return float(np.mean([value > other for value in members for other in non_members]))


MEMORISED = {
    "simclr": {"view_similarity": 0.8, "encoder_similarity": 0.53, "loss": 0.8, "gradient_norm": 0.8},
    "supervised": {"view_similarity": 0.6, "loss": 0.75, "gradient_norm": 0.75},
}


@pytest.mark.parametrize("name", MEMORISED)
def test_members_of_an_overfitted_model_have_larger_signals_than_non_members(
    memorised: Callable[[str, int], Any], name: str
) -> None:
    found: dict[str, list[float]] = {signal: [] for signal in SIGNALS}
    for seed in range(4):
        toy = memorised(name, seed)
        records, count = concatenate(toy.members, toy.strangers), len(toy.members)
        config = SignalConfig(queries=4, batch_size=96)
        for signal, values in measure_signals(toy.model, toy.paradigm, records, config, seed=seed).items():
            found[signal].append(auc(values[:count], values[count:]))
    for signal, least in MEMORISED[name].items():
        assert np.mean(found[signal]) > least, (signal, found[signal])
        assert min(found[signal]) > 0.5, (signal, found[signal])


def test_an_untrained_model_tells_nobody_apart(simclr: SimCLR, build_model: BuildModel, noise: MakeRecords) -> None:
    """The mean of 8 areas under the curve of 40 against 40: standard error about 0.023."""
    found: dict[str, list[float]] = {signal: [] for signal in SIGNALS}
    for seed in range(8):
        config = SignalConfig(queries=2, batch_size=80)
        measured = measure_signals(build_model(simclr, seed).eval(), simclr, noise(80, seed), config, seed=seed)
        for signal, values in measured.items():
            found[signal].append(auc(values[:40], values[40:]))
    for signal, areas in found.items():
        assert abs(np.mean(areas) - 0.5) < 0.09, (signal, areas)


def test_the_same_seed_gives_the_same_values_and_another_does_not(
    simclr: SimCLR, build_model: BuildModel, noise: MakeRecords
) -> None:
    model, records, config = build_model(simclr).eval(), noise(20), SignalConfig(queries=2, batch_size=8)
    first, again, other = (measure_signals(model, simclr, records, config, seed=seed) for seed in (1, 1, 2))
    for signal in SIGNALS:
        np.testing.assert_array_equal(first[signal], again[signal])
        assert not np.allclose(first[signal], other[signal])


def test_models_measured_together_show_what_each_shows_alone(
    every_paradigm: Mapping[str, Paradigm], build_model: BuildModel, noise: MakeRecords
) -> None:
    records, config = noise(21), SignalConfig(queries=3, batch_size=8)
    for paradigm in every_paradigm.values():
        models = [build_model(paradigm, seed).eval() for seed in range(3)]
        together = measure_each(models, paradigm, records, config, seed=4)
        for model, found in zip(models, together, strict=True):
            alone = measure(model, paradigm, records, config, seed=4)
            np.testing.assert_array_equal(found.losses, alone.losses)
            for one, other in ((found.signals, alone.signals), (found.encoder, alone.encoder)):
                assert one.keys() == other.keys()
                assert all(np.array_equal(one[name], other[name]) for name in one)
        assert not np.allclose(together[0].losses, together[1].losses)


def test_there_is_one_finite_value_per_record_and_signal(
    simclr: SimCLR, build_model: BuildModel, noise: MakeRecords
) -> None:
    for queries in (1, 3):
        measured = measure_signals(
            build_model(simclr).eval(), simclr, noise(21), SignalConfig(queries=queries, batch_size=8), seed=0
        )
        assert tuple(measured) == SIGNALS
        assert all(values.shape == (21,) and np.isfinite(values).all() for values in measured.values())
        assert all(np.abs(measured[name]).max() <= 1 + 1e-5 for name in ("view_similarity", "encoder_similarity"))


@pytest.mark.parametrize(("queries", "differentiated"), [(3, 2), (1, 4), (4, 1)])
def test_all_signals_are_of_the_views_that_the_loss_looks_at(
    every_paradigm: Mapping[str, Paradigm],
    build_model: BuildModel,
    noise: MakeRecords,
    queries: int,
    differentiated: int,
) -> None:
    """One batch, set of views by set of views, each number computed apart from the others."""
    records, config = noise(9), SignalConfig(queries=queries, gradient_queries=differentiated, batch_size=16)
    for paradigm in every_paradigm.values():
        model = build_model(paradigm).eval()
        found = measure(model, paradigm, records, config, seed=5)
        draw = generator(5, "signals", torch.device("cpu"))
        batch = records[torch.randperm(9, generator=draw)]
        order = torch.randperm(9, generator=generator(5, "signals", torch.device("cpu"))).numpy()
        losses, norms, features = [], [], []
        for _ in range(max(queries, 2)):
            views = paradigm.views(batch.images, draw)
            value, norm = losses_and_norms(model, paradigm, views, batch.labels)
            losses.append(value.detach().double().numpy())
            norms.append(norm.log().detach().double().numpy())
            seen = views[:1] if paradigm.name == "moco" else views  # the others go through the momentum encoder
            features += [model.features(each).detach() for each in seen]
        representation = torch.stack(features)
        outputs = torch.stack([model.head(each).detach() for each in features])
        expected = {
            "loss": -np.mean(losses[:queries], axis=0),
            "gradient_norm": -np.mean(norms[: min(differentiated, max(queries, 2))], axis=0),
            "view_similarity": mean_pairwise_cosine(outputs).double().numpy(),
            "encoder_similarity": mean_pairwise_cosine(representation).double().numpy(),
        }
        for name, values in expected.items():
            np.testing.assert_allclose(found.signals[name][order], values, rtol=1e-4, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(found.losses[order].T, losses[:queries], rtol=1e-4, atol=1e-5)
        spread = ((representation - representation.mean(dim=0)) ** 2).sum(dim=2).mean(dim=0).clamp_min(1e-12).log()
        np.testing.assert_allclose(found.encoder["spread"][order], spread.numpy(), rtol=1e-3, atol=1e-3)


def test_every_set_of_views_passes_once_through_the_model(
    simclr: SimCLR, build_model: BuildModel, noise: MakeRecords
) -> None:
    model, passes = build_model(simclr).eval(), []
    model.backbone.register_forward_hook(lambda _, given, made: passes.append(made.requires_grad))
    measure(model, simclr, noise(9), SignalConfig(queries=5, gradient_queries=2, batch_size=16), seed=0)
    assert passes == [True, True, False, False, False]
    assert not model.head._forward_hooks


@pytest.mark.parametrize("batch_size", [4, 5, 64])
def test_every_value_belongs_to_its_record(
    supervised: Supervised, build_model: BuildModel, noise: MakeRecords, batch_size: int
) -> None:
    """Without augmentation a supervised model's signals have slow references, record by record."""
    model, records = build_model(supervised).eval(), noise(11)
    measured = measure_signals(model, supervised, records, SignalConfig(queries=3, batch_size=batch_size), seed=7)
    for row in range(11):
        pixels = as_pixels(records.images[row : row + 1]).requires_grad_()
        loss = -model(pixels).log_softmax(dim=1)[0, int(records.labels[row])]
        (gradient,) = torch.autograd.grad(loss, pixels)
        assert measured["loss"][row] == pytest.approx(-loss.item(), rel=1e-4)
        assert measured["gradient_norm"][row] == pytest.approx(-math.log(gradient.norm().item()), rel=1e-4, abs=1e-5)
    np.testing.assert_allclose(measured["view_similarity"], 1, atol=1e-5)
    np.testing.assert_allclose(measured["encoder_similarity"], 1, atol=1e-5)


def test_measuring_leaves_the_model_and_the_global_generator_alone(
    simclr: SimCLR, build_model: BuildModel, noise: MakeRecords
) -> None:
    model, random_state = build_model(simclr).eval(), torch.get_rng_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure_signals(model, simclr, noise(9), SignalConfig(queries=2), seed=0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("wrong", [{"queries": 0}, {"batch_size": 1}, {"gradient_queries": 0}])
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SignalConfig(**wrong)
