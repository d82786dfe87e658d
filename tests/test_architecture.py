"""Imports point one way; each package of the library names those that it may import.

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

LEARNING = ("core", "data", "learning", "methods", "audit", "recipes")
SERVICES = ("core", "data", "storage", "registry", "reporting", "compliance", "lineage")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "core": (),
    "data": ("core",),
    "learning": ("core", "data"),
    "methods": ("core", "data", "learning"),
    "audit": ("core", "data", "learning"),
    "recipes": LEARNING,
    "storage": ("core", "data"),
    "registry": ("core", "data", "storage"),
    "cluster": ("core",),
    "reporting": ("core", "data", "storage", "registry"),
    "compliance": SERVICES[:-1],
    "lineage": SERVICES,
    "steps": (*LEARNING, *SERVICES, "cluster"),
}
"""By package of the library, the others that it may import."""

PLAIN_AUDIT = ("results", "inspection_results", "qualification_results", "escalation", "power", "statistics")
"""Modules of `audit` that hold what an audit says, as it is written to JSON, and no learning code: services read it."""

EXCEPTIONS = {"unlearning.registry.pyfunc_model": {"unlearning.learning.models"}}
"""What MLflow loads to serve a model."""

ONLY_USER = {
    "boto3": {"unlearning.storage.s3"},
    "botocore": {"unlearning.storage.s3", "unlearning.storage.s3_transfer"},
    "mlflow": {"unlearning.registry.client", "unlearning.registry.artifacts", "unlearning.registry.pyfunc_model"},
    "kubernetes": {"unlearning.cluster.client", "unlearning.cluster.trainjob"},
    "cryptography": {"unlearning.compliance.certificates.keys", "unlearning.compliance.certificates.dsse"},
}
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
    yield from complaints_about_packages(module, found)
    if module.startswith("unlearning") and found.within(*PICKLES):
        yield "pickle is neither read nor written"
    if module.startswith("unlearning") and found.within("torch.load", "torch.save", "torch.serialization"):
        yield "torch.load and torch.save are pickle"
    if module.startswith("components") and found.at_top and found.within("torch"):
        yield "components import torch inside their function, if at all"


def package_of(name: str) -> str:
    """The package of the library that a module is in; empty for anything else."""
    parts = name.split(".")
    return parts[1] if parts[0] == "unlearning" and len(parts) > 1 and parts[1] in {*MAY_IMPORT, "cli"} else ""


def complaints_about_packages(module: str, found: Import) -> Iterator[str]:
    here, there = package_of(module), package_of(found.name)
    if here not in MAY_IMPORT or not there or there == "cli":
        return
    if here == "steps" == there and not found.within(module):
        yield "no step imports a step"
    if there in (here, *MAY_IMPORT[here]) or found.name.rpartition(".")[0] in EXCEPTIONS.get(module, ()):
        return
    if found.name in EXCEPTIONS.get(module, ()):
        return
    plain = found.within(*(f"unlearning.audit.{name}" for name in PLAIN_AUDIT))
    if not (plain and here in SERVICES[2:]) and there != "steps":
        yield f"unlearning.{here} must not import unlearning.{there}"


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


FOLDERS = (
    "batches", "certificates", "ledger", "ledger-checkpoints", "locks", "open", "references", "requests", "same",
    "seals", "snapshots", "splits", "tombstones",
)  # fmt: skip
"""The folders of the store."""


def complaints_about_words(module: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Keys of the store and tags of versions are spelled in one place each."""
    keys, tags = module == "unlearning.storage.keys", module == "unlearning.registry.tags"
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if not keys and text.startswith(tuple(f"{each}/" for each in FOLDERS)):
                yield node.lineno, "only unlearning.storage.keys spells a key"
            case ast.Call(
                func=ast.Attribute(attr="list" | "iterate" | "purge" | "measure"), args=[ast.Constant(value=text)]
            ) if not keys and text in FOLDERS:
                yield node.lineno, "only unlearning.storage.keys spells a key"
            case ast.Constant(value="request." | "certificate.") if not tags:
                yield node.lineno, "only unlearning.registry.tags spells a tag"
            case ast.Subscript(value=ast.Attribute(attr="tags"), slice=ast.Constant(value=str())) if not tags:
                yield node.lineno, "only unlearning.registry.tags spells a tag"
            case ast.Call(func=ast.Attribute(attr="set_tags"), args=[*_, ast.Dict()]) if not tags:
                yield node.lineno, "only unlearning.registry.tags spells a tag"


def sources(root: Path) -> list[Path]:
    return sorted(path for top in ("unlearning", "components", "pipelines") for path in (root / top).rglob("*.py"))


def violations(root: Path) -> list[str]:
    """Every forbidden import or use below `root`, as `file:line: what is wrong`."""
    found = []
    for path in sources(root):
        module, where = module_name(path, root), path.relative_to(root).as_posix()
        for each in imports_of(path, root):
            found += [f"{where}:{each.line}: {wrong} ({each.name})" for wrong in complaints_about_import(module, each)]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        used = complaints_about_use(tree) if module.startswith("unlearning") else ()
        found += [f"{where}:{line}: {wrong}" for line, wrong in (*used, *complaints_about_words(module, tree))]
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
    training = {each.name for each in imports_of(ROOT / "unlearning" / "learning" / "training.py", ROOT)}
    assert {"unlearning.learning.models.Model", "torch", "unlearning.learning.checkpoint.Checkpoint"} <= training


FORBIDDEN = [
    ("unlearning/data/records.py", "import components.train", "unlearning must not import components"),
    ("unlearning/data/records.py", "from unlearning import steps", "unlearning must not import unlearning.steps"),
    ("unlearning/data/records.py", "from .. import steps", "unlearning must not import unlearning.steps"),
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
    ("unlearning/steps/train.py", "import boto3", "only unlearning.storage.s3 may import boto3"),
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
    ("unlearning/core/files.py", "from unlearning.data import x", "unlearning.core must not import unlearning.data"),
    ("unlearning/data/a.py", "from unlearning.learning.models import M", "data must not import unlearning.learning"),
    ("unlearning/learning/a.py", "import unlearning.storage.store", "learning must not import unlearning.storage"),
    ("unlearning/methods/a.py", "from unlearning.audit import x", "methods must not import unlearning.audit"),
    ("unlearning/audit/a.py", "from ..compliance.ledger import x", "audit must not import unlearning.compliance"),
    ("unlearning/audit/a.py", "from unlearning.recipes import x", "audit must not import unlearning.recipes"),
    ("unlearning/recipes/a.py", "import unlearning.registry.client", "recipes must not import unlearning.registry"),
    ("unlearning/storage/a.py", "from unlearning.registry import x", "storage must not import unlearning.registry"),
    (
        "unlearning/registry/client.py",
        "from unlearning.learning.models import M",
        "must not import unlearning.learning",
    ),
    ("unlearning/registry/a.py", "from unlearning.reporting import x", "must not import unlearning.reporting"),
    ("unlearning/reporting/a.py", "from unlearning.compliance import x", "must not import unlearning.compliance"),
    ("unlearning/compliance/a.py", "from unlearning.audit import verdict", "must not import unlearning.audit"),
    ("unlearning/compliance/a.py", "from unlearning.recipes import provenance", "must not import unlearning.recipes"),
    ("unlearning/compliance/a.py", "from unlearning.lineage import x", "must not import unlearning.lineage"),
    ("unlearning/cluster/a.py", "def f():\n    from ..audit import results", "must not import unlearning.audit"),
    ("unlearning/steps/a.py", "from unlearning.steps.b import x", "no step imports a step"),
    ("unlearning/steps/a.py", "from . import b", "no step imports a step"),
    ("unlearning/lineage/a.py", "key = f'ledger/{request}'", "only unlearning.storage.keys spells a key"),
    ("unlearning/steps/a.py", "store.exists('snapshots/a.complete')", "only unlearning.storage.keys spells a key"),
    ("unlearning/compliance/a.py", "store.list('tombstones')", "only unlearning.storage.keys spells a key"),
    ("pipelines/a.py", "name = 'request.' + request", "only unlearning.registry.tags spells a tag"),
    ("unlearning/lineage/a.py", "version.tags['kind']", "only unlearning.registry.tags spells a tag"),
    (
        "components/a.py",
        "registry.set_tags(version, {'status': 'purged'})",
        "only unlearning.registry.tags spells a tag",
    ),
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
    ("unlearning/steps/train.py", "from unlearning import store, training\nimport kfp.dsl"),
    ("unlearning/cli.py", "from unlearning.steps import train\nimport kfp, pipelines.compile"),
    ("unlearning/storage/s3.py", "import boto3, botocore.exceptions\nfrom unlearning.core.files import new_folder"),
    ("unlearning/storage/keys.py", "LEDGER = 'ledger'\nkey = f'ledger/{request}'"),
    ("unlearning/compliance/a.py", "message = f'ledger of {request}'\nopen('requests.json')"),
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


def test_no_class_name_stands_twice() -> None:
    """One class name, one meaning."""
    named: dict[str, list[str]] = {}
    for path in (
        each for top in ("unlearning", "components", "pipelines", "benchmarks") for each in (ROOT / top).rglob("*.py")
    ):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                named.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    assert {name: places for name, places in named.items() if len(places) > 1} == {}
