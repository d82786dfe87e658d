"""The suite's own steps on the cluster under test, each told as it goes and cleaned up at the end."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.cluster import packages
from pipelines.cluster.client import UNDONE, Endpoint
from pipelines.cluster.packages import Package
from pipelines.cluster.status import RunStatus, status_of
from tests.cluster import access, runs, workflows
from tests.cluster.access import Place
from tests.cluster.runs import Answer, Disturbance, Ended, Kubernetes, Server
from tests.cluster.waiting import Budget, TooLongError
from tests.cluster.workflows import TaskPod
from unlearning.cluster.client import Cluster
from unlearning.core.errors import UserError
from unlearning.registry.versions import Version, champion
from unlearning.storage import datasets
from unlearning.storage.open import open_store

PIPELINES = ("pretraining", "unlearning", "compliance")
EXPERIMENT = "unlearning-cluster-suite"

RECIPE = "digits-supervised"
REFERENCES = 8
"""The fewest that an audit takes."""
RECORDS = 2
"""Of the request."""

# Margins that a model of 300 digits keeps to, and one attempt: what is tested is the cluster, not the method.
POLICY = {
    "auc_margin": 0.49,
    "utility_margin": 0.9,
    "record_margin": 0.99,
    "memory_margin": 0.99,
    "stronger": 0,
    "on_inconclusive": "accept",
}

MINUTES = 30.0
PRETRAINING, UNLEARNING, BATCH = 7 * 60.0, 9 * 60.0, 15 * 60.0
"""Seconds for each run. They took 4:14, 7:27 and 14:27 on 2 cores (version 7a181f0), unlearning with an attempt more
than `POLICY` allows; what is left of `MINUTES` ends them sooner."""
FIRST_RUN = 150.0
"""Seconds in which a schedule of every minute must have started a run."""
FIRST_TASK = 240.0
GPU_POD = 240.0
STOPPED = 90.0
"""Seconds in which a terminated run must be over."""

EFFECTS = ("fulfil", "settle", "certify", "purge")
"""Beginnings of the names of tasks that write to ledger, store and registry."""
KILLED_EFFECTS = 2
EFFECT_SECONDS = 5.0
"""For which a task with effects has run when its pod is deleted: by then Python has started."""


@dataclass
class Flow:
    """The cluster under test, and what was made on it."""

    place: Place
    cluster: Cluster
    server: Server
    kubernetes: Kubernetes
    budget: Budget
    folder: Path
    packages: dict[str, Package]
    keys: list[str]
    """Options by which certificates and checkpoints are verified."""
    name: str = field(default_factory=lambda: f"suite-{secrets.token_hex(4)}")
    """Of this run of the suite: everything that it makes begins so."""
    started: list[str] = field(default_factory=list)

    @property
    def model(self) -> str:
        return f"{self.name}-model"

    @property
    def request(self) -> str:
        return f"{self.name}-request"

    @property
    def seed(self) -> int:
        """Unlike that of any other run of the suite, so that nothing comes from the cache."""
        return int(self.name.rsplit("-", 1)[1], 16) % 2**31

    @property
    def store(self) -> str:
        """Address of the store as this machine reaches it."""
        return os.environ["UNLEARNING_STORE"]

    @property
    def compiled(self) -> Path:
        return self.folder / "compiled"

    def unlearn(self, *arguments: object) -> Answer:
        """An `unlearn` command that sees store and MLflow as the tasks do."""
        self.place.ensure()
        return runs.unlearn(arguments, {}, self.folder)

    def asking(self) -> list[str]:
        """Options of a command that talks to Kubeflow."""
        several = ["--namespace", self.server.endpoint.namespace] if self.server.endpoint.namespace else []
        return ["--endpoint", self.place.endpoint, *several]

    def package_options(self, pipeline: str, parameters: Mapping[str, Any], name: str) -> list[str]:
        """Options of a command that runs a compiled file."""
        written = {key: each if isinstance(each, str) else json.dumps(each) for key, each in parameters.items()}
        given = [part for key, value in written.items() for part in ("--param", f"{key}={value}")]
        file = str(self.compiled / f"{pipeline}.yaml")
        return ["--package", file, "--name", name, "--experiment", EXPERIMENT, *given, *self.asking()]

    def submit(self, pipeline: str, parameters: Mapping[str, Any], suffix: str = "") -> str:
        """Start a run; returns its id."""
        name = f"{self.name}-{pipeline}{suffix}"
        run = str(self.unlearn("submit", *self.package_options(pipeline, parameters, name), "--json").json["run_id"])
        self.started.append(run)
        self.budget.tell(f"{name}: submitted as {run}")
        return run

    def ended(self, pipeline: str, run: str, limit: float, disturbance: Disturbance | None = None) -> Ended:
        """Follow a run to its end, and read its workflow."""
        status = runs.follow(self.server, run, self.budget, limit, disturbance)
        workflow, size = self.kubernetes.workflow(run)
        self.budget.tell(
            f"{status.name}: {status.state} after {workflows.lasted(workflow) or 0:.0f} s, "
            f"{workflows.pod_count(workflow)} pods, "
            f"workflow of {size:,} bytes"
        )
        deleted = tuple(disturbance.deleted) if disturbance else ()
        return Ended(status, self.packages[pipeline].spec, workflow, size, deleted)

    def disturbance(self, pipeline: str, *, pure: bool) -> Disturbance:
        """Deletes pods of pure tasks, or of those that write."""
        preferred = ("pretrain", "ingest") if pure else EFFECTS
        wanted = workflows.wanted_tasks(self.packages[pipeline].spec, pure=pure, preferred=preferred)
        return Disturbance(
            self.kubernetes, runs.paths(wanted), count=1 if pure else KILLED_EFFECTS,
            after=0.0 if pure else EFFECT_SECONDS, tell=self.budget.tell,
        )  # fmt: skip

    def stop(self, run: str) -> None:
        """Terminate a run and wait until it is over, since it takes from the next; where it is not, that is told."""
        try:
            self.server.terminate(run)
            self.budget.wait(
                f"end of run {run} after it was terminated",
                lambda: True if status_of(self.server.run(run)).finished else None,
                STOPPED,
            )
        except (UserError, TooLongError) as error:
            self.budget.tell(str(error))

    # The registry and the store, as they stand.

    def versions(self) -> list[Version]:
        """Of the suite's model, oldest first."""
        # Imported here: whoever collects tests can do without MLflow's second.
        from unlearning.registry.client import Registry

        self.place.ensure()
        return Registry(os.environ["MLFLOW_TRACKING_URI"]).versions(self.model)

    def members(self, version: Version) -> tuple[str, ...]:
        """Records that a version stands for."""
        self.place.ensure()
        return datasets.load_split(open_store(self.store), version.tags.split).members

    def serving(self) -> Version:
        """The version that serves."""
        found = champion(self.versions())
        assert found is not None, f"no version of {self.model} serves"
        return found

    def ledger_problems(self, request: str = "") -> list[Any]:
        """What `unlearn ledger verify` finds."""
        answer = self.unlearn("ledger", "verify", *([request] if request else []), "--json", *self.keys)
        assert answer.code in (0, 3), answer.told
        return list(json.loads(answer.out))

    def ask(self) -> tuple[str, ...]:
        """Add a request for some records of the version that serves; returns their ids."""
        records = self.members(self.serving())[:RECORDS]
        received = (datetime.now(UTC) - timedelta(minutes=1)).isoformat(timespec="seconds")
        given = [part for each in records for part in ("--record", each)]
        answer = self.unlearn(
            "requests", "add", "--id", self.request, "--received", received, "--model", self.model, *given
        )
        assert answer.code == 0, answer.told
        return records

    # What each pipeline is run with.

    def pretraining_parameters(self) -> dict[str, Any]:
        """Erased records are dropped, since earlier runs of the suite have erased some of the digits."""
        return {
            "recipe": RECIPE, "seed": self.seed, "erased": "drop", "model_name": self.model,
            "run_name": f"{self.name}-pretraining", "reference_models": REFERENCES, "reference_tasks": 2,
        }  # fmt: skip

    def unlearning_parameters(self) -> dict[str, Any]:
        """Compared with the references, which costs no retraining."""
        return POLICY | {
            "model_name": self.model, "seed": self.seed, "run_name": f"{self.name}-unlearning",
            "compare_with": "references", "on_failure": "stop",
        }  # fmt: skip

    def compliance_parameters(self) -> dict[str, Any]:
        """Of this model alone, so that nobody else's request is touched."""
        return POLICY | {"model_name": self.model, "seed": self.seed, "batch": f"{self.name}-batch"}

    # The schedule.

    def schedule(self) -> RunStatus:
        """Let a batch recur every minute, and wait until its first run is past its first task; then it is removed."""
        name = f"{self.name}-schedule"
        parameters = self.compliance_parameters() | {"batch": ""}
        options = self.package_options("compliance", parameters, name)
        made = self.unlearn("schedule", "--cron", "* * * * *", *options, "--json").json
        run = ""
        try:
            experiment = self.server.experiment(EXPERIMENT)
            assert experiment is not None, f"schedule {name} made no experiment {EXPERIMENT}"
            run = self.budget.wait(
                f"first run of schedule {name}",
                lambda: next((each.run_id for each in self.server.runs_of(made["schedule_id"], experiment)), None),
                FIRST_RUN,
            )
            self.started.append(run)
            self.budget.tell(f"{name}: started run {run}")
            first = workflows.first_task(self.packages["compliance"].spec).name
            return self.budget.wait(
                f"{first} of run {run}", lambda: _past(status_of(self.server.run(run)), first), FIRST_TASK,
                state=lambda: status_of(self.server.run(run)).text(),
            )  # fmt: skip
        finally:
            deleted = self.unlearn("schedule", "--delete", "--name", name, "--experiment", EXPERIMENT, *self.asking())
            if deleted.code:
                self.budget.tell(deleted.told)
            if run:
                self.stop(run)

    # A GPU.

    def gpu_nodes(self) -> list[str]:
        """Nodes that are ready and have one to give."""
        return [node.name for node in self.cluster.nodes() if node.ready and node.gpus]

    def gpu_pod(self) -> TaskPod:
        """The pod of a task that asked for a GPU; its run is stopped then."""
        parameters = self.pretraining_parameters() | {
            "model_name": f"{self.model}-gpu", "run_name": f"{self.name}-gpu", "gpus": "1", "reference_models": 0,
        }  # fmt: skip
        wanted = runs.paths([each for each in workflows.tasks_of(self.packages["pretraining"].spec) if each.on_gpu])
        run = self.submit("pretraining", parameters, "-gpu")
        try:
            return self.budget.wait(
                "pod of a task that asks for a GPU",
                lambda: next((each for each in self.kubernetes.pods(run) if each.path in wanted), None),
                GPU_POD,
                state=lambda: status_of(self.server.run(run)).text(),
            )
        finally:
            self.stop(run)


def _past(status: RunStatus, first: str) -> RunStatus | None:
    """The run's status once its first task is done; None while it is not.

    Raises:
        AssertionError: the run failed before.
    """
    if any(step.name == first and step.state == "SUCCEEDED" for step in status.steps):
        return status
    assert status.state not in UNDONE, status.text()
    return None


def compile_all(image: str, folder: Path) -> dict[str, Package]:
    """The compiled files of an image, in a process of its own: the image is read when pipelines are imported."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "ignore", "-m", "pipelines.compile", str(folder)]
    done = subprocess.run(
        command, cwd=root, env={**os.environ, "UNLEARNING_IMAGE": image}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name: packages.read(folder / f"{name}.yaml") for name in PIPELINES}


def _minutes(text: str) -> float:
    try:
        return float(text or MINUTES)
    except ValueError:
        raise UserError(f"{access.MINUTES}={text!r} is not a number of minutes") from None


@contextmanager
def opened(environment: Mapping[str, str], folder: Path) -> Iterator[Flow]:
    """The cluster that the environment names; whatever runs at the end is terminated.

    The settings by which tasks reach store and MLflow must be in this process's environment while it lasts.
    """
    minutes = _minutes(environment.get(access.MINUTES, ""))
    cluster = Cluster()
    with access.reached(cluster, environment) as place:
        several = Server(Endpoint(place.endpoint)).several_users()
        server = Server(Endpoint(place.endpoint, place.namespace if several else ""))
        keys = access.verification_keys(cluster, place.namespace, folder / "keys", environment.get(access.KEYRING, ""))
        flow = Flow(
            place=place, cluster=cluster, server=server, kubernetes=Kubernetes(cluster, place.namespace),
            budget=Budget(60 * minutes), folder=folder, packages=compile_all(place.image, folder / "compiled"),
            keys=keys,
        )  # fmt: skip
        flow.budget.tell(f"{flow.name}: {place.endpoint}, namespace {place.namespace}, image {place.image}")
        try:
            yield flow
        finally:
            for run in flow.started:
                with suppress(UserError):
                    server.terminate(run)
