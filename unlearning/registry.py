"""The only user of MLflow: versions of a model, what each came from, and which one serves.

One registered model holds the original and everything unlearned from it. A version is made in an
MLflow run whose inputs are the parent's logged model and the datasets, and whose output is the new
logged model; the same links stand in searchable tags. `champion` is the version that serves,
`superseded` the one it replaced last.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
import numpy as np
import requests
import sqlalchemy
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import Schema, TensorSpec

from unlearning.config import Config
from unlearning.errors import UserError

# Table creation and "model already exists" are not news to whoever reads a step's log.
logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("alembic").setLevel(logging.ERROR)

CHAMPION = "champion"
SUPERSEDED = "superseded"
EXPERIMENT = "unlearning"
MOST_TEXT = 5000
"""Characters of a description that every database takes."""

NOT_IN_NAMES = frozenset("'/:")

PACKAGE = Path(__file__).parent
REQUIREMENTS = ("torch", "safetensors", "pydantic", "numpy")


class Version(Config):
    """A registered version, as lineage queries return it."""

    name: str
    version: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
    description: str


@dataclass(frozen=True)
class DatasetLink:
    """A dataset of a run, by role and digest; no pixels and no ids go to MLflow."""

    role: str
    digest: str
    records: int
    source: str


@dataclass(frozen=True)
class NewVersion:
    """A version to register.

    `operation` identifies the work that made it: registering the same operation again returns the
    version that exists. `folder` holds the model, `files` what is shown on its page.
    """

    name: str
    operation: str
    kind: str
    folder: Path
    digest: str
    image_shape: tuple[int, int, int]
    tags: Mapping[str, str]
    description: str
    parent: Version | None = None
    datasets: tuple[DatasetLink, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


@contextmanager
def _reachable(uri: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        # MLflow quotes the address it called, credentials included.
        credentials = _credentials(uri)
        text = str(error).replace(credentials, "") if credentials else str(error)
        reason = (text.splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"MLflow at {_without_password(uri)}: {reason}; check MLFLOW_TRACKING_URI and the server"
        ) from error


def _credentials(uri: str) -> str:
    """`user:password@` of a URI that holds them, otherwise nothing."""
    _, separator, rest = uri.partition("://")
    user, at, _ = rest.rpartition("@")
    return f"{user}{at}" if separator else ""


def _without_password(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}://{rest.removeprefix(_credentials(uri))}" if separator else uri


class Registry:
    """The registry behind one tracking URI."""

    def __init__(self, tracking_uri: str) -> None:
        self.uri = tracking_uri
        with _reachable(tracking_uri):
            self._prepare()
            self._select()
            self.client = mlflow.MlflowClient(tracking_uri)
            self.experiment = self._experiment()

    @property
    def shown_uri(self) -> str:
        """The tracking URI without credentials, for people and logs."""
        return _without_password(self.uri)

    def _prepare(self) -> None:
        if self.uri.startswith("sqlite:///"):
            Path(self.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)

    def _select(self) -> None:
        """MLflow's own functions, unlike its client, talk to one server per process: this one."""
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)

    @contextmanager
    def connected(self) -> Iterator[None]:
        """For whoever asks MLflow itself: its own functions talk to this server, and failures are UserErrors."""
        with _reachable(self.uri):
            self._select()
            yield

    def _experiment(self) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        location = None
        if self.uri.startswith("sqlite:///"):
            # MLflow's own default is a folder in the current directory; keep it beside the database.
            location = (Path(self.uri.removeprefix("sqlite:///")).parent / "mlartifacts").as_uri()
        return str(self.client.create_experiment(EXPERIMENT, artifact_location=location))

    def names(self) -> list[str]:
        """Every registered model with a name that `versions` takes, sorted; others on the same server have theirs."""
        found: list[str] = []
        token = None
        with _reachable(self.uri):
            while True:
                page = self.client.search_registered_models(page_token=token)
                found += [each.name for each in page]
                token = page.token
                if not token:
                    return sorted(name for name in found if not NOT_IN_NAMES & set(name))

    def versions(self, name: str) -> list[Version]:
        """Every version of a model, oldest first; empty when the model is unknown."""
        with _reachable(self.uri):
            found = self.client.search_model_versions(f"name = '{_quoted(name)}'")
            aliases = self._aliases(name) if found else {}
        return sorted((_version(each, aliases) for each in found), key=lambda each: int(each.version))

    def _aliases(self, name: str) -> dict[str, list[str]]:
        by_version: dict[str, list[str]] = {}
        for alias, version in self.client.get_registered_model(name).aliases.items():
            by_version.setdefault(str(version), []).append(alias)
        return by_version

    def resolve(self, name: str, wanted: str = CHAMPION) -> Version:
        """A version by number or alias.

        Raises:
            UserError: no such model, version or alias.
        """
        versions = self.versions(name)
        if not versions:
            raise UserError(
                f"model {name!r} is not in the registry at {_without_password(self.uri)}: pretrain it first"
            )
        for version in versions:
            if wanted in (version.version, *version.aliases):
                return version
        raise UserError(
            f"model {name!r} has no version or alias {wanted!r}: it has versions 1 to {versions[-1].version}"
        )

    def download(self, version: Version, folder: Path) -> Path:
        """Fetch what was registered and return the folder of the model (weights and specification).

        Raises:
            UserError: the version was purged.
        """
        if condemned(version):
            raise UserError(f"model {version.name} version {version.version} was purged: choose another version")
        with _reachable(self.uri):
            self._select()
            uri = f"models:/{version.name}/{version.version}"
            fetched = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))
        found = sorted(fetched.glob("artifacts/**/weights.safetensors"))
        if not found:
            raise UserError(f"model {version.name} version {version.version} has no weights: were they purged?")
        return found[0].parent

    def register(self, new: NewVersion) -> Version:
        """Log the model in a run with its links and register it, once per operation."""
        for version in self.versions(new.name):
            if version.tags.get("operation") == new.operation:
                return version
        with _reachable(self.uri):
            self._select()
            model_uri, run_id = self._log(new)
            self._create_model(new.name)
            tags = {**new.tags, "operation": new.operation, "kind": new.kind, "digest": new.digest, "run": run_id}
            made = mlflow.register_model(model_uri, new.name, tags=tags)
            self.client.update_model_version(new.name, str(made.version), description=new.description[:MOST_TEXT])
        return self.resolve(new.name, str(made.version))

    def _create_model(self, name: str) -> None:
        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _log(self, new: NewVersion) -> tuple[str, str]:
        with mlflow.start_run(experiment_id=self.experiment, run_name=f"{new.kind} {new.name}") as run:
            mlflow.set_tags({**new.tags, "kind": new.kind, "operation": new.operation, "digest": new.digest})
            mlflow.log_params(dict(new.params))
            mlflow.log_metrics(dict(new.metrics))
            parents = [LoggedModelInput(new.parent.tags["logged_model"])] if new.parent else None
            self.client.log_inputs(
                run.info.run_id, datasets=[_dataset_input(link) for link in new.datasets], models=parents
            )
            info = _log_model(new)
            for file in new.files:
                mlflow.log_artifact(str(file))
                self.client.log_model_artifact(info.model_id, str(file))
            return info.model_uri, run.info.run_id

    def set_tags(self, version: Version, tags: Mapping[str, str]) -> None:
        """Add or replace tags of a version."""
        with _reachable(self.uri):
            for key, value in tags.items():
                self.client.set_model_version_tag(version.name, version.version, key, value)

    def describe(self, version: Version, text: str) -> None:
        """Replace what the version's page says."""
        with _reachable(self.uri):
            self.client.update_model_version(version.name, version.version, description=text[:MOST_TEXT])

    def drop_aliases(self, version: Version) -> None:
        """Take from the version every alias that it has."""
        with _reachable(self.uri):
            for alias in version.aliases:
                self.client.delete_registered_model_alias(version.name, alias)

    def make_champion(self, version: Version) -> Version:
        """Let a version serve; the one that served becomes `superseded`. Doing it twice is harmless.

        Callers hold the promotion lock: aliases have no compare-and-set.

        Raises:
            UserError: its purge has begun.
        """
        if condemned(self.resolve(version.name, version.version)):
            raise UserError(
                f"model {version.name} version {version.version} was purged and cannot serve: choose another version"
            )
        previous = next((each for each in self.versions(version.name) if CHAMPION in each.aliases), None)
        with _reachable(self.uri):
            if previous is not None and previous.version != version.version:
                self.client.set_registered_model_alias(version.name, SUPERSEDED, previous.version)
                self.set_tags(previous, {"status": "superseded", "superseded_by": version.version})
            self.client.set_registered_model_alias(version.name, CHAMPION, version.version)
            self.set_tags(version, {"status": "serving", "superseded_by": "none"})
        return self.resolve(version.name, version.version)


def condemned(version: Version) -> bool:
    """Whether its purge has begun, so that its weights are gone or may go at any time."""
    return version.tags.get("purge_started", "none") != "none"


def _log_model(new: NewVersion) -> ModelInfo:
    with warnings.catch_warnings():
        # The signature is given; MLflow also asks for an example, which would be somebody's image.
        warnings.filterwarnings("ignore", message=".*input example.*")
        info: ModelInfo = mlflow.pyfunc.log_model(
            name=new.kind,
            python_model=str(PACKAGE / "serving.py"),
            artifacts={"model": str(new.folder)},
            code_paths=[str(PACKAGE)],
            signature=_signature(new.image_shape),
            pip_requirements=list(REQUIREMENTS),
        )
    return info


def _quoted(name: str) -> str:
    if NOT_IN_NAMES & set(name):
        raise UserError(f"model name {name!r} holds a quote, slash or colon: choose another")
    return name


def _version(found: ModelVersion, aliases: dict[str, list[str]]) -> Version:
    version = str(found.version)
    return Version(
        name=found.name,
        version=version,
        aliases=tuple(sorted(aliases.get(version, ()))),
        tags={**found.tags, "logged_model": (found.source or "").removeprefix("models:/")},
        description=found.description or "",
    )


def _dataset_input(link: DatasetLink) -> DatasetInput:
    dataset = Dataset(
        name=link.role,
        digest=link.digest[:36],
        source_type="snapshot",
        source=json.dumps({"snapshot": link.source}),
        profile=json.dumps({"records": link.records}),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", link.role)])


def _signature(image_shape: tuple[int, int, int]) -> ModelSignature:
    # Any height and width: the served model resizes. MLflow would refuse other sides than those named here.
    return ModelSignature(inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, image_shape[0], -1, -1))]))
