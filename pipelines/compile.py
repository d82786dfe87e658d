"""Compile every pipeline to YAML that can be uploaded in the Kubeflow Pipelines UI."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from kfp import compiler

from pipelines.deduplicate import deduplicate
from unlearning.core.files import write_text

PIPELINES = ("pretraining", "qualification", "unlearning", "compliance")
"""Their names: each stands in a module of its own, and takes seconds to import, as KFP draws its graph."""


def load(name: str) -> Any:
    """The KFP graph component of a pipeline."""
    return getattr(import_module(f"pipelines.{name}"), name)


def compile_all(folder: Path) -> list[Path]:
    """Write `<name>.yaml` for every pipeline; the same sources give the same bytes."""
    return [compile_one(name, folder) for name in PIPELINES]


def compile_one(name: str, folder: Path) -> Path:
    """Write `<name>.yaml`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    compiler.Compiler().compile(load(name), str(path))
    write_text(path, deduplicate(path.read_text(encoding="utf-8")))
    return path


def main(folder: Annotated[Path, typer.Argument(help="Where the YAML goes.")] = Path("build/pipelines")) -> None:
    """Compile every pipeline."""
    for path in compile_all(folder):
        print(path)


if __name__ == "__main__":
    typer.run(main)
