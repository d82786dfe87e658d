"""Training steps on as many processes and machines as a task asks for.

One process: in the task itself. Several on one machine: torchrun, in the task. Several machines: a TrainJob, which
the task follows; what it reads and writes lies in the folder of checkpoints meanwhile, which all of them see.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearning.cluster import names
from unlearning.cluster.trainjob import Owner, TrainJobs, train_job
from unlearning.cluster.workers import Workers
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.core.files import new_folder, sha256_json


@dataclass(frozen=True)
class StepCommand:
    """A command of `unlearn step` that several processes can run together."""

    name: str
    reads: Mapping[str, str]
    """Options that name what it reads, by the keyword of the step."""
    settings: Mapping[str, str]
    """Options with values, and switches, by keyword; what is not given is the command's own default."""
    writes: str
    """Keyword of the folder that `--out` names."""

    def line(self, arguments: Mapping[str, Any], paths: Mapping[str, Path]) -> list[str]:
        """The command with its options, where everything lies at `paths`.

        Raises:
            TypeError: a keyword that no option stands for.
        """
        known = {*self.reads, *self.settings, self.writes}
        if unknown := sorted({*arguments} - known):
            raise TypeError(f"unlearn step {self.name} has no option for {', '.join(unknown)}")
        words = [option for key, named in self.reads.items() for option in (named, str(paths[key]))]
        for key, named in self.settings.items():
            value = arguments.get(key, False)
            if value is not False:
                words.append(named if value is True else f"{named}={value}")
        return ["step", self.name, *words, "--out", str(paths[self.writes])]


PRETRAIN = StepCommand(
    "pretrain",
    reads={"snapshot_path": "--snapshot", "split_path": "--split", "recipe_path": "--recipe-file"},
    settings={"seed": "--seed", "device": "--device"},
    writes="model_path",
)
UNLEARN = StepCommand(
    "unlearn",
    reads={
        "model_path": "--model",
        "snapshot_path": "--snapshot",
        "split_path": "--split",
        "forget_path": "--forget",
    },
    settings={
        "method": "--method",
        "overrides": "--overrides",
        "attempt": "--attempt",
        "seed": "--seed",
        "device": "--device",
        "keep_diverged": "--keep-diverged",
    },
    writes="candidate_path",
)


def by_workers(
    command: StepCommand, workers: Workers, arguments: Mapping[str, Any], gpus: int, *, check: Callable[[], object]
) -> bool:
    """Have a step done by several workers.

    Args:
        command: the step as they are told it.
        workers: how many, and where.
        arguments: keywords of the step.
        gpus: that this task has.
        check: of the device, before processes are started here.

    Returns:
        Whether they did it; not where the task is to do it by itself.

    Raises:
        UserError: one of them failed.
    """
    processes = workers.on_each(gpus)
    if workers.nodes == processes == 1:
        return False
    if workers.nodes == 1:
        check()
        _here(command.line(arguments, arguments), processes)
    else:
        _on_nodes(command, workers, arguments)
    return True


def _here(line: list[str], processes: int) -> None:
    """Processes of this machine."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    program = str(Path(sys.executable).with_name("unlearn"))
    done = subprocess.run([*torchrun, "--no-python", program, *line], check=False)  # noqa: S603 - no shell
    if done.returncode != 0:
        raise UserError(f"one of {processes} processes failed: what it said stands above")


def _on_nodes(command: StepCommand, wanted: Workers, given: Mapping[str, Any]) -> None:
    """A TrainJob, from its making to its deletion."""
    image, namespace = _told("UNLEARNING_IMAGE"), _told(names.POD_NAMESPACE)
    owner = Owner(_told(names.POD_NAME), _told(names.POD_UID))
    name = f"unlearning-{command.name}-{sha256_json([owner.uid, str(given[command.writes])])[:12]}"
    device = "cuda" if wanted.node_gpus and given["device"] == "auto" else given["device"]
    jobs = TrainJobs(namespace)
    with _shared(name, [given[key] for key in command.reads]) as (folder, copies), _stopped_by_signal():
        paths = dict(zip(command.reads, copies, strict=True)) | {command.writes: folder / "out"}
        line = ["unlearn", *command.line({**given, "device": device}, paths)]
        jobs.delete(name)  # of an attempt of this task that was cut off
        try:
            jobs.create(train_job(name, line, wanted, image=image, namespace=namespace, owner=owner))
            jobs.follow(name)
            if not (folder / "out").is_dir():
                raise UserError(f"TrainJob {name} is complete and left nothing in {folder}: is it on a shared volume?")
            with new_folder(given[command.writes]) as staging:
                shutil.copytree(folder / "out", staging, dirs_exist_ok=True)
        finally:
            jobs.delete(name)


def _told(variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise UserError(f"{variable} is not set: several nodes need a task of a pipeline on Kubernetes")
    return value


@contextmanager
def _shared(name: str, inputs: list[Path]) -> Iterator[tuple[Path, list[Path]]]:
    """A folder that every machine sees, with copies of the inputs; it goes with the block, since it holds data."""
    folder = settings.from_environment().checkpoints / f"trainjob-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        copies = [folder / "in" / str(number) for number in range(len(inputs))]
        for path, copy in zip(inputs, copies, strict=True):
            copy.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, copy)
            else:
                shutil.copyfile(path, copy)
        yield folder, copies
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _stopped_by_signal() -> Iterator[None]:
    """SIGTERM, by which Kubernetes stops a pod, ends the block as an error does, so that it tidies up."""

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
