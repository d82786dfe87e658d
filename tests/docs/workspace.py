"""Where the commands of the documentation run: a folder that looks like a checkout in which `make run` was done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.docs.pages import ROOT

LINKED = ("Makefile", "pyproject.toml", "benchmarks", "components", "examples", "images", "manifests", "pipelines")
PROGRAMS = ("python", "unlearn", "mlflow", "pytest", "mkdocs")
STAMPS = ("run.stamp", "dev.stamp")
FOREIGN = ("UNLEARNING_", "MLFLOW_", "AWS_", "KUBE")
ALONE = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost"}
"""No command reaches another machine: nothing listens at port 9."""
KEPT = (*LINKED, "docs", ".venv")
PICTURES = 400


@dataclass(frozen=True)
class Result:
    """What a command gave."""

    code: int
    out: str
    err: str
    seconds: float


class Runner:
    """The process that runs commands, see `tests.docs.runner`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(
        self, folder: Path, variables: Mapping[str, str], steps: Sequence[tuple[dict[str, Any], int]]
    ) -> list[Result]:
        """Do steps, each with the exit code it should end with; results up to the first that does not."""
        with tempfile.NamedTemporaryFile() as results:
            job = {
                "folder": str(folder),
                "variables": dict(variables),
                "steps": [{"do": step, "code": code} for step, code in steps],
                "results": results.name,
            }
            assert self._process.stdin
            assert self._process.stdout
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            ended = self._process.stdout.readline().strip()
            assert ended == "0", f"the runner ended with {ended!r}"
            return [Result(**each) for each in json.loads(Path(results.name).read_text())]


@contextmanager
def running() -> Iterator[Runner]:
    """A runner without the settings of this process."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.docs.runner"],
        cwd=ROOT,
        env=ours | ALONE | {"PYTHONPATH": path, "PATH": programs, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Runner(process)
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait(timeout=60)


def make(folder: Path) -> None:
    """A checkout's files, and a virtual environment that make takes for its own: no command installs anything."""
    folder.mkdir(parents=True)
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "docs", folder / "docs")
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in PROGRAMS:
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec "{Path(sys.executable).parent / name}" "$@"\n')
        script.chmod(0o755)
    for name in STAMPS:
        (folder / ".venv" / name).touch()


def restore(folder: Path, finished: Path | None) -> None:
    """Only a checkout's files, and what is in `finished`. Paths stay the same: MLflow's database holds whole ones."""
    for path in folder.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if finished is not None:
        shutil.copytree(finished, folder, dirs_exist_ok=True, symlinks=True)


def keep(folder: Path, finished: Path) -> None:
    """Copy what commands have made."""
    shutil.copytree(folder, finished, symlinks=True, ignore=shutil.ignore_patterns(*KEPT))


def make_pictures(folder: Path) -> None:
    """Digits as PNG files of two classes, of two persons."""
    from PIL import Image

    from unlearning.data.sources.digits import digits

    images = digits(folder).records.images[:PICTURES, 0].numpy()
    rows = ["file,subject"]
    for number, image in enumerate(images):
        name = f"{'cats' if number % 2 else 'dogs'}/{number:04}.png"
        path = folder / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        rows.append(f"{name},customer-{4711 if number % 100 == 0 else number}")
    (folder / "pictures" / "subjects.csv").write_text("\n".join(rows) + "\n")
