"""Imports point one way: pipelines → components → unlearning.steps → the rest of unlearning.

The checker reads the source with `ast`; the last tests hold that it does catch what it must.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ORDER = ("unlearning", "unlearning.steps", "components", "pipelines", "unlearning.cli")
"""Each may import itself and what stands before it; the command line stands above everything."""

ONLY_USER = {
    "boto3": {"unlearning.storage.store"},
    "botocore": {"unlearning.storage.store", "unlearning.storage.s3_transfer"},
    "mlflow": {"unlearning.registry.client", "unlearning.registry.artifacts", "unlearning.registry.pyfunc_model"},
    "kubernetes": {"unlearning.cluster.client", "unlearning.cluster.trainjob"},
    "cryptography": {"unlearning.compliance.certificates.keys", "unlearning.compliance.certificates.dsse"},
}
SERVICES = {
    f"unlearning.{name}"
    for name in (
        "store", "object_versions", "transfers", "registry", "versions", "story", "logged_models", "retention",
        "copies", "compliance", "cluster", "trainjob",
    )
}  # fmt: skip
RESULTS = "unlearning.audit.results"
"""What an audit says, as it is written to JSON: no learning code, so services may read it."""
LEARNING = {
    f"unlearning.{name}"
    for name in (
        "audit", "augmentations", "encoders", "evaluation", "input_gradients", "methods", "models",
        "near_duplicates", "paradigms", "training",
    )
}  # fmt: skip
PICKLES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


@dataclass(frozen=True)
class Import:
    """One imported name; `from a import b` counts as `a.b`, whether b is a module or not."""

    name: str
    line: int
    at_top: bool

    def within(self, *packages: str) -> bool:
        return any(self.name == package or self.name.startswith(f"{package}.") for package in packages)


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def statements(node: ast.AST, at_top: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below, with whether it runs when the module is imported."""
    for child in ast.iter_child_nodes(node):
        yield child, at_top
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from statements(child, at_top and not inside)


def names_in(node: ast.AST, package: list[str]) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            base = package[: len(package) - level + 1] if level else []
            start = ".".join([*base, *([module] if module else [])])
            return [f"{start}.{alias.name}" for alias in names]
        case ast.Call(
            func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name]
    return []


def imports_of(path: Path, root: Path) -> list[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = list(path.relative_to(root).parts[:-1])
    return [
        Import(name, getattr(node, "lineno", 0), at_top)
        for node, at_top in statements(tree)
        for name in names_in(node, package)
    ]


def layer_of(name: str) -> int | None:
    """Where a module stands in ORDER; None for other people's modules."""
    fitting = [layer for layer in ORDER if Import(name, 0, True).within(layer)]
    return ORDER.index(max(fitting, key=len)) if fitting else None


def complaints_about_import(module: str, found: Import) -> Iterator[str]:
    here, there = layer_of(module), layer_of(found.name)
    steps_or_cli = Import(module, 0, True).within("unlearning.steps", "unlearning.cli")
    if here is not None and there is not None and there > here:
        yield f"{ORDER[here]} must not import {ORDER[there]}"
    if module.startswith("unlearning") and not steps_or_cli and found.within("kfp"):
        yield "only unlearning.steps and unlearning.cli may import kfp"
    for package, users in ONLY_USER.items():
        if found.within(package) and module not in users:
            yield f"only {' and '.join(sorted(users))} may import {package}"
    is_service = Import(module, 0, True).within(*SERVICES)
    if is_service and found.within(*LEARNING) and not found.within(RESULTS):
        yield "services must not import learning code"
    if Import(module, 0, True).within(*LEARNING) and found.within(*SERVICES):
        yield "learning code must not import services"
    if module.startswith("unlearning") and found.within(*PICKLES):
        yield "pickle is neither read nor written"
    if module.startswith("unlearning") and found.within("torch.load", "torch.save", "torch.serialization"):
        yield "torch.load and torch.save are pickle"
    if module.startswith("components") and found.at_top and found.within("torch"):
        yield "components import torch inside their function, if at all"


def complaints_about_use(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Uses of pickle that need no import of their own."""
    aliases = {"torch"} | {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "torch" and alias.asname
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr="load" | "save" | "serialization") if name in aliases:
                yield node.lineno, "torch.load and torch.save are pickle"
            case ast.keyword(arg="allow_pickle", value=value):
                if not (isinstance(value, ast.Constant) and value.value is False):
                    yield value.lineno, "pickle is neither read nor written"


def sources(root: Path) -> list[Path]:
    return sorted(path for top in ("unlearning", "components", "pipelines") for path in (root / top).rglob("*.py"))


def violations(root: Path) -> list[str]:
    """Every forbidden import or use below `root`, as `file:line: what is wrong`."""
    found = []
    for path in sources(root):
        module, where = module_name(path, root), path.relative_to(root).as_posix()
        for each in imports_of(path, root):
            found += [f"{where}:{each.line}: {wrong} ({each.name})" for wrong in complaints_about_import(module, each)]
        if module.startswith("unlearning"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [f"{where}:{line}: {wrong}" for line, wrong in complaints_about_use(tree)]
    return found


def test_the_imports_of_this_repository_point_one_way() -> None:
    assert violations(ROOT) == []


def test_the_checker_reads_the_sources_of_this_repository() -> None:
    read = {path.relative_to(ROOT).as_posix() for path in sources(ROOT)}
    assert {
        "unlearning/data/records.py",
        "unlearning/learning/training.py",
        "unlearning/learning/paradigms/simclr.py",
    } <= read
    training = {each.name for each in imports_of(ROOT / "unlearning" / "training.py", ROOT)}
    assert {"unlearning.learning.models.Model", "torch", "safetensors.torch.save_file"} <= training


FORBIDDEN = [
    ("unlearning/data/records.py", "import components.train", "unlearning must not import components"),
    ("unlearning/data/records.py", "from unlearning import steps", "unlearning must not import unlearning.steps"),
    ("unlearning/data/records.py", "from . import steps", "unlearning must not import unlearning.steps"),
    ("unlearning/audit/verdict.py", "from ..steps import decide", "unlearning must not import unlearning.steps"),
    ("unlearning/data/records.py", "from unlearning.cli import main", "unlearning must not import unlearning.cli"),
    ("unlearning/steps/train.py", "import pipelines", "unlearning.steps must not import pipelines"),
    ("unlearning/steps/train.py", "from components import train", "unlearning.steps must not import components"),
    ("components/train.py", "from pipelines.unlearning import p", "components must not import pipelines"),
    ("components/train.py", "def f():\n    import unlearning.cli", "components must not import unlearning.cli"),
    ("unlearning/data/records.py", "from kfp import dsl", "only unlearning.steps and unlearning.cli may import kfp"),
    ("unlearning/data/records.py", "def f():\n    import kfp.dsl", "may import kfp"),
    ("unlearning/data/records.py", "import importlib\nimportlib.import_module('kfp')", "may import kfp"),
    ("unlearning/data/records.py", "if True:\n    __import__('kfp.dsl')", "may import kfp"),
    ("unlearning/steps/train.py", "import boto3", "only unlearning.storage.store may import boto3"),
    (
        "pipelines/local/unlearning.py",
        "from botocore.config import Config",
        "unlearning.storage.s3_transfer may import botocore",
    ),
    ("unlearning/cli.py", "import mlflow.pyfunc", "may import mlflow"),
    ("components/promote.py", "def f():\n    import mlflow", "may import mlflow"),
    (
        "unlearning/steps/train.py",
        "from kubernetes import client",
        "only unlearning.cluster.client and unlearning.cluster.trainjob may import kubernetes",
    ),
    ("unlearning/steps/certify.py", "from cryptography import x509", "may import cryptography"),
    (
        "unlearning/registry/client.py",
        "from unlearning.learning.models import Model",
        "services must not import learning code",
    ),
    (
        "unlearning/compliance/ledger/store.py",
        "from unlearning import training",
        "services must not import learning code",
    ),
    ("unlearning/compliance/x.py", "from unlearning.audit import verdict", "services must not import learning code"),
    (
        "unlearning/cluster/client.py",
        "def f():\n    from .audit import verdict",
        "services must not import learning code",
    ),
    ("unlearning/compliance/x.py", "from unlearning import models", "services must not import learning code"),
    (
        "unlearning/learning/near_duplicates.py",
        "from unlearning.compliance import x",
        "learning code must not import services",
    ),
    ("unlearning/learning/training.py", "from unlearning import store", "learning code must not import services"),
    ("unlearning/methods/retrain.py", "import unlearning.registry.client", "learning code must not import services"),
    ("unlearning/audit/__init__.py", "from ..compliance.ledger import x", "learning code must not import services"),
    ("unlearning/data/sources/cifar.py", "def f():\n    import pickle", "pickle is neither read nor written"),
    ("unlearning/data/sources/cifar.py", "import joblib as j", "pickle is neither read nor written"),
    ("unlearning/learning/models.py", "import torch\ntorch.load('x')", "torch.load and torch.save are pickle"),
    (
        "unlearning/learning/models.py",
        "import torch as t\ndef f():\n    t.save(1, 'x')",
        "torch.load and torch.save are pickle",
    ),
    ("unlearning/learning/models.py", "from torch import load", "torch.load and torch.save are pickle"),
    (
        "unlearning/learning/models.py",
        "import numpy\nnumpy.load('x', allow_pickle=True)",
        "pickle is neither read nor written",
    ),
    ("components/train.py", "import torch", "components import torch inside their function"),
    ("components/train.py", "if True:\n    from torch import nn", "components import torch inside their function"),
    ("components/train.py", "class A:\n    import torch.nn", "components import torch inside their function"),
]


@pytest.mark.parametrize(("file", "code", "wrong"), FORBIDDEN)
def test_the_checker_catches_a_forbidden_import(tmp_path: Path, file: str, code: str, wrong: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(code)
    (complaint,) = violations(tmp_path)
    assert complaint.startswith(f"{file}:")
    assert wrong in complaint


ALLOWED = [
    ("pipelines/unlearning.py", "from components import train\nfrom unlearning.steps import train\nimport kfp"),
    ("components/train.py", "from kfp import dsl\ndef f():\n    import torch\n    from unlearning.steps import train"),
    ("unlearning/steps/train.py", "from unlearning import store, training\nfrom . import data\nimport kfp.dsl"),
    ("unlearning/cli.py", "from unlearning.steps import train\nimport kfp, pipelines.compile"),
    ("unlearning/storage/store.py", "import boto3, botocore.exceptions\nfrom unlearning.core.files import new_folder"),
    ("unlearning/registry/client.py", "from mlflow import MlflowClient\nfrom unlearning.core.errors import UserError"),
    ("unlearning/registry/pyfunc_model.py", "import mlflow\nfrom unlearning import models"),
    ("unlearning/cluster/client.py", "from kubernetes import client"),
    ("unlearning/compliance/x.py", "from unlearning.audit.results import Interval\nfrom unlearning import store"),
    ("unlearning/compliance/certificates/keys.py", "from cryptography.hazmat.primitives import serialization"),
    (
        "unlearning/learning/models.py",
        "import torch\nfrom safetensors.torch import load_file\nfrom unlearning.stores import x",
    ),
    (
        "unlearning/learning/models.py",
        "import numpy\nnumpy.load('x', allow_pickle=False)\nmodel.load('y')\nimport kfpx",
    ),
]


@pytest.mark.parametrize(("file", "code"), ALLOWED, ids=[file for file, _ in ALLOWED])
def test_the_checker_lets_the_intended_imports_pass(tmp_path: Path, file: str, code: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(code)
    assert violations(tmp_path) == []
