"""Mutants: one token of a module is changed at a time, and the test file that mirrors it must notice.

    python -m benchmarks.mutants --count 60 --seed 1 --out mutants.json

The modules are those whose errors would be told as truths: methods, audit, escalation, ledger, certificates, splits.
Every mutant is tried in a copy of the sources; the repository itself is never changed.
"""

from __future__ import annotations

import ast
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

ROOT = Path(__file__).parents[1]
PLACES = (
    "unlearning/methods/*.py", "unlearning/audit/*.py", "unlearning/audit/attacks/*.py",
    "unlearning/audit/references/*.py", "unlearning/compliance/ledger/*.py", "unlearning/compliance/certificates/*.py",
    "unlearning/data/splits.py", "unlearning/learning/input_gradients.py",
)  # fmt: skip
CHANGES = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "+": "-", "-": "+", "*": "/", "/": "*",
    "and": "or", "or": "and", "True": "False", "False": "True", "0": "1", "1": "2", "2": "3", "0.5": "0.6",
    "min": "max", "max": "min", "any": "all", "all": "any", "is": "is not", "in": "not in", "not": "",
}  # fmt: skip
"""What becomes of a token."""
PATIENCE = 300


class Mutant(NamedTuple):
    """One changed token."""

    path: str
    line: int
    column: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.before} -> {self.after or 'nothing'}"


def mirror(path: Path) -> Path:
    """The test file of a module."""
    return Path("tests") / path.parent / f"test_{path.name}"


def _annotations(tree: ast.AST) -> Iterator[tuple[int, int]]:
    """Lines of annotations and of signatures' types, where a changed token changes nothing that runs."""
    for node in ast.walk(tree):
        for each in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(each, ast.AST) and hasattr(each, "lineno"):
                last = getattr(each, "end_lineno", None)
                yield each.lineno, last or each.lineno


def mutants_of(path: Path, source: str) -> list[Mutant]:
    """Every single-token mutant of a module that still is Python."""
    skipped = {line for first, last in _annotations(ast.parse(source)) for line in range(first, last + 1)}
    lines, found = source.splitlines(keepends=True), []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        after = CHANGES.get(token.string)
        (line, column), wanted = token.start, token.type in (tokenize.OP, tokenize.NAME, tokenize.NUMBER)
        if (
            not wanted
            or after is None
            or line in skipped
            or lines[line - 1].lstrip().startswith(("for ", "import ", "from ", "def ", "*,"))
        ):
            continue
        mutant = Mutant(path.as_posix(), line, column, token.string, after)
        try:
            compile(changed(source, mutant), path.name, "exec")
        except SyntaxError:
            continue
        found.append(mutant)
    return found


def changed(source: str, mutant: Mutant) -> str:
    """The source with the token changed."""
    lines = source.splitlines(keepends=True)
    text = lines[mutant.line - 1]
    end = mutant.column + len(mutant.before)
    lines[mutant.line - 1] = f"{text[: mutant.column]}{mutant.after}{text[end:]}"
    return "".join(lines)


def drawn(count: int, seed: int) -> list[Mutant]:
    """As many as asked for, spread over the modules that have a mirrored test."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    pools = []
    for pattern in PLACES:
        for path in sorted(ROOT.glob(pattern)):
            relative = path.relative_to(ROOT)
            if (ROOT / mirror(relative)).exists():
                pools.append(mutants_of(relative, path.read_text(encoding="utf-8")))
    for pool in pools:
        draw.shuffle(pool)
    draw.shuffle(pools)
    found: list[Mutant] = []
    while len(found) < count and any(pools):
        for pool in pools:
            if pool and len(found) < count:
                found.append(pool.pop())
    return found


def killed(mutant: Mutant, copy: Path) -> bool:
    """Whether the mirrored test file fails, or does not come to its end."""
    path = copy / mutant.path
    source = path.read_text(encoding="utf-8")
    path.write_text(changed(source, mutant), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", str(mirror(Path(mutant.path)))]
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            command, cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)}, capture_output=True, timeout=PATIENCE,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(source, encoding="utf-8")
    return done.returncode != 0


def main(
    count: Annotated[int, typer.Option(min=1)] = 60,
    seed: int = 0,
    out: Annotated[Path, typer.Option(help="JSON with every mutant and whether it was killed.")] = Path("mutants.json"),
) -> None:
    """Make mutants, try each, and tell which survived."""
    found, survivors = drawn(count, seed), []
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy"
        shutil.copytree(
            ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "runs", "data.tmp", "__pycache__", "build")
        )
        rows = []
        for number, mutant in enumerate(found, 1):
            dead = killed(mutant, copy)
            rows.append(mutant._asdict() | {"killed": dead})
            survivors += [] if dead else [mutant]
            print(f"{number}/{len(found)} {'killed  ' if dead else 'SURVIVED'} {mutant}", flush=True)
            out.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(f"{len(found) - len(survivors)} of {len(found)} killed")


if __name__ == "__main__":
    typer.run(main)
