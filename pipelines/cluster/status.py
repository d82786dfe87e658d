"""How a run on a cluster stands, task by task."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import kfp_server_api as api
from pydantic import BaseModel

from pipelines.cluster.client import FINISHED, UNDONE
from pipelines.cluster.progress import ListedNode, RunStep, steps


class TaskStatus(BaseModel):
    """One task; `seconds` so far or in all, None before it starts."""

    id: str
    name: str
    state: str
    seconds: float | None
    error: str


class RunStatus(BaseModel):
    """A run, its steps, and all that the server lists in the order in which it started."""

    run_id: str
    name: str
    state: str
    error: str
    tasks: list[TaskStatus]
    steps: list[RunStep] = []
    """Empty where the server tells no specification."""

    @property
    def finished(self) -> bool:
        """Nothing will change any more."""
        return self.state in FINISHED

    @property
    def failed(self) -> bool:
        """It failed, or somebody cancelled it."""
        return self.state in UNDONE

    def text(self) -> str:
        """A line for the run, one for each step, and why those failed that did; every task where no steps are known."""
        lines = [f"run {self.run_id} {self.name}: {self.state} {self.error}".rstrip()]
        for step in self.steps:
            times = f" ({step.times} times)" if step.times > 1 else ""
            lines.append(
                f"{'  ' * (step.depth + 1)}{step.name}{times}: {_standing(step.state, step.seconds, step.error)}"
            )
        if not self.steps:
            lines += [f"  {each.name}: {_standing(each.state, each.seconds, each.error)}" for each in self.tasks]
        return "\n".join(lines)


def _standing(state: str, seconds: float | None, error: str) -> str:
    took = "" if seconds is None else f" {seconds:.0f} s"
    return f"{state}{took} {error}".rstrip()


def _message(error: api.GoogleRpcStatus | None) -> str:
    return "" if error is None else " ".join(str(error.message or "").split())


def _task(found: api.V2beta1PipelineTaskDetail) -> TaskStatus:
    start, end = found.start_time, found.end_time
    # Kubeflow tells an end it does not know yet as a time before the start.
    over = end if start is not None and end is not None and end >= start else datetime.now(UTC)
    return TaskStatus(
        id=str(found.task_id),
        name=str(found.display_name or found.task_id),
        state=str(found.state or "PENDING"),
        seconds=None if start is None else (over - start).total_seconds(),
        error=_message(found.error),
    )


def status_of(run: api.V2beta1Run, reasons: Mapping[str, str] | None = None) -> RunStatus:
    """What people and scripts want to know of a run.

    Args:
        run: as the server tells it.
        reasons: by the task's key, why it failed or does not start (`pipelines.cluster.failures`).
    """
    details = run.run_details.task_details if run.run_details else None
    first = datetime.max.replace(tzinfo=UTC)
    ordered = sorted(details or [], key=lambda each: (each.start_time or first, str(each.task_id)))
    tasks = [_task(each) for each in ordered]
    names = [str(each.display_name or "") for each in ordered]
    nodes = [
        ListedNode(name=name, state=task.state, seconds=task.seconds, error=task.error)
        for name, task in zip(names, tasks, strict=True)
    ]
    return RunStatus(
        run_id=str(run.run_id),
        name=str(run.display_name),
        state=str(run.state or "PENDING"),
        error=_message(run.error),
        tasks=tasks,
        steps=steps(run.pipeline_spec or {}, nodes, reasons),
    )
