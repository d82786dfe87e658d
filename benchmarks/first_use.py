"""What a new user does first, by a script that follows the README: a fresh clone, empty caches, its two commands.

Each command is timed; lines that its work begins or ends with are kept, so that what a new user reads can be read
afterwards. `python -m benchmarks.first_use`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from unlearning.core.config import Config
from unlearning.core.errors import EXIT_BAD_INPUT, EXIT_FAILED, UserError
from unlearning.core.files import write_json, write_text
from unlearning.core.settings import from_environment

ROOT = Path(__file__).parents[1]
SECTION = "## Two commands"
KEPT = 6
"""Lines kept of the beginning and of the end of what a command says."""
FORGOTTEN = ("UNLEARNING_", "MLFLOW_", "AWS_", "VIRTUAL_ENV", "PYTHONPATH", "VENV", "MAKE", "MFLAGS")
"""Beginnings of variables that a new user has not set."""


class Timed(Config):
    """One command as a new user ran it."""

    command: str
    seconds: float
    code: int
    said: tuple[str, ...]


class FirstUse(Config):
    """All of them."""

    commit: str
    cores: int
    steps: tuple[Timed, ...]

    @property
    def seconds(self) -> float:
        return sum(each.seconds for each in self.steps)


def commands(readme: str, section: str = SECTION) -> list[str]:
    """The commands of the first block of a section, without their comments.

    Raises:
        UserError: there is no such section, or no block in it.
    """
    _, found, rest = readme.partition(f"{section}\n")
    block = rest.partition("\n## ")[0].split("```")
    if not found or len(block) < 3:
        raise UserError(f"the README has no block of commands below {section!r}")
    lines = [line.partition("#")[0].strip() for line in block[1].splitlines()[1:]]
    return [line for line in lines if line]


def surroundings(home: Path) -> dict[str, str]:
    """What a new user's shell has: a home of its own, no caches, none of our settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FORGOTTEN)}
    return kept | {"HOME": str(home), "PIP_NO_CACHE_DIR": "1", "XDG_CACHE_HOME": str(home / ".cache")}


def follow(source: Path, wanted: Sequence[str], folder: Path) -> tuple[Timed, ...]:
    """Clone `source` and run the commands in the clone, one after another; the first that fails is the last."""
    home = folder / "home"
    home.mkdir(parents=True)
    clone = ["git", "clone", "--quiet", "--no-hardlinks", str(source), str(folder / "clone")]
    steps = [_timed(clone, "git clone", folder, home)]
    for command in wanted:
        if steps[-1].code != 0:
            break
        steps.append(_timed(["bash", "-c", command], command, folder / "clone", home))
    return tuple(steps)


def _timed(arguments: Sequence[str], name: str, where: Path, home: Path) -> Timed:
    begun = time.monotonic()
    done = subprocess.run(  # noqa: S603 - the README's own commands, in a clone
        arguments, cwd=where, env=surroundings(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    lines = [line.rstrip() for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
    short = lines if len(lines) <= 2 * KEPT else [*lines[:KEPT], "…", *lines[-KEPT:]]
    said = tuple(line.replace(str(where), ".") for line in short)
    return Timed(command=name, seconds=round(time.monotonic() - begun, 1), code=done.returncode, said=said)


def page(report: FirstUse) -> str:
    """The times, and what was said, in Markdown."""
    lines = [
        "# First use",
        "",
        f"A fresh clone of commit `{report.commit[:12]}`, a home without caches, the commands of the README's "
        f"“{SECTION.removeprefix('## ')}”, on {report.cores} cores: `python -m benchmarks.first_use`. "
        f"All together {report.seconds / 60:.1f} minutes.",
        "",
        "| command | seconds | exit code |",
        "|---|---|---|",
        *(f"| `{each.command}` | {each.seconds:.0f} | {each.code} |" for each in report.steps),
    ]
    for each in report.steps:
        if each.said:
            lines += ["", f"## {each.command}", "", "```text", *each.said, "```"]
    return "\n".join([*lines, ""])


def main(
    output: Annotated[Path, typer.Option(help="JSON; the page beside it has the same name.")] = Path(
        "benchmarks/results/first_use.json"
    ),
    keep: Annotated[bool, typer.Option("--keep", help="Leave the clone where it is.")] = False,
    command: Annotated[list[str] | None, typer.Option(help="Instead of the README's; repeat for more.")] = None,
) -> None:
    """Follow the README in a fresh clone and time it."""
    folder = Path(tempfile.mkdtemp(prefix="first-use-"))
    try:
        wanted = command or commands((ROOT / "README.md").read_text(encoding="utf-8"))
        steps = follow(ROOT, wanted, folder)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    found = FirstUse(commit=from_environment().commit, cores=os.cpu_count() or 1, steps=steps)
    write_json(output, found.model_dump(mode="json"))
    write_text(output.with_suffix(".md"), page(found))
    for each in steps:
        typer.echo(f"{each.seconds:8.1f} s  exit {each.code}  {each.command}")
    if steps[-1].code != 0:
        raise typer.Exit(EXIT_FAILED)


if __name__ == "__main__":
    typer.run(main)
