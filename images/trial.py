"""`python -m images.trial TAG`: run an image as a cluster does: no root, no network, nothing to write to but /tmp."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from components.execute import COMMAND
from images.build import find_engine, output
from unlearning.core.errors import EXIT_BAD_INPUT, EXIT_NOT_PROMOTED, EXIT_OK, UserError

CONFINED = Path(__file__).with_name("confined.sh")
CONFINEMENT = Path(__file__).with_name("confinement.py")
CONTAINERFILE = Path(__file__).with_name("Containerfile")
HEALTHCHECK = re.compile(r"^HEALTHCHECK .*?CMD (\[.*?\])$", re.MULTILINE | re.DOTALL)
TASK = (
    *COMMAND, "--function_to_execute", "plan_references", "--executor_input",
    json.dumps({
        "inputs": {"parameterValues": {"count": 8, "tasks": 2}},
        "outputs": {
            "parameters": {"Output": {"outputFile": "/tmp/task/Output"}}, "outputFile": "/tmp/task/output.json",  # noqa: S108
        },
    }),
)  # fmt: skip
"""A task as the compiled pipelines start it."""
DAG = ("unlearn", "run", "--dataset", "digits", "--paradigm", "supervised", "--run-id", "trial", "--json")
"""Every step of both pipelines, on images that come with a library, so that no network is needed."""


def health_check(containerfile: str) -> list[str]:
    """The command of the image's own health check, which engines that build OCI images do not keep."""
    found = HEALTHCHECK.search(containerfile)
    assert found is not None, "tests/images/test_containerfile.py holds that there is one"
    command: list[str] = json.loads(found[1])
    return command


def run_command(engine: str, tag: str, command: Sequence[str]) -> list[str]:
    """The engine's arguments; buildah's own `run` cannot make a root read-only, so it mounts alone: see `mounted`."""
    return [
        engine, "run", "--rm", "--read-only", "--tmpfs", "/tmp:mode=1777,exec", "--network", "none",  # noqa: S108
        "--cap-drop", "ALL", "--security-opt", "no-new-privileges", tag, *command,
    ]  # fmt: skip


def mounted(tag: str, command: Sequence[str], root: str) -> list[str]:
    """The same with an image that buildah has mounted; for root, who may mount."""
    config = json.loads(output("buildah", "inspect", "--type", "image", tag))["OCIv1"]["config"]
    return [
        "unshare", "--mount", "--pid", "--fork", "--net", "--kill-child",
        "sh", str(CONFINED), root, config["User"], *config["Env"], *command,
    ]  # fmt: skip


def in_image(engine: str, tag: str, command: Sequence[str]) -> int:
    """Exit code of a command in the image, confined."""
    if engine != "buildah":
        return subprocess.run(run_command(engine, tag, command), check=False).returncode  # noqa: S603
    container = output("buildah", "from", "--pull-never", tag)
    try:
        root = output("buildah", "mount", container)
        return subprocess.run(mounted(tag, command, root), check=False).returncode  # noqa: S603
    finally:
        output("buildah", "rm", container)


def main(
    tag: Annotated[str, typer.Argument(help="Image, as `make images` names it.")],
    engine: Annotated[str | None, typer.Option(help="docker, podman or buildah; the first that answers.")] = None,
) -> None:
    """Confinement, health, then every step of both pipelines; each with its time."""
    try:
        found = find_engine(engine)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    trials = {
        "confined": ("python3", "-c", CONFINEMENT.read_text()),
        "health check": health_check(CONTAINERFILE.read_text()),
        "a task by its name": TASK,
        "both pipelines": DAG,
    }
    for name, command in trials.items():
        begin = time.monotonic()
        code = in_image(found, tag, command)
        # Whether the candidate is any good is not what is tried here.
        if code not in (EXIT_OK, *([EXIT_NOT_PROMOTED] if command is DAG else ())):
            sys.exit(f"error: {name}: exit code {code} in {tag}")
        typer.echo(f"{name}: ok, {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    typer.run(main)
