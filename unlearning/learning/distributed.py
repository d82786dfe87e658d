"""Training on several processes that ends where one process would have ended.

Every process draws the same batch and the same views. In the backbone, where the work is, each takes its rows alone;
behind it the rows are brought together again, so that heads, losses, queues and everything else see the whole batch
on every process, and no paradigm or method need know of it:

    views ─ shard ─ backbone (batch norm over all rows) ─ gather ─ head, loss (whole batch)

`shard` and `gather` are each other's gradient, so gradients with respect to pixels are whole too, and may be
differentiated again, as gradient matching does. Negatives come with their gradients. What is not divided: the
views, the heads, and the data, of which every process holds all.

Started by `torchrun`, which says who is who in the environment; without it nothing here does anything.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from unlearning.core.errors import UserError
from unlearning.learning.devices import choose_device

SUMMED = "_summed_over_processes"


def count() -> int:
    """How many processes torchrun started, this one among them; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def wanted() -> bool:
    """Whether torchrun started this with others."""
    return count() > 1


def first() -> bool:
    """Whether this is the process that writes and speaks."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def group(device: str) -> Iterator[None]:
    """All processes, connected: by NCCL where each works on a GPU of its own, by gloo where none does.

    Args:
        device: `auto`, or a torch device name, as `choose_device` takes it.

    Raises:
        UserError: no such device, or fewer GPUs than processes.
    """
    if not wanted():
        yield
        return
    gpus = torch.cuda.device_count() if choose_device(device).type == "cuda" else 0
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if 0 < gpus <= local:
        raise UserError(f"process {local} of this machine has no GPU: there are {gpus}; start no more than that")
    if gpus:
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if gpus else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def step(out: Path, checkpoints: Path, device: str) -> Iterator[tuple[Path, Path]]:
    """A step on all processes, of which the first writes and speaks.

    The others go on from the same checkpoints, and write where nobody looks.

    Args:
        out, checkpoints: where the first process writes.
        device: see `group`.

    Yields:
        Where this process writes its result, and its checkpoints.
    """
    with group(device), ExitStack() as stack:
        if not first():
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            if checkpoints.is_dir():
                shutil.copytree(checkpoints, scratch / "checkpoints")
            out, checkpoints = scratch / "out", scratch / "checkpoints"
            silence = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(redirect_stderr(silence))
        _wait_for_all()
        yield out, checkpoints


def assert_identical(digest: str) -> None:
    """Every process has come to the same weights.

    Raises:
        UserError: one has not.
    """
    if not dist.is_initialized():
        return
    found: list[str] = [""] * dist.get_world_size()
    dist.all_gather_object(found, digest)
    if len({*found}) > 1:
        raise UserError(f"processes came to different weights ({', '.join(each[:12] for each in found)}): start again")


def _wait_for_all() -> None:
    """Until every process is here: nobody changes the checkpoints while others copy them."""
    if dist.is_initialized():
        dist.barrier()


def _rows(count: int) -> list[int]:
    """How many of `count` rows each process takes: those of `tensor_split`."""
    world = dist.get_world_size()
    return [count // world + (rank < count % world) for rank in range(world)]


class _Shard(torch.autograd.Function):
    """This process's rows of what all processes have."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor) -> Tensor:
        ctx.count = len(whole)
        return whole.tensor_split(dist.get_world_size())[dist.get_rank()].clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _gather(gradient, ctx.count)


class _Gather(torch.autograd.Function):
    """All rows, brought together from the processes that have them.

    Every process computes the same of the whole, so the gradient of its own rows is in its own gradient.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, count: int) -> Tensor:
        sizes = _rows(count)
        padded = rows.new_zeros((max(sizes), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _shard(gradient), None


class _Sum(torch.autograd.Function):
    """The sum over processes, each of which goes on with it for its own rows."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        total = part.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _sum(gradient)


def _shard(whole: Tensor) -> Tensor:
    found: Tensor = _Shard.apply(whole)
    return found


def _gather(rows: Tensor, count: int) -> Tensor:
    found: Tensor = _Gather.apply(rows, count)
    return found


def _sum(part: Tensor) -> Tensor:
    found: Tensor = _Sum.apply(part)
    return found


def _normalised(norm: nn.BatchNorm1d | nn.BatchNorm2d, rows: Tensor) -> Tensor:
    """What torch's batch norm gives while it trains, with the statistics of all processes' rows."""
    others = [dim for dim in range(rows.ndim) if dim != 1]
    shape = [1, -1, *[1] * (rows.ndim - 2)]
    count = _sum(rows.new_tensor(float(rows.numel() // rows.shape[1])))
    mean = _sum(rows.sum(others)) / count
    centred = rows - mean.view(shape)
    variance = _sum(centred.square().sum(others)) / count
    assert norm.momentum is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    with torch.no_grad():
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * count / (count - 1), norm.momentum)
    scale = (norm.weight * (variance + norm.eps).rsqrt()).view(shape)
    return centred * scale + norm.bias.view(shape)


class _BatchNorm1d(nn.BatchNorm1d):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        return _normalised(self, input) if self.training else super().forward(input)


class _BatchNorm2d(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        return _normalised(self, input) if self.training else super().forward(input)


SYNCED: dict[type[nn.Module], type[nn.Module]] = {nn.BatchNorm1d: _BatchNorm1d, nn.BatchNorm2d: _BatchNorm2d}


@contextmanager
def sharded(model: nn.Module) -> Iterator[None]:
    """While it lasts, the model's backbone and that of its slow copy are computed by all processes together.

    Begins with the first process's weights everywhere. Copies of the model that are made inside are divided too.
    """
    if not dist.is_initialized():
        yield
        return
    for value in model.state_dict().values():
        dist.broadcast(value, 0)
    with ExitStack() as stack:
        slow = getattr(model, "momentum", None)
        for backbone in (model.backbone, *(slow[:1] if isinstance(slow, nn.Sequential) else ())):
            assert isinstance(backbone, nn.Sequential)
            stack.enter_context(_divided(backbone))
        whole = [value for name, value in model.named_parameters() if not name.startswith("backbone.")]
        for parameter in whole:
            if parameter.requires_grad:
                stack.callback(_after_gradient(parameter, _averaged).remove)
        yield


@contextmanager
def _divided(backbone: nn.Sequential) -> Iterator[None]:
    counts: list[int] = []

    def enter(module: nn.Module, arguments: tuple[Tensor, ...]) -> Tensor:
        counts.append(len(arguments[0]))
        return _shard(arguments[0])

    def leave(module: nn.Module, arguments: tuple[Tensor, ...], rows: Tensor) -> Tensor:
        return _gather(rows, counts.pop())

    norms = [module for module in backbone.modules() if type(module) in SYNCED]
    with ExitStack() as stack:
        stack.callback(backbone.register_forward_pre_hook(_sum_gradients).remove)
        stack.callback(backbone[0].register_forward_pre_hook(enter).remove)
        stack.callback(backbone[-1].register_forward_hook(leave).remove)
        for norm in norms:
            stack.callback(setattr, norm, "__class__", type(norm))
            norm.__class__ = SYNCED[type(norm)]
        try:
            yield
        finally:
            for parameter in backbone.parameters():
                if hook := parameter.__dict__.pop(SUMMED, None):
                    hook.remove()


def _sum_gradients(backbone: nn.Module, arguments: tuple[Tensor, ...]) -> None:
    """Each process has the gradient of its rows. Seen to at each pass, as hooks of weights are not copied with them."""
    for parameter in backbone.parameters():
        if parameter.requires_grad and SUMMED not in parameter.__dict__:
            parameter.__dict__[SUMMED] = _after_gradient(parameter, _summed)


def _after_gradient(parameter: Tensor, hook: Callable[[Tensor], None]) -> Any:
    """A handle whose `remove` takes the hook away."""
    return parameter.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]


def _summed(parameter: Tensor) -> None:
    assert parameter.grad is not None
    dist.all_reduce(parameter.grad)


def _averaged(parameter: Tensor) -> None:
    """Every process has the whole gradient; the mean keeps their weights the same to the last bit."""
    assert parameter.grad is not None
    dist.all_reduce(parameter.grad)
    parameter.grad /= dist.get_world_size()
