"""Compile every pipeline to YAML that can be uploaded in the Kubeflow Pipelines UI."""

from pathlib import Path
from typing import Annotated

import typer
from kfp import compiler

from pipelines.compliance import compliance
from pipelines.pretraining import pretraining
from pipelines.unlearning import unlearning

PIPELINES = {"pretraining": pretraining, "unlearning": unlearning, "compliance": compliance}


def compile_all(folder: Path) -> list[Path]:
    """Write `<name>.yaml` for every pipeline; the same sources give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, pipeline in PIPELINES.items():
        path = folder / f"{name}.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        written.append(path)
    return written


def main(folder: Annotated[Path, typer.Argument(help="Where the YAML goes.")] = Path("build/pipelines")) -> None:
    """Compile every pipeline."""
    for path in compile_all(folder):
        print(path)


if __name__ == "__main__":
    typer.run(main)
