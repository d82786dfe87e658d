"""How many processes train one model together, and on how many machines."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from unlearning.core.config import Config, checked
from unlearning.core.errors import UserError


class Workers(Config):
    """What a task that trains was asked for; as it stands here, it trains by itself."""

    gpu_nodes: dict[str, str] = Field(default_factory=dict)
    """Labels of the nodes that a task which computes may run on, such as
    {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}. Empty for any."""
    nodes: int = Field(1, ge=1)
    """Nodes that train one model together, as a TrainJob of Kubeflow Trainer. 1: the task itself trains."""
    node_gpus: int = Field(0, ge=0)
    """GPUs of each of several nodes. The task that waits for them needs none of its own."""
    processes: int = Field(0, ge=0)
    """Processes that train one model together on each node. 0: one for each GPU, or one."""

    def on_each(self, gpus: int) -> int:
        """Processes on each machine, where the task's own has `gpus` GPUs."""
        return self.processes or max(1, self.node_gpus if self.nodes > 1 else gpus)


def _named_device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise UserError(f"device {name!r} is not a device name: use auto, cpu or cuda")
    return name


def _counted(count: str) -> str:
    if not re.fullmatch(r"\d{1,4}", count):
        raise UserError(f"gpus {count!r} is not possible: give a whole number, 0 for the CPU")
    return count


GpuCount = Annotated[str, BeforeValidator(str), AfterValidator(_counted)]
"""Text everywhere: KFP's driver reads the limit of an accelerator as text, and takes a number for none."""


def _quantity(text: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)?(m|k|Ki|[MGTP]i?)?", text):
        raise UserError(f"{text!r} is no amount as Kubernetes writes it: give cores as 2 or 500m, memory as 8Gi")
    return text


Quantity = Annotated[str, BeforeValidator(str), AfterValidator(_quantity)]
"""An amount as Kubernetes writes it."""

DeviceName = Annotated[str, AfterValidator(_named_device)]


class Device(Config):
    """What a task computes on."""

    device: DeviceName = "auto"
    """auto, cpu or cuda."""
    gpus: GpuCount = "0"
    """GPUs that each task which computes asks the cluster for; 0 runs on the CPU."""
    cpus: Quantity = "1"
    """CPU cores that each task which computes asks for, such as 4 or 500m; it uses more where they are free."""
    memory: Quantity = "6Gi"
    """Memory that each task which computes asks for, and may use. It grows with the data."""

    @property
    def gpu_count(self) -> int:
        """The same as a number."""
        return int(self.gpus)


class Hardware(Workers, Device):
    """What the tasks of a pipeline compute on."""

    @property
    def workers(self) -> Workers:
        """Who trains.

        Raises:
            UserError: they do not fit together.
        """
        return workers(**{name: getattr(self, name) for name in Workers.model_fields})


def workers(**parameters: Any) -> Workers:
    """Read what a task was asked for.

    Raises:
        UserError: it has no meaning.
    """
    found = checked(Workers, parameters)
    if found.node_gpus and found.nodes == 1:
        raise UserError("node_gpus are for a training on several nodes: give nodes, or ask for gpus instead")
    if found.nodes > 1 and found.node_gpus and found.processes > found.node_gpus:
        raise UserError(f"{found.processes} processes have no GPU each on nodes with {found.node_gpus}: ask for fewer")
    return found
