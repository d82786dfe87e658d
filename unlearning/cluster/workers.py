"""How many processes train one model together, and on how many machines."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError

from unlearning.core.config import Config
from unlearning.core.errors import UserError


class Workers(Config):
    """What a task that trains was asked for; as it stands here, it trains by itself."""

    nodes: int = Field(1, ge=1)
    """Machines. More than one are a TrainJob of Kubeflow Trainer; one is the task's own."""
    processes: int = Field(0, ge=0)
    """On each machine; 0 is one for each GPU, or one where there is none."""
    node_gpus: int = Field(0, ge=0)
    """GPUs of each machine of a TrainJob; those of the task's own are not counted here."""
    gpu_nodes: dict[str, str] = Field(default_factory=dict)
    """Labels of the machines of a TrainJob; empty for any."""

    def on_each(self, gpus: int) -> int:
        """Processes on each machine, where the task's own has `gpus` GPUs."""
        return self.processes or max(1, self.node_gpus if self.nodes > 1 else gpus)


def workers(**given: Any) -> Workers:
    """Read what a task was asked for.

    Raises:
        UserError: it has no meaning.
    """
    try:
        found = Workers.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{'.'.join(map(str, first['loc']))} {first['input']!r}: {first['msg']}") from None
    if found.node_gpus and found.nodes == 1:
        raise UserError("node_gpus are for a training on several nodes: give nodes, or ask for gpus instead")
    if found.nodes > 1 and found.node_gpus and found.processes > found.node_gpus:
        raise UserError(f"{found.processes} processes have no GPU each on nodes with {found.node_gpus}: ask for fewer")
    return found
