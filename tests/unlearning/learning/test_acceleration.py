"""How acceleration works, on the CPU: it is asked for there with `devices: [cpu]`. Speed is not tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unlearning.core.seeding import initialisation
from unlearning.data.records import Records
from unlearning.learning.acceleration import Acceleration, AccelerationConfig
from unlearning.learning.checkpoint import Checkpoint
from unlearning.learning.encoders import SmallResNetConfig
from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS, Paradigm
from unlearning.learning.training import OptimisationConfig, TrainingConfig, train

MakeRecords = Callable[..., Records]
CPU = torch.device("cpu")
SHAPE = (3, 8, 8)
EVERYTHING: dict[str, Any] = {"bf16": True, "channels_last": True, "compile": True, "backend": "eager"}


def asked(**settings: Any) -> AccelerationConfig:
    return AccelerationConfig(devices=("cpu",), **settings)


def training(epochs: int = 2, optimiser: str = "sgd", **settings: Any) -> TrainingConfig:
    acceleration = asked(**settings) if settings else AccelerationConfig()
    return TrainingConfig.model_validate(
        {
            "epochs": epochs,
            "batch_size": 8,
            "optimiser": optimiser,
            "learning_rate": 0.01,
            "acceleration": acceleration.model_dump(),
        }
    )


def convolutional(paradigm: Paradigm, seed: int = 0) -> Model:
    with initialisation(seed, "test"):
        return paradigm.build(SmallResNetConfig(width=4), SHAPE, ("a", "b"))


def weights_of(model: nn.Module) -> Tensor:
    return torch.cat([value.double().flatten() for value in model.state_dict().values()])


def losses(model: Model, paradigm: Paradigm, records: Records, config: AccelerationConfig) -> tuple[Tensor, Tensor]:
    """The loss of each record, and the gradient of their mean with respect to all weights."""
    model.zero_grad()
    acceleration = Acceleration(config, CPU)
    views = paradigm.views(records.images, torch.Generator().manual_seed(3))
    with acceleration.layout(model):
        found = acceleration.loss(paradigm.per_sample_loss)(model, acceleration.views(views), records.labels)
        found.mean().backward()  # type: ignore[no-untyped-call]
    gradients = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
    return found.detach(), torch.cat(gradients)


# "free(): invalid next size" in the backward pass, on some processors: this setting is for GPUs.
NO_CHANNELS_LAST = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="torch 2.14.1 may corrupt memory in channels-last convolutions on a CPU"
)


@pytest.fixture
def images(noise: MakeRecords) -> Records:
    return noise(24, shape=SHAPE)


@pytest.mark.parametrize("name", PARADIGMS)
@pytest.mark.parametrize("setting", [pytest.param("channels_last", marks=NO_CHANNELS_LAST), "compile"])
def test_layout_and_compilation_change_the_losses_by_rounding_alone(
    name: str, setting: str, every_paradigm: dict[str, Paradigm], images: Records
) -> None:
    paradigm = every_paradigm[name]
    plain = losses(convolutional(paradigm).train(), paradigm, images, asked())
    quick = losses(convolutional(paradigm).train(), paradigm, images, asked(backend="eager", **{setting: True}))
    for found, expected in zip(quick, plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PARADIGMS)
def test_bf16_losses_are_float32_and_close_to_those_of_float32(
    name: str, every_paradigm: dict[str, Paradigm], images: Records
) -> None:
    """bfloat16 keeps 8 bits, so one operation errs by up to 0.4 %; a dozen layers by a few per cent."""
    paradigm = every_paradigm[name]
    plain, slope = losses(convolutional(paradigm).train(), paradigm, images, asked())
    quick, quick_slope = losses(convolutional(paradigm).train(), paradigm, images, asked(bf16=True))
    assert quick.dtype == torch.float32
    torch.testing.assert_close(quick, plain, rtol=0.05, atol=0.05)
    assert not torch.equal(quick, plain)  # it was computed in something else
    assert torch.cosine_similarity(slope, quick_slope, dim=0) > 0.9  # of unrelated ones: about 0


def test_the_forward_pass_alone_is_in_bf16(every_paradigm: dict[str, Paradigm], images: Records) -> None:
    paradigm, seen = every_paradigm["supervised"], list[torch.dtype]()
    model = convolutional(paradigm)
    model.head.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    losses(model, paradigm, images, asked(bf16=True))
    assert seen == [torch.bfloat16]
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert {weight.grad.dtype for weight in model.parameters() if weight.grad is not None} == {torch.float32}
    assert not torch.is_autocast_enabled("cpu")


def test_compilation_compiles_the_loss_and_not_the_model(every_paradigm: dict[str, Paradigm], images: Records) -> None:
    paradigm = every_paradigm["simclr"]
    model = convolutional(paradigm)
    acceleration = Acceleration(asked(compile=True, backend="eager"), CPU)
    assert hasattr(acceleration.loss(paradigm.per_sample_loss), "_torchdynamo_orig_callable")
    train(model, paradigm, images, training(compile=True, backend="eager"), seed=0)
    assert list(model.state_dict()) == list(convolutional(paradigm).state_dict())
    assert model._compiled_call_impl is None


def test_images_and_weights_are_channels_last_while_it_lasts(
    every_paradigm: dict[str, Paradigm], images: Records
) -> None:
    paradigm = every_paradigm["simclr"]
    model, acceleration = convolutional(paradigm), Acceleration(asked(channels_last=True), CPU)
    before = weights_of(model)
    views = paradigm.views(images.images, torch.Generator().manual_seed(0))
    given = acceleration.views(views)
    assert torch.equal(given, views)
    assert given.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert given.flatten(0, 1).data_ptr() == given.data_ptr()  # a view: nothing is copied back
    convolutions = [weight for weight in model.parameters() if weight.dim() == 4]
    with acceleration.layout(model):
        assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in convolutions)
    assert all(weight.is_contiguous() for weight in model.parameters())
    assert torch.equal(weights_of(model), before)


@NO_CHANNELS_LAST
@pytest.mark.parametrize("name", PARADIGMS)
def test_training_with_everything_learns_and_leaves_an_ordinary_model(
    name: str, every_paradigm: dict[str, Paradigm], noise: MakeRecords
) -> None:
    """Three batches an epoch. It goes where the plain training goes; unrelated directions would give about 0."""
    paradigm, records = every_paradigm[name], noise(24, shape=SHAPE)
    plain = train(convolutional(paradigm), paradigm, records, training(), seed=1)
    quick = train(convolutional(paradigm), paradigm, records, training(**EVERYTHING), seed=1)
    start, ends = weights_of(convolutional(paradigm)), (weights_of(plain), weights_of(quick))
    assert torch.cosine_similarity(ends[0] - start, ends[1] - start, dim=0) > 0.9
    for found, expected in zip(quick.state_dict().items(), plain.state_dict().items(), strict=True):
        assert found[0] == expected[0]
        assert (found[1].dtype, found[1].stride()) == (expected[1].dtype, expected[1].stride())


class Interrupted(Exception):  # noqa: N818
    """The machine is taken away."""


@NO_CHANNELS_LAST
@pytest.mark.parametrize(
    ("name", "optimiser", "settings"),
    [
        ("simclr", "adam", {"channels_last": True}),
        ("supervised", "sgd", {"channels_last": True, "bf16": True}),
        ("moco", "sgd", EVERYTHING),
    ],
    ids=["channels_last", "bf16", "everything"],
)
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(
    name: str,
    optimiser: str,
    settings: dict[str, Any],
    every_paradigm: dict[str, Paradigm],
    images: Records,
    tmp_path: Path,
) -> None:
    paradigm, config = every_paradigm[name], training(4, optimiser, **settings)
    whole = train(convolutional(paradigm), paradigm, images, config, seed=2)
    checkpoint = Checkpoint(tmp_path / "c" / "state.safetensors", config.model_dump(mode="json"), every=1)

    def stop(epoch: int) -> None:
        if epoch == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(convolutional(paradigm), paradigm, images, config, seed=2, after_epoch=stop, checkpoint=checkpoint)
    resumed = train(convolutional(paradigm, 1), paradigm, images, config, seed=2, checkpoint=checkpoint)
    assert torch.equal(weights_of(resumed), weights_of(whole))


def test_without_acceleration_nothing_stands_between_the_paradigm_and_its_loss(
    every_paradigm: dict[str, Paradigm], images: Records
) -> None:
    loss = every_paradigm["simclr"].per_sample_loss
    acceleration = Acceleration(AccelerationConfig(), CPU)
    assert acceleration.loss(loss) == loss
    views = torch.rand(2, 4, *SHAPE)
    assert acceleration.views(views) is views


@pytest.mark.parametrize("name", PARADIGMS)
def test_a_device_it_is_not_for_trains_as_ever_and_says_so_in_one_line(
    name: str, every_paradigm: dict[str, Paradigm], images: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    paradigm = every_paradigm[name]
    plain = OptimisationConfig(epochs=2, batch_size=8, learning_rate=0.01)
    without = train(convolutional(paradigm), paradigm, images, plain, seed=1)
    assert "warning" not in capsys.readouterr().err
    config = TrainingConfig(**plain.model_dump(), acceleration=AccelerationConfig(bf16=True, channels_last=True))
    ignored = train(convolutional(paradigm), paradigm, images, config, seed=1)
    assert torch.equal(weights_of(ignored), weights_of(without))
    warning = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("warning"))
    assert warning == (
        "warning: bf16, channels_last of training.acceleration ignored: this is a cpu, and it is for cuda"
    )


def test_settings_that_are_off_are_not_part_of_a_document_and_those_that_are_on_come_back() -> None:
    off, on = TrainingConfig(epochs=1), TrainingConfig(epochs=1, acceleration=asked(bf16=True))
    assert off.model_dump(mode="json") == OptimisationConfig(epochs=1).model_dump(mode="json")
    assert TrainingConfig.model_validate(off.model_dump(mode="json")) == off
    assert TrainingConfig.model_validate(on.model_dump(mode="json")) == on


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="fp16"):
        AccelerationConfig.model_validate({"fp16": True})
    with pytest.raises(ValueError, match="acceleration"):  # not for methods that step by gradients of gradients
        OptimisationConfig.model_validate({"epochs": 1, "acceleration": {"bf16": True}})
