"""`python -m images.lock`: the exact versions and hashes that go into the image, from pyproject.toml."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "images"
FULL = FOLDER / "requirements-cuda.lock"
SMALL = FOLDER / "requirements-cpu.lock"
TOOLS = FOLDER / "tools.lock"

GPU_ONLY = ("cuda-bindings", "cuda-pathfinder", "nvidia-nvtx", "triton")
"""Packages that torch uses on a GPU only. The other CUDA libraries are linked: torch does not load without them."""

ENTRY = re.compile(r"^(?P<name>[a-z0-9][a-z0-9-]*)==", re.MULTILINE)


def entries(text: str) -> list[tuple[str, str]]:
    """Name and lines of every entry of a lock file; a package has several where versions depend on Python."""
    starts = [*ENTRY.finditer(text)]
    ends = [*(start.start() for start in starts[1:]), len(text)]
    return [(start["name"], text[start.start() : end]) for start, end in zip(starts, ends, strict=True)]


def without(text: str, names: Sequence[str]) -> str:
    """A lock file less some packages.

    Raises:
        ValueError: one of them is not in it.
    """
    found = entries(text)
    missing = {*names} - {name for name, _ in found}
    if missing:
        raise ValueError(f"not in the lock file: {', '.join(sorted(missing))}")
    return text[: text.index(found[0][1])] + "".join(lines for name, lines in found if name not in names)


def compile_lock(source: Path, target: Path, *options: str) -> None:
    """Resolve for every supported Python at once. Hashes are the package index's own, of every file of a version."""
    command = [
        sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config",
        "--universal", "--python-version", "3.11",
        "--generate-hashes", "--no-annotate", "--no-emit-index-url", "--custom-compile-command", "make lock",
        *options, "--output-file", str(target.relative_to(ROOT)), str(source.relative_to(ROOT)),
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - fixed arguments, no shell


def main(options: Annotated[list[str] | None, typer.Argument(help="For uv, after --: `-- --upgrade`.")] = None) -> None:
    """Write every lock file anew; versions stay as they are unless pyproject.toml or `--upgrade` asks for others."""
    compile_lock(ROOT / "pyproject.toml", FULL, "--extra", "server", *(options or []))
    compile_lock(FOLDER / "tools.in", TOOLS, *(options or []))
    SMALL.write_text(without(FULL.read_text(), GPU_ONLY))
    for path in (FULL, SMALL, TOOLS):
        typer.echo(f"{path.relative_to(ROOT)}: {len(entries(path.read_text()))} entries")


if __name__ == "__main__":
    typer.run(main)
