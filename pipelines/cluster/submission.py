"""Runs and recurring runs made once by name, however often they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import kfp_server_api as api
from pydantic import BaseModel

from pipelines.cluster.client import Pipelines
from pipelines.cluster.cron import six_fields
from pipelines.cluster.packages import Package
from unlearning.cluster import names

Done = Literal["created", "replaced", "switched", "unchanged", "found"]
DIGEST = "content sha256:"
"""Stands in a schedule's description before the digest that tells whether it has changed."""


@dataclass(frozen=True)
class RunRequest:
    """What to run, and as whom; `parameters` are checked already."""

    package: Package
    parameters: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    experiment: str = "unlearning"
    pipeline_root: str = ""
    service_account: str = names.SERVICE_ACCOUNT

    @property
    def shown_name(self) -> str:
        """The name by which it is found again; from the content where none is given."""
        return self.name or f"{self.package.name}-{self.digest()[:12]}"

    def digest(self, *more: object) -> str:
        """SHA-256 over all that decides what is run."""
        return self.package.digest(self.parameters, self.experiment, self.pipeline_root, self.service_account, *more)

    @property
    def runtime(self) -> api.V2beta1RuntimeConfig:
        return api.V2beta1RuntimeConfig(parameters=self.parameters, pipeline_root=self.pipeline_root or None)


class Submitted(BaseModel):
    """A run that stands, and whether this call made it."""

    run_id: str
    name: str
    experiment_id: str
    state: str
    created: bool


class Scheduled(BaseModel):
    """A recurring run that stands, and what this call did to it."""

    schedule_id: str
    name: str
    cron: str
    enabled: bool
    done: Done


def submit(server: Pipelines, request: RunRequest, again: bool = False) -> Submitted:
    """Start a run, unless one of its name stands in the experiment.

    Kubeflow does not hold names unique: two calls in the same second may both create a run.
    """
    experiment = server.experiment_made(request.experiment)
    run = None if again else server.standing_run(experiment, request.shown_name)
    created = run is None
    if run is None:
        run = server.create_run(
            api.V2beta1Run(
                experiment_id=experiment,
                display_name=request.shown_name,
                pipeline_spec=request.package.body,
                runtime_config=request.runtime,
                service_account=request.service_account,
            )
        )
    state = run.state or "PENDING"
    return Submitted(run_id=run.run_id, name=request.shown_name, experiment_id=experiment, state=state, created=created)


def as_scheduled(recurring_run: api.V2beta1RecurringRun, done: Done = "found") -> Scheduled:
    """A recurring run as people see it."""
    trigger = recurring_run.trigger
    cron = trigger.cron_schedule.cron if trigger and trigger.cron_schedule else ""
    return Scheduled(
        schedule_id=recurring_run.recurring_run_id,
        name=recurring_run.display_name,
        cron=cron or "",
        enabled=recurring_run.status == "ENABLED",
        done=done,
    )


def schedule(
    server: Pipelines,
    request: RunRequest,
    cron: str,
    max_concurrency: int = 1,
    no_catchup: bool = False,
    enabled: bool = True,
) -> Scheduled:
    """Let a pipeline recur; of one name there is one in the experiment at the end.

    The new one is created before an old one is deleted, so that no due time is missed. Where the call dies in
    between, both stand; the next call finds the new one by its digest and deletes the old one.
    """
    cron = six_fields(cron)
    name = request.name or request.package.name
    experiment = server.experiment_made(request.experiment)
    mark = DIGEST + request.digest(cron, max_concurrency, no_catchup)
    standing = server.schedules(name, experiment)
    mine = next((each for each in standing if mark in (each.description or "")), None)
    others = [each for each in standing if mine is None or each.recurring_run_id != mine.recurring_run_id]
    made = mine or server.create_schedule(
        api.V2beta1RecurringRun(
            experiment_id=experiment,
            display_name=name,
            description=f"Made by unlearn schedule; {mark}",
            pipeline_spec=request.package.body,
            runtime_config=request.runtime,
            service_account=request.service_account,
            max_concurrency=str(max_concurrency),
            no_catchup=no_catchup,
            mode="ENABLE" if enabled else "DISABLE",
            trigger=api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=cron)),
        )
    )
    switched = mine is not None and (mine.status == "ENABLED") != enabled
    if switched:
        server.enable_schedule(made.recurring_run_id, enabled)
    for other in others:
        server.delete_schedule(other.recurring_run_id)
    done: Done = "replaced" if others else "created" if mine is None else "switched" if switched else "unchanged"
    return Scheduled(schedule_id=made.recurring_run_id, name=name, cron=cron, enabled=enabled, done=done)


def unschedule(server: Pipelines, name: str, experiment: str) -> int:
    """Delete every recurring run of a name in an experiment; returns how many there were."""
    found = server.experiment(experiment)
    standing = server.schedules(name, found) if found else []
    for each in standing:
        server.delete_schedule(each.recurring_run_id)
    return len(standing)
