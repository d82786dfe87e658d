"""A privacy officer's hour, by a script that uses the commands of docs/compliance.md on a folder of 600 pictures: file,
honour, look up, verify, purge, verify.

Ten persons ask: eight by subject id, one by the record id of a picture file, and one whose id is mistyped. Every
command is timed, and what it must have said is checked. `python -m benchmarks.officers_hour`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image
from sklearn.datasets import load_digits

from unlearning.core.config import Config
from unlearning.core.errors import EXIT_FAILED
from unlearning.core.files import write_json, write_text
from unlearning.core.settings import from_environment

PICTURES = 600
PERSONS = 120
"""Each with five pictures, of whatever class."""
ASKING = tuple(f"customer-{number}" for number in range(1, 9))
RECIPE = """
data: {image_side: 8, subjects: subjects.csv}
split: {members: 300, calibration: 60, holdout: 160, test: 80}
encoder: {kind: mlp, hidden: [64]}
training: {epochs: 10, batch_size: 100}
"""
RECEIVED = "2026-01-05T09:30:00+01:00"
FORGOTTEN = ("UNLEARNING_", "MLFLOW_", "AWS_")
"""Beginnings of variables that belong to other stores."""


class Did(Config):
    """One command."""

    what: str
    command: str
    seconds: float
    code: int
    said: tuple[str, ...]
    """Its last lines."""
    wrong: str
    """What it should have said or done; empty where it has."""


class Hour(Config):
    """All of it."""

    commit: str
    cores: int
    steps: tuple[Did, ...]

    @property
    def seconds(self) -> float:
        return sum(each.seconds for each in self.steps)


def pictures(folder: Path, count: int = PICTURES) -> dict[str, list[str]]:
    """Digits as PNG files in two classes, and whose they are; returns each person's files."""
    images, digits = load_digits(return_X_y=True)
    owned: dict[str, list[str]] = {}
    for number in range(count):
        place = folder / ("even" if digits[number] % 2 == 0 else "odd") / f"{number:04}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((images[number].reshape(8, 8) * 15).astype("uint8")).save(place)
        owned.setdefault(f"customer-{number % PERSONS}", []).append(place.relative_to(folder).as_posix())
    rows = [f"{file},{person}" for person, files in owned.items() for file in files]
    write_text(folder / "subjects.csv", "\n".join(["file,subject", *rows, ""]))
    return owned


@dataclass
class Desk:
    """Where the officer works: one home, one folder of pictures."""

    folder: Path
    steps: list[Did] = field(default_factory=list)

    def run(self, what: str, *arguments: str, code: int = 0, says: Callable[[str], str] | str = "") -> str:
        """Run `unlearn`, and look at what it says.

        Args:
            code: the exit code that it must have.
            says: a text that must be in it, or what finds out what is wrong.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FORGOTTEN)}
        places = {"UNLEARNING_HOME": str(self.folder / "home"), "UNLEARNING_DATA": str(self.folder / "pictures")}
        begun = time.monotonic()
        done = subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, "-m", "unlearning.cli", *arguments],
            cwd=self.folder,
            env=kept | places,
            capture_output=True,
            text=True,
            check=False,
        )
        last = done.stderr[-500:]
        wrong = "" if done.returncode == code else f"exit code {done.returncode} instead of {code}: {last}"
        if not wrong:
            wrong = says(done.stdout) if callable(says) else "" if says in done.stdout else f"it does not say {says!r}"
        lines = [line.rstrip() for line in (done.stdout or done.stderr).splitlines() if line.strip()]
        shown = " ".join(["unlearn", *(each if len(each) < 60 else "…" for each in arguments)])
        said = tuple(line.replace(str(self.folder), ".") for line in lines[-4:])
        self.steps.append(
            Did(
                what=what,
                command=shown.replace(str(self.folder), "."),
                seconds=round(time.monotonic() - begun, 1),
                code=done.returncode,
                said=said,
                wrong=wrong,
            )
        )
        return done.stdout


def _answer(text: str) -> Any:
    return json.loads(text) if text.strip() else []


def _before(desk: Desk) -> None:
    desk.run(
        "a model is trained, and serves",
        "run", "--dataset", "image-folder", "--paradigm", "simclr", "--overrides", RECIPE, "--forget-kind", "random",
        "--forget-fraction", "0.1", "--on-inconclusive", "accept_retrained", "--quiet",
    )  # fmt: skip


def _file(desk: Desk, owned: dict[str, list[str]]) -> None:
    asked = [{"id": f"C-{number}", "subject": each, "received": RECEIVED} for number, each in enumerate(ASKING, 1)]
    write_text(desk.folder / "asked.json", json.dumps(asked))
    desk.run("file eight requests", "requests", "import", "asked.json", says="C-8: added")
    picture = f"pictures/{owned['customer-20'][0]}"
    found = _answer(desk.run("which record is this picture?", "requests", "find", "--image", picture, "--json"))
    record = found[0]["record"] if found else "0" * 64
    desk.run(
        "file one for that picture",
        "requests", "add", "--id", "C-9", "--record", record, "--received", RECEIVED, says="C-9: added",
    )  # fmt: skip
    desk.run(
        "file one with a mistyped id",
        "requests", "add", "--id", "C-10", "--subject", "Customer-30", "--received", RECEIVED, says="C-10: added",
    )  # fmt: skip
    desk.run("what is open", "requests", "list", says="C-10")


def _honour(desk: Desk) -> None:
    desk.run(
        "honour them",
        "compliance", "run", "--grace-days", "0", "--run-id", "january", "--quiet",
        says="C-10",
    )  # fmt: skip
    desk.run(
        "correct the mistyped one",
        "requests", "correct", "C-10", "--as", "C-11", "--subject", "customer-30", says="C-11: added",
    )  # fmt: skip
    desk.run("honour that one", "compliance", "run", "--grace-days", "0", "--run-id", "january-2", "--quiet")


def _look_up(desk: Desk) -> None:
    def fulfilled(text: str) -> str:
        return "" if "fulfilled" in text and "certif" in text else "it is not fulfilled and certified"

    desk.run("where does C-1 stand", "requests", "show", "C-1", says=fulfilled)
    desk.run("where is the person now", "requests", "find", "--subject", ASKING[0])
    desk.run("does any version still hold it", "lineage", "pending", "C-1")


def _verify(desk: Desk) -> None:
    certificate = desk.folder / "home" / "store" / "certificates" / "C-1" / "1.json"
    keyring = desk.folder / "home" / "keys" / "keyring.json"
    desk.run("verify the certificate", "verify", str(certificate), "--keyring", str(keyring))
    desk.run("verify the ledger", "ledger", "verify", "--keyring", str(keyring))


def _purge(desk: Desk) -> None:
    desk.run("what would be purged", "purge", "--dry-run", "--now")
    desk.run("purge", "purge", "--now")


def hour(folder: Path) -> tuple[Did, ...]:
    """Everything, one after another."""
    desk = Desk(folder)
    owned = pictures(folder / "pictures")
    _before(desk)
    _file(desk, owned)
    _honour(desk)
    _look_up(desk)
    _verify(desk)
    _purge(desk)
    _verify(desk)
    return tuple(desk.steps)


def page(report: Hour) -> str:
    """The times in Markdown."""
    own = report.seconds - report.steps[0].seconds
    lines = [
        "# A privacy officer's hour",
        "",
        f"A folder of {PICTURES} pictures of {PERSONS} persons, a model that serves, ten requests; commit "
        f"`{report.commit[:12]}`, {report.cores} cores: `python -m benchmarks.officers_hour`. Without the training "
        f"{own / 60:.1f} minutes of waiting.",
        "",
        "| | command | seconds | exit code |",
        "|---|---|---|---|",
        *(f"| {each.what} | `{each.command}` | {each.seconds:.1f} | {each.code} |" for each in report.steps),
        "",
        *(f"- **wrong**: {each.what}: {each.wrong}" for each in report.steps if each.wrong),
    ]
    return "\n".join([*lines, ""])


def main(
    output: Annotated[Path, typer.Option(help="JSON; the page beside it has the same name.")] = Path(
        "benchmarks/results/officers_hour.json"
    ),
) -> None:
    """Do what a privacy officer does, and time it."""
    with tempfile.TemporaryDirectory(prefix="officers-hour-") as folder:
        steps = hour(Path(folder))
    report = Hour(commit=from_environment().commit, cores=os.cpu_count() or 1, steps=steps)
    write_json(output, report.model_dump(mode="json"))
    write_text(output.with_suffix(".md"), page(report))
    for each in steps:
        typer.echo(f"{each.seconds:8.1f} s  exit {each.code}  {each.what}{f': {each.wrong}' if each.wrong else ''}")
    if any(each.wrong for each in steps):
        raise typer.Exit(EXIT_FAILED)


if __name__ == "__main__":
    typer.run(main)
