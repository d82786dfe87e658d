"""Compile every pipeline to YAML that can be uploaded in the Kubeflow Pipelines UI."""

from pathlib import Path
from typing import Annotated

import typer
from kfp import compiler

from pipelines.compliance import compliance
from pipelines.deduplicate import deduplicate
from pipelines.pretraining import pretraining
from pipelines.unlearning import unlearning
from unlearning.core.files import write_text

PIPELINES = {"pretraining": pretraining, "unlearning": unlearning, "compliance": compliance}


def compile_all(folder: Path) -> list[Path]:
    """Write `<name>.yaml` for every pipeline; the same sources give the same bytes."""
    return [compile_one(name, folder) for name in PIPELINES]


def compile_one(name: str, folder: Path) -> Path:
    """Write `<name>.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    compiler.Compiler().compile(PIPELINES[name], str(path))
    write_text(path, deduplicate(path.read_text(encoding="utf-8")))
    return path


def main(folder: Annotated[Path, typer.Argument(help="Where the YAML goes.")] = Path("build/pipelines")) -> None:
    """Compile every pipeline."""
    for path in compile_all(folder):
        print(path)


if __name__ == "__main__":
    typer.run(main)
