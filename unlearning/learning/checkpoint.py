"""Where a training is saved while it lasts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.core.files import sha256_json
from unlearning.data.splits import Split


def checkpoint_of(
    kind: str, fingerprint: object, split: Split, every: int, *, name: str = "state", last: bool = False
) -> Checkpoint:
    """Where a training on a split is saved while it lasts: in a folder of its own, which says what it is trained on.

    Args:
        kind: what is trained; the folder's name begins with it.
        fingerprint: all that the training depends on.
        every, last: see `Checkpoint`.
        name: the file's.
    """
    folder = settings.from_environment().checkpoints / f"{kind}-{sha256_json(fingerprint)[:16]}"
    data = {"snapshot": split.snapshot, "split": split.digest}
    return Checkpoint(folder / f"{name}.safetensors", fingerprint, every, data, last=last)


class Checkpoint:
    """Weights, optimiser state and random state after an epoch, in one safetensors file.

    `fingerprint` names the training it belongs to; another training's checkpoint is refused. `data` says
    what is trained on, for whoever has to find every trace of it. With `last` the finished model is saved
    too, for a training that is one of several: whoever goes on with the others finds it done.
    """

    def __init__(
        self,
        path: Path,
        fingerprint: object,
        every: int,
        data: Mapping[str, str] | None = None,
        *,
        last: bool = False,
    ) -> None:
        self.path = path
        self.partial = path.with_suffix(".partial")
        self.fingerprint = sha256_json(fingerprint)
        self.every = every
        self.data = dict(data or {})
        self.last = last

    def due(self, epoch: int, epochs: int) -> bool:
        """Whether to save after `epoch` of `epochs`."""
        return self.last if epoch == epochs else epoch % self.every == 0

    def save(self, epoch: int, model: nn.Module, optimiser: torch.optim.Optimizer, draw: torch.Generator) -> None:
        """Replace the file in one step.

        Raises:
            UserError: the folder cannot be written to.
        """
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        for slot, values in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{slot}.{name}": value for name, value in values.items() if value is not None}
        tensors["random"] = draw.get_state()
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        metadata = self.data | {"epoch": str(epoch), "fingerprint": self.fingerprint}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, str(self.partial), metadata)
            self.partial.replace(self.path)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"cannot write checkpoint {self.path} ({error}): choose a folder you may write to"
            ) from None

    def load(self, model: nn.Module, optimiser: torch.optim.Optimizer, draw: torch.Generator) -> int:
        """Restore the state and return the number of finished epochs; 0 without a file.

        Raises:
            UserError: the file is damaged or belongs to another training.
        """
        if not self.path.exists():
            return 0
        try:
            with safe_open(str(self.path), framework="pt") as handle:
                metadata = handle.metadata() or {}
                tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"checkpoint {self.path} is damaged ({error}): delete it to start this training again"
            ) from None
        if metadata.get("fingerprint") != self.fingerprint:
            raise UserError(
                f"checkpoint {self.path} belongs to another training (recipe, seed or data differ): "
                "delete it or choose another folder"
            )
        model.load_state_dict(
            {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
        )
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimiser."):
                _, slot, key = name.split(".", 2)
                state.setdefault(int(slot), {})[key] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        _lay_out_as_weights(optimiser)
        draw.set_state(tensors["random"])
        return json.loads(metadata["epoch"])  # type: ignore[no-any-return]

    def delete(self) -> None:
        """Remove the file once the finished model is saved: it holds the training data's traces."""
        for file in (self.path, self.partial):
            file.unlink(missing_ok=True)
        with suppress(OSError):  # other files in its folder are not ours
            self.path.parent.rmdir()


def _lay_out_as_weights(optimiser: torch.optim.Optimizer) -> None:
    """Give the state the memory layout of its weights, which fused steps take for granted."""
    for weight, state in optimiser.state.items():
        for name, value in state.items():
            if value.shape == weight.shape and value.stride() != weight.stride():
                state[name] = torch.empty_like(weight).copy_(value)
