from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from unlearning.core.errors import UserError
from unlearning.learning.devices import choose_device, deterministic


@pytest.fixture
def torch_settings() -> Iterator[None]:
    """Give torch its global settings back after the test."""
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
    torch.backends.cudnn.benchmark = benchmark


def pretend_cuda(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: present)


@pytest.mark.parametrize(("present", "expected"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_a_gpu_when_there_is_one(monkeypatch: pytest.MonkeyPatch, present: bool, expected: str) -> None:
    pretend_cuda(monkeypatch, present)
    assert choose_device() == choose_device("auto") == torch.device(expected)


@pytest.mark.parametrize("present", [True, False])
def test_the_cpu_can_always_be_asked_for(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    pretend_cuda(monkeypatch, present)
    assert choose_device("cpu") == torch.device("cpu")


def test_one_gpu_of_several_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cuda(monkeypatch, True)
    assert choose_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0"])
def test_a_missing_gpu_is_reported(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    pretend_cuda(monkeypatch, False)
    with pytest.raises(UserError, match=f"device '{wanted}' asked for, but this machine shows no CUDA GPU"):
        choose_device(wanted)


@pytest.mark.parametrize("wanted", ["gpu", "", "cuda:x", "CPU"])
def test_a_name_that_is_no_device_is_reported(wanted: str) -> None:
    with pytest.raises(UserError, match=f"device '{wanted}' is not a device name: use auto, cpu or cuda"):
        choose_device(wanted)


@pytest.mark.usefixtures("torch_settings")
def test_determinism_is_asked_of_torch_without_making_it_an_error() -> None:
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = True
    deterministic()
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.backends.cudnn.benchmark
