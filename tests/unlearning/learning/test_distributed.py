"""Several processes come to what one comes to: losses, weights, statistics, queues, with and without the penalty."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.services import free_port
from tests.unlearning import distributed_worker as worker
from unlearning.core.errors import UserError
from unlearning.learning import distributed, models
from unlearning.learning.distributed import SYNCED, sharded
from unlearning.learning.encoders import build_backbone

ROOT = Path(__file__).parents[3]
WORLDS = {2: tuple(worker.ENCODERS), 3: ("mlp",)}
"""Encoders that so many processes train."""
PATIENCE = 300


def start(command: list[str], processes: int, **more: str) -> list[subprocess.Popen[str]]:
    """As torchrun would, on this machine."""
    shared = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), **more},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(processes)
    ]


def finish(running: list[subprocess.Popen[str]]) -> list[str]:
    """What each process said; all must have done well."""
    said = [process.communicate(timeout=PATIENCE)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(running), "\n".join(said)
    return said


@pytest.fixture(scope="module")
def alone() -> dict[str, Tensor]:
    torch.use_deterministic_algorithms(True)
    try:
        return worker.results()
    finally:
        torch.use_deterministic_algorithms(False)


@cache
def trained_by(processes: int) -> list[dict[str, Tensor]]:
    """What each process came to."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.unlearning.distributed_worker", folder, *WORLDS[processes]]
        finish(start(command, processes))
        return [load_file(Path(folder) / f"{rank}.safetensors") for rank in range(processes)]


@pytest.fixture
def together(request: pytest.FixtureRequest) -> list[dict[str, Tensor]]:
    return trained_by(request.param)


def close(one: Tensor, other: Tensor, tolerance: float = 1e-9) -> bool:
    return torch.allclose(one.double(), other.double(), rtol=tolerance, atol=tolerance)


EACH = pytest.mark.parametrize(
    ("together", "encoder"),
    [(processes, encoder) for processes, encoders in WORLDS.items() for encoder in encoders],
    indirect=["together"],
)


@pytest.mark.slow
@pytest.mark.parametrize("paradigm", worker.PARADIGMS)
@EACH
@pytest.mark.parametrize("what", ["trained", "stage 1", "stage 2"])
def test_several_processes_come_to_what_one_comes_to(
    alone: dict[str, Tensor], together: list[dict[str, Tensor]], paradigm: str, encoder: str, what: str
) -> None:
    names = [name for name in alone if name.startswith(f"{paradigm}.{encoder}.{what}.")]
    assert f"{paradigm}.{encoder}.{what}.losses" in names
    assert [name for name in names if not close(alone[name], together[0][name])] == []


@pytest.mark.slow
@pytest.mark.parametrize("paradigm", worker.PARADIGMS)
@EACH
def test_in_single_precision_losses_agree(
    alone: dict[str, Tensor], together: list[dict[str, Tensor]], paradigm: str, encoder: str
) -> None:
    name = f"{paradigm}.{encoder}.single precision.losses"
    assert close(alone[name], together[0][name], 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("together", WORLDS, indirect=True)
def test_every_process_has_the_same_weights_to_the_last_bit(together: list[dict[str, Tensor]]) -> None:
    first, *others = together
    for other in others:
        assert [name for name in first if not torch.equal(first[name], other[name])] == []


@pytest.mark.slow
def test_the_training_did_something(alone: dict[str, Tensor]) -> None:
    """Weights that had not moved would agree as well."""
    for paradigm in worker.PARADIGMS:
        for encoder in worker.ENCODERS:
            before = worker.made(paradigm, encoder).state_dict()
            for name, parameter in worker.made(paradigm, encoder).named_parameters():
                if parameter.requires_grad and name.endswith("weight"):
                    assert not close(before[name], alone[f"{paradigm}.{encoder}.trained.{name}"]), name


def test_without_others_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    model = worker.made("simclr", "resnet")
    kinds = [type(module) for module in model.modules()]
    with distributed.step(Path("out"), Path("checkpoints"), "cpu") as mine, sharded(model):
        assert mine == (Path("out"), Path("checkpoints"))
        distributed.assert_identical("0" * 64)
        assert [type(module) for module in model.modules()] == kinds
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not distributed.wanted()
    assert distributed.first()


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The second of two processes on a machine with one GPU; the backends that it connects by."""
    connected: list[str] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.distributed, "init_process_group", connected.append)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    return connected


def test_processes_that_work_on_the_cpu_need_no_gpu_each(second_of_two: list[str]) -> None:
    with distributed.group("cpu"):
        pass
    assert second_of_two == ["gloo"]


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_more_processes_than_gpus_are_refused(second_of_two: list[str], device: str) -> None:
    refused = pytest.raises(UserError, match="process 1 of this machine has no GPU: there are 1")
    with refused, distributed.group(device):
        raise AssertionError("connected")
    assert second_of_two == []


@pytest.mark.parametrize("encoder", worker.ENCODERS)
def test_every_batch_norm_of_a_backbone_is_one_that_is_synchronised(encoder: str) -> None:
    backbone = build_backbone(worker.ENCODERS[encoder], (1, 6, 6))
    norms = [module for module in backbone.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(type(norm) in SYNCED for norm in norms)


def step(name: str, *arguments: object) -> list[str]:
    return [str(Path(sys.executable).with_name("unlearn")), "step", name, *map(str, arguments), "--json"]


@pytest.mark.nightly
def test_an_interrupted_training_goes_on_with_all_processes(chain: dict[str, Path], tmp_path: Path) -> None:
    recipe = json.loads(chain["resolved"].read_text())
    recipe["training"]["epochs"], recipe["checkpoint_every"] = 40, 1
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    data = ("--snapshot", chain["snapshot"], "--split", chain["split"], "--recipe-file", tmp_path / "recipe.json")
    settings = {"UNLEARNING_CHECKPOINTS": str(tmp_path / "checkpoints")}
    running = start(step("pretrain", *data, "--out", tmp_path / "model"), 2, **settings)
    deadline = time.monotonic() + PATIENCE
    while not list(tmp_path.glob("checkpoints/*/state.safetensors")):
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in running)
        time.sleep(0.05)
    for process in running:
        process.kill()
        process.communicate()
    said, _ = finish(start(step("pretrain", *data, "--out", tmp_path / "model"), 2, **settings))
    totals = {int(total) for total in re.findall(r"pretrain: \d+/(\d+)  ", said)}
    assert len(totals) == 1
    assert 0 < totals.pop() < 40, "it did not begin anew"
    finish(start(step("pretrain", *data, "--out", tmp_path / "whole"), 2, **settings))
    assert models.digest(tmp_path / "model") == models.digest(tmp_path / "whole")
