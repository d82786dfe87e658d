from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from unlearning.audit import inspection
from unlearning.audit.inspection import measure_models, observe, trace_training
from unlearning.audit.inspection_results import GROUPS, Epoch, ModelEvidence, Sample
from unlearning.audit.signals import SignalConfig
from unlearning.data.augmentations import AugmentationConfig
from unlearning.data.records import Records, as_pixels
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.paradigms.simclr import SimCLR, SimCLRConfig
from unlearning.learning.paradigms.supervised import Supervised, SupervisedConfig
from unlearning.learning.training import OptimisationConfig, train

BuildModel = Callable[..., Model]
MakeRecords = Callable[..., Records]
Array = npt.NDArray[np.float64]
PLAIN = AugmentationConfig(crop_min_scale=1, flip=0, brightness=0, contrast=0)
ONCE = SignalConfig(queries=1, batch_size=64)
TEMPERATURE = 0.5


def plain(name: str) -> Paradigm:
    """Without augmentation: the views of an image are the image, so nothing measured is random."""
    if name == "supervised":
        return Supervised(SupervisedConfig(augmentation=PLAIN))
    return SimCLR(SimCLRConfig(temperature=TEMPERATURE, projector_hidden=(8,), projection=6, augmentation=PLAIN))


def uneven(model: Model) -> Model:
    """Batch-norm statistics of data, so that evaluation differs from nothing done."""
    model.train()(torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(5)))
    return model.eval()


def slow_supervised(model: Model, pixels: Tensor, labels: Tensor, record: int) -> Tensor:
    scores: Tensor = model(pixels)[record]
    return torch.logsumexp(scores, 0) - scores[labels[record]]


def slow_simclr(model: Model, pixels: Tensor, labels: Tensor, record: int) -> Tensor:
    """NT-Xent of one record by its definition, when both of its views and of everybody else's are the image."""
    outputs: list[Tensor] = [model(pixels[row : row + 1])[0] for row in range(len(pixels))]
    units = [output / output.norm() for output in outputs]
    others = [unit.detach() for row, unit in enumerate(units) if row != record for _ in range(2)]
    own = units[record] @ units[record]
    total = torch.stack([(units[record] @ other / TEMPERATURE).exp() for other in (units[record], *others)]).sum()
    loss: Tensor = total.log() - own / TEMPERATURE
    return loss


SLOW: dict[str, Callable[[Model, Tensor, Tensor, int], Tensor]] = {
    "supervised": slow_supervised, "simclr": slow_simclr,
}  # fmt: skip


def three(noise: MakeRecords, sizes: tuple[int, int, int] = (3, 5, 4)) -> dict[str, Records]:
    return {group: noise(size, seed=place) for place, (group, size) in enumerate(zip(GROUPS, sizes, strict=True))}


@pytest.mark.parametrize("name", SLOW)
def test_gradients_and_losses_are_those_of_autograd_record_by_record(
    noise: MakeRecords, build_model: BuildModel, name: str
) -> None:
    paradigm, groups = plain(name), three(noise)
    model = uneven(build_model(paradigm))
    found = measure_models({"original": model}, paradigm, **groups, config=ONCE, seed=3)["original"]
    images, labels = (torch.cat([getattr(group, field) for group in groups.values()]) for field in ("images", "labels"))
    expected_losses, expected_logs = [], []
    for record in range(len(images)):
        pixels = as_pixels(images).clone().requires_grad_()
        loss = SLOW[name](model, pixels, labels, record)
        (gradient,) = torch.autograd.grad(loss, pixels)
        # Of a contrastive loss, each of the record's two views carries half of the image's gradient.
        views = 2 if name == "simclr" else 1
        expected_losses.append(loss.item())
        expected_logs.append(math.log(gradient[record].norm().item() / math.sqrt(views)))
    joined = {key: flat(getattr(found, key)) for key in ("losses", "log_gradients")}
    np.testing.assert_allclose(joined["losses"], expected_losses, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(joined["log_gradients"], expected_logs, rtol=1e-3, atol=2e-3)


def flat(samples: dict[str, Sample]) -> list[float]:
    return [value for group in GROUPS for value in samples[group].values]


def test_every_group_is_measured_up_to_the_limit_and_the_first_records_of_it(
    noise: MakeRecords, build_model: BuildModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "SHOWN", 6)
    monkeypatch.setattr(inspection, "POINTS", 4)
    monkeypatch.setattr(inspection, "GALLERY", 6)
    paradigm = plain("supervised")
    models = {"original": uneven(build_model(paradigm)), "unlearned": uneven(build_model(paradigm, seed=1))}
    groups = three(noise, (3, 20, 5))
    found = measure_models(models, paradigm, **groups, config=ONCE, seed=3)
    assert list(found) == ["original", "unlearned"]
    for measured in found.values():
        for samples in (measured.losses, measured.log_gradients):
            assert [len(samples[group].values) for group in GROUPS] == [3, 6, 5]
        assert [len(measured.embedding[group]) for group in GROUPS] == [3, 4, 4]
    groups["retained"] = groups["retained"][:6]
    assert measure_models(models, paradigm, **groups, config=ONCE, seed=3) == found


def spread(points: Array) -> Array:
    """All distances between two points."""
    found: Array = np.linalg.norm(points[:, None] - points[None], axis=2)
    return found


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [0.3, 2.0, 3.1])
def test_turning_and_mirroring_a_map_is_undone(angle: float, mirrored: bool) -> None:
    points = np.random.default_rng(0).normal(size=(30, 2)) * [2.0, 0.7]
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turn = turn @ np.diag([1.0, -1.0 if mirrored else 1.0])
    np.testing.assert_allclose(inspection._aligned(points @ turn, points), points, atol=1e-12)


def test_aligning_keeps_distances_and_no_other_turn_comes_nearer() -> None:
    draw = np.random.default_rng(1)
    points, onto = draw.normal(size=(25, 2)), draw.normal(size=(25, 2))
    found = inspection._aligned(points, onto)
    np.testing.assert_allclose(spread(found), spread(points), atol=1e-12)
    least = np.linalg.norm(found - onto)
    for angle in np.linspace(0, 2 * math.pi, 200):
        for sign in (1.0, -1.0):
            turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            assert np.linalg.norm(points @ turn @ np.diag([1.0, sign]) - onto) >= least - 1e-9


def points_of(measured: ModelEvidence) -> Array:
    return np.array([point for group in GROUPS for point in measured.embedding[group]])


def test_the_same_encoder_has_the_same_map_and_distances_are_those_of_its_features(
    noise: MakeRecords, build_model: BuildModel
) -> None:
    """Features of two dimensions lose nothing on the map but their scale, which is set to 1."""
    paradigm = plain("supervised")
    model = uneven(build_model(paradigm, hidden=(2,)))
    mirrored = model.clone()
    groups = three(noise, (10, 12, 9))
    found = measure_models({"original": model, "same": mirrored}, paradigm, **groups, config=ONCE, seed=0)
    np.testing.assert_allclose(points_of(found["same"]), points_of(found["original"]), atol=2e-4)
    images = torch.cat([group.images for group in groups.values()])
    with torch.no_grad():
        true = model.features(as_pixels(images)).double().numpy()
    true = true - true.mean(axis=0)
    true = true / np.sqrt((true**2).sum(axis=1).mean())
    np.testing.assert_allclose(spread(points_of(found["original"])), spread(true), atol=1e-3)


def test_a_collapsed_encoder_is_one_point(noise: MakeRecords, build_model: BuildModel) -> None:
    paradigm = plain("supervised")
    model = build_model(paradigm).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    found = measure_models({"original": model}, paradigm, **three(noise), config=ONCE, seed=0)["original"]
    assert np.array_equal(points_of(found), np.zeros((12, 2)))


def test_the_probability_is_the_softmax_of_the_true_class(noise: MakeRecords, build_model: BuildModel) -> None:
    paradigm = plain("supervised")
    model = uneven(build_model(paradigm))
    members, non_members = noise(5, seed=1), noise(7, seed=2)
    found = observe(model, paradigm, members, non_members, epoch=4, seed=0)
    assert found.epoch == 4
    for side, records in (("members", members), ("non_members", non_members)):
        with torch.no_grad():
            scores = model(as_pixels(records.images)).double().numpy()
        weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        expected = weights[np.arange(len(records)), records.labels.numpy()]
        np.testing.assert_allclose(found.probability[side].values, expected, rtol=1e-3)
        np.testing.assert_allclose(found.view_similarity[side].values, 1, atol=1e-4)


def test_a_loss_that_is_no_likelihood_gives_no_probability(
    every_paradigm: dict[str, Paradigm], noise: MakeRecords, build_model: BuildModel
) -> None:
    for name, paradigm in every_paradigm.items():
        found = observe(build_model(paradigm), paradigm, noise(6), noise(6, seed=1), epoch=0, seed=0)
        assert bool(found.probability) == (name != "byol")
        assert all(0 <= value <= 1 for sample in found.probability.values() for value in sample.values)


@pytest.mark.parametrize("training", [True, False])
def test_looking_changes_neither_weights_nor_mode_nor_what_is_drawn_next(
    every_paradigm: dict[str, Paradigm], noise: MakeRecords, build_model: BuildModel, training: bool
) -> None:
    for paradigm in every_paradigm.values():
        model = build_model(paradigm).train(training)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        modes = [module.training for module in model.modules()]
        random = torch.random.get_rng_state()
        observe(model, paradigm, noise(6), noise(6, seed=1), epoch=0, seed=0)
        assert torch.equal(torch.random.get_rng_state(), random)
        assert [module.training for module in model.modules()] == modes
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["simclr", "moco", "byol", "supervised"])
def test_a_watched_training_gives_the_weights_of_an_unwatched_one(
    every_paradigm: dict[str, Paradigm], noise: MakeRecords, build_model: BuildModel, name: str
) -> None:
    paradigm, members, non_members = every_paradigm[name], noise(30), noise(30, seed=1)
    config = OptimisationConfig(epochs=5, batch_size=16, learning_rate=0.01)
    watched, alone = build_model(paradigm), build_model(paradigm)
    looks = trace_training(watched, paradigm, members, non_members, config, seed=4)
    train(alone, paradigm, members, config, seed=4, purpose="pretrain")
    expected = alone.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in watched.state_dict().items())
    assert looks[-1] == observe(alone, paradigm, members, non_members, epoch=5, seed=4)
    assert looks[0] == observe(build_model(paradigm), paradigm, members, non_members, epoch=0, seed=4)


@pytest.mark.parametrize(
    ("epochs", "looks", "expected"),
    [(1, 8, [0, 1]), (100, 3, [0, 1, 10, 100]), (30, 1, [0, 30]), (4, 8, [0, 1, 2, 3, 4])],
)
def test_looks_are_denser_at_the_beginning_and_include_both_ends(
    noise: MakeRecords, build_model: BuildModel, supervised: Supervised, epochs: int, looks: int, expected: list[int]
) -> None:
    config = OptimisationConfig(epochs=epochs, batch_size=8)
    found = trace_training(build_model(supervised), supervised, noise(8), noise(8), config, seed=0, looks=looks)
    assert [look.epoch for look in found] == expected


@pytest.mark.parametrize("name", ["simclr", "supervised"])
def test_members_part_from_non_members_as_a_model_overfits(
    memorised: Callable[[str, int], Any], build_model: BuildModel, name: str
) -> None:
    """Noise can only be learned by heart. Means over seeds, apart by several standard errors at the end alone."""
    gaps: dict[str, list[float]] = {"before": [], "after": []}
    for seed in range(4):
        toy = memorised(name, seed)
        fresh = build_model(toy.paradigm, seed, hidden=(64,))
        for when, model in (("before", fresh), ("after", toy.model)):
            found = observe(model, toy.paradigm, toy.members, toy.strangers, epoch=0, seed=seed).probability
            gaps[when].append(found["members"].mean - found["non_members"].mean)
    error = np.std(gaps["after"], ddof=1) / 2
    assert np.mean(gaps["after"]) > 4 * error
    assert np.mean(gaps["after"]) > 4 * abs(np.mean(gaps["before"]))


def test_evidence_that_calls_non_members_strangers_is_read() -> None:
    sides = {"members": Sample(values=(0.9,)), "non_members": Sample(values=(0.4,))}
    epoch = Epoch(epoch=3, view_similarity=sides, probability=sides)
    old = json.loads(epoch.model_dump_json().replace("non_members", "strangers"))
    assert Epoch.model_validate(old) == epoch
    old["probability"]["non_members"] = old["probability"]["strangers"]
    with pytest.raises(ValidationError, match="names the non-members twice"):
        Epoch.model_validate(old)
