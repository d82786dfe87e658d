"""A pipeline as it is sent to Kubeflow, and its parameters checked before anything is sent."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.parameters import FORMS
from unlearning.core import config
from unlearning.core.errors import UserError

TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}
"""Python types of a parameter, by its type in the pipeline's specification."""


@dataclass(frozen=True)
class Package:
    """A compiled pipeline: its specification, and what Kubernetes is told about its tasks."""

    name: str
    spec: dict[str, Any]
    platform: dict[str, Any]

    @property
    def body(self) -> dict[str, Any]:
        """`pipeline_spec` of a run: both documents where there are Kubernetes settings."""
        return {"pipeline_spec": self.spec, "platform_spec": self.platform} if self.platform else self.spec

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """Declared parameters by name, as the specification has them."""
        found: dict[str, dict[str, Any]] = self.spec["root"].get("inputDefinitions", {}).get("parameters", {})
        return found

    def digest(self, *more: object) -> str:
        """SHA-256 over the package and what it is run with."""
        text = json.dumps([self.body, *more], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def uncached(self) -> Package:
        """The same, with every step done anew."""
        spec = json.loads(json.dumps(self.spec))
        for part in [spec["root"], *spec.get("components", {}).values()]:
            for task in part.get("dag", {}).get("tasks", {}).values():
                task["cachingOptions"] = {}
        return Package(self.name, spec, self.platform)


def read(path: Path) -> Package:
    """A package that `make pipelines` wrote.

    Raises:
        UserError: there is no such file, or it is not a compiled pipeline.
    """
    try:
        documents = list(yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    spec = documents[0] if documents else None
    if not isinstance(spec, dict) or not isinstance(spec.get("root"), dict) or "pipelineInfo" not in spec:
        raise UserError(f"{path} is not a compiled pipeline: `make pipelines` writes them")
    platform = documents[1] if len(documents) > 1 and isinstance(documents[1], dict) else {}
    return Package(spec["pipelineInfo"]["name"], spec, platform)


def compiled(name: str) -> Package:
    """One of our pipelines, compiled in this process.

    Raises:
        UserError: no pipeline has this name.
    """
    from pipelines.compile import PIPELINES, compile_one

    if name not in PIPELINES:
        raise UserError(f"no pipeline is called {name!r}: there are {', '.join(sorted(PIPELINES))}")
    with tempfile.TemporaryDirectory() as folder:
        return read(compile_one(name, Path(folder)))


def _from_text(name: str, text: str, kind: str) -> Any:
    if kind == "STRING":
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise UserError(f"parameter {name}: {text!r} is not a {kind}, written as in JSON") from None


LONGEST = 10_000
"""Characters of a parameter's value that Kubeflow's server takes."""


def checked(package: Package, texts: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters to send: `values` from a file, and `texts` from the command line laid over them.

    Raises:
        UserError: a name is unknown, a value has the wrong type or is too long, or one without default is missing.
    """
    declared = package.parameters
    for name in sorted({*texts, *values} - declared.keys()):
        raise UserError(f"pipeline {package.name} has no parameter {name!r}: it has {', '.join(sorted(declared))}")
    given = dict(values)
    given |= {name: _from_text(name, text, declared[name]["parameterType"]) for name, text in texts.items()}
    for name, value in list(given.items()):
        kind = declared[name]["parameterType"]
        if kind == "STRING" and isinstance(value, int) and not isinstance(value, bool):
            given[name] = value = str(value)  # a file's YAML says 1 where the text 1 is meant
        fits = isinstance(value, TYPES.get(kind, (object,)))
        if not fits or (isinstance(value, bool) and kind.startswith("NUMBER")):
            raise UserError(f"parameter {name} must be a {kind}, not {value!r}")
    _check_values(package.name, given)
    for name, value in given.items():
        length = len(value if isinstance(value, str) else json.dumps(value))
        if length > LONGEST:
            raise UserError(
                f"parameter {name} has {length} characters, and Kubeflow takes {LONGEST}: many records are erased by "
                "requests (`unlearn requests import`), and settings belong in a recipe"
            )
    for name, declaration in declared.items():
        optional = declaration.get("isOptional") or "defaultValue" in declaration
        if name not in given and not optional:
            raise UserError(f"pipeline {package.name} needs the parameter {name}: give --param {name}=…")
    return given


def _check_values(pipeline: str, given: Mapping[str, Any]) -> None:
    """Bounds and choices of our own pipelines' parameters; another pipeline's are its own."""
    for kind in FORMS.get(pipeline, {}).values():
        config.checked(kind, {name: value for name, value in given.items() if name in kind.model_fields})
