"""Where tensors live: CUDA when there is one, the CPU otherwise."""

from __future__ import annotations

import torch

from unlearning.core.errors import UserError


def choose_device(wanted: str = "auto", gpus: int = 0) -> torch.device:
    """`auto` takes CUDA when present; anything else is taken literally.

    Args:
        wanted: `auto`, or a torch device name.
        gpus: how many GPUs were asked of the cluster. When there are none to be seen, that is an
            error: running on the CPU while holding a GPU would go unnoticed.

    Raises:
        UserError: the device does not exist on this machine.
    """
    if gpus > 0 and wanted != "cpu" and not torch.cuda.is_available():
        raise UserError(f"{gpus} GPUs asked for, but none can be seen: use the CUDA image, or ask for 0 GPUs")
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise UserError(f"device {wanted!r} is not a device name: use auto, cpu or cuda") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {wanted!r} asked for, but this machine shows no CUDA GPU: use auto or cpu")
    return device


def deterministic() -> None:
    """Ask torch for the same result on every run of the same machine, warning where it cannot."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
