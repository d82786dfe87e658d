"""MLflow's client as far as the registry uses it, in memory: for histories of many steps, where each of the real
thing's would take a second. The registry's own tests hold what it stands for."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST


class Paged(list[Any]):
    token = None


@dataclass
class Model:
    aliases: dict[str, str] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    made: int = 0
    description: str = ""


class Client:
    """What `mlflow.MlflowClient` does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models: dict[str, Model] = {}
        self.runs: dict[str, Any] = {}
        self.logged: dict[str, Any] = {}

    def register(self, name: str, tags: dict[str, str], weights: bytes, documents: dict[str, bytes], at: float) -> str:
        """What `mlflow.register_model` and what goes before it leave; returns the number."""
        number = len(self.runs) + 1
        run, logged = f"run{number}", f"m-{number}"
        place = self.folder / "models" / logged / "artifacts"
        for path, content in {"model/weights.safetensors": weights, **documents}.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(content)
        for path, content in documents.items():
            kept = self.folder / "runs" / run / path
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(content)
        self.runs[run] = SimpleNamespace(info=SimpleNamespace(run_id=run), data=SimpleNamespace(tags=dict(tags)))
        self.logged[logged] = SimpleNamespace(
            model_id=logged, artifact_location=str(place), creation_timestamp=1000 * at, source_run_id=run
        )
        model = self.models.setdefault(name, Model())
        model.made += 1
        model.versions[str(model.made)] = SimpleNamespace(
            name=name,
            version=str(model.made),
            tags={**tags, "run": run},
            source=f"models:/{logged}",
            run_id=run,
            description="",
            creation_timestamp=1000 * at,
        )
        return str(model.made)

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="1", name=name)

    def search_registered_models(self, page_token: str | None = None) -> Paged:
        assert page_token is None
        return Paged(SimpleNamespace(name=name) for name in self.models)

    def get_registered_model(self, name: str) -> Any:
        return SimpleNamespace(name=name, aliases=dict(self.models[name].aliases))

    def search_model_versions(self, condition: str, *_: Any) -> Paged:
        named = re.findall(r"(?:^| AND )name = '([^']*)'", condition)
        tagged = re.findall(r"tags\.`([^`]*)` = '([^']*)'", condition)
        assert named or tagged, condition
        found = [each for model in self.models.values() for each in model.versions.values()]
        fits = [each for each in found if all(each.name == name for name in named)]
        fits = [each for each in fits if all(each.tags.get(key) == value for key, value in tagged)]
        return Paged(SimpleNamespace(**{**vars(each), "tags": dict(each.tags)}) for each in fits)

    def set_model_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        self.models[name].versions[version].tags[key] = value

    def delete_model_version_tag(self, name: str, version: str, key: str) -> None:
        self.models[name].versions[version].tags.pop(key, None)

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        self.models[name].aliases[alias] = version

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        self.models[name].aliases.pop(alias, None)

    def delete_model_version(self, name: str, version: str) -> None:
        model = self.models[name]
        model.versions.pop(version)
        model.aliases = {alias: number for alias, number in model.aliases.items() if number != version}

    def update_model_version(self, name: str, version: str, description: str) -> None:
        self.models[name].versions[version].description = description

    def update_registered_model(self, name: str, description: str) -> None:
        self.models[name].description = description

    def search_runs(self, experiments: list[str], condition: str, *_: Any, **__: Any) -> Paged:
        assert experiments == ["1"]
        wanted = re.findall(r"'([^']*)'", condition)
        return Paged(self.runs[run] for run in wanted if run in self.runs)

    def get_run(self, run: str) -> Any:
        return self.runs[run]

    def search_logged_models(self, experiments: list[str], page_token: str | None = None) -> Paged:
        assert (experiments, page_token) == (["1"], None)
        return Paged(self.logged.values())

    def get_logged_model(self, identity: str) -> Any:
        if identity not in self.logged:
            raise MlflowException(f"no {identity}", RESOURCE_DOES_NOT_EXIST)
        return self.logged[identity]

    def list_artifacts(self, run: str) -> list[Any]:
        return [SimpleNamespace(path=path.name) for path in (self.folder / "runs" / run).glob("*")]

    def download_artifacts(self, run: str, name: str, folder: str) -> str:
        return shutil.copy(self.folder / "runs" / run / name, folder)
