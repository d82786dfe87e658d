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
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
import numpy as np
import requests
import sqlalchemy
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, ViewType
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import Schema, TensorSpec

from unlearning.audit.escalation import attempt_named, described
from unlearning.core.errors import UserError
from unlearning.registry.tags import NONE, Tags
from unlearning.registry.versions import CHAMPION, SUPERSEDED, DatasetLink, NewVersion, Version, champion, condemned

__all__ = ["CHAMPION", "EXPERIMENT", "SUPERSEDED", "DatasetLink", "NewVersion", "Registry", "Version"]

# Table creation and "model already exists" are not news to whoever reads a step's log.
logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("alembic").setLevel(logging.ERROR)

EXPERIMENT = "unlearning"
ABOUT = (
    "One run for each model that was trained, unlearned or retrained: its data, its settings, and what its audit "
    "found. Which version serves, and what it came from, is told under Models."
)
"""What the experiment's page says."""

NOT_IN_NAMES = frozenset("'/:")

PACKAGE = Path(__file__).parents[1]
REQUIREMENTS = ("torch", "safetensors", "pydantic", "numpy")
SEARCH_ATTEMPTS = 20
PAGE = 500
"""Versions that one search call returns at most."""
IDENTIFYING = frozenset({"kind", "digest", "snapshot", "split", "from_split", "parent", "parent_digest"})
"""Tags that every version has which this product registers."""
RUNS = 100
"""Runs that one search names at most."""
DESCRIPTION = 5000
"""Characters of a description that every database takes."""


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
            f"MLflow at {without_password(uri)}: {reason}; check MLFLOW_TRACKING_URI and the server"
        ) from error


def _credentials(uri: str) -> str:
    """`user:password@` of a URI that holds them, otherwise nothing."""
    _, separator, rest = uri.partition("://")
    user, at, _ = rest.rpartition("@")
    return f"{user}{at}" if separator else ""


def without_password(uri: str) -> str:
    """A tracking URI that may be shown."""
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
        return without_password(self.uri)

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
        tags = {"mlflow.note.content": ABOUT}
        return str(self.client.create_experiment(EXPERIMENT, artifact_location=location, tags=tags))

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
        """Every version of a model, oldest first; empty when the model is unknown.

        One whose tags somebody has deleted has those of the run that made it, which are the same.
        """
        found = self._search(f"name = '{_quoted(name)}'")
        lacking = {each.version: self._run(each) for each in found if IDENTIFYING - each.tags.model_fields_set}
        made = self._tags_of_runs(list(lacking.values())) if lacking else {}
        return [_restored(each, made.get(lacking.get(each.version, ""))) for each in found]

    def _run(self, version: Version) -> str:
        with _reachable(self.uri):
            return version.tags.value("run") or self._run_of(version.tags.value("logged_model"))

    def _run_of(self, logged_model: str) -> str:
        """The run that logged a model; empty where MLflow does not know it."""
        try:
            return self.client.get_logged_model(logged_model).source_run_id or "" if logged_model else ""
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return ""
            raise

    def splits_at_registration(self, versions: Sequence[Version]) -> dict[str, str]:
        """The split that each version of a model was registered with, by number; empty where its run is gone. Whoever
        changes a version's tags does not change those of its run."""
        made = self._tags_of_runs([each.tags.value("run") for each in versions])
        return {each.version: made.get(each.tags.run, Tags()).value("split") for each in versions}

    def _tags_of_runs(self, runs: Sequence[str]) -> dict[str, Tags]:
        wanted = sorted({run for run in runs if run.isalnum()})
        found: dict[str, Tags] = {}
        with _reachable(self.uri):
            for start in range(0, len(wanted), RUNS):
                ids = ", ".join(f"'{run}'" for run in wanted[start : start + RUNS])
                page = self.client.search_runs(
                    [self.experiment], f"attributes.run_id IN ({ids})", ViewType.ALL, max_results=RUNS
                )
                found |= {each.info.run_id: Tags.model_validate(each.data.tags) for each in page}
        return found

    def search(self, tags: Tags, *, beginning: bool = False) -> list[Version]:
        """The versions of all models that have every one of these tags, by model, oldest first.

        Args:
            tags: at least one.
            beginning: values are what a tag begins with, as it stands up to an underscore or percent sign.

        Raises:
            UserError: no tag, or a key or value that cannot be searched for.
        """
        searched = tags.written()
        if not searched:
            raise UserError("no tag to search for: give one")
        compare, end = ("LIKE", "%") if beginning else ("=", "")
        wanted = sorted((_plain(key), _plain(value)) for key, value in searched.items())
        condition = " AND ".join(f"tags.`{key}` {compare} '{value}{end}'" for key, value in wanted)
        for _ in range(SEARCH_ATTEMPTS):
            found = self._search(condition)
            # MLflow reads tags by a second query with the same condition. A version that another process changed
            # between the two, so that it does not fit any more, comes without a single tag.
            if all(key in each.tags.written() for each in found for key, _ in wanted):
                return found
        raise UserError(f"MLflow at {self.shown_uri}: what is searched for changes all the time: try again later")

    def _search(self, condition: str) -> list[Version]:
        with _reachable(self.uri):
            found = self._pages(condition)
            aliases = {name: self._aliases(name) for name in sorted({each.name for each in found})}
        versions = (_version(each, aliases[each.name]) for each in found)
        return sorted(versions, key=lambda each: (each.name, int(each.version)))

    def _pages(self, condition: str) -> list[ModelVersion]:
        """Every match. In the order of their numbers: by default a version that is changed between two
        pages moves to the first, and another would be left out."""
        found: list[ModelVersion] = []
        token = None
        while token != "":
            page = self.client.search_model_versions(condition, PAGE, ["name ASC", "version_number ASC"], token)
            found += page
            token = page.token or ""
        return found

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
            raise UserError(f"model {name!r} is not in the registry at {without_password(self.uri)}: pretrain it first")
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

    def read(self, version: Version, name: str) -> bytes | None:
        """A file that was logged on the version's run, which outlives its weights; None if there is none."""
        with _reachable(self.uri), tempfile.TemporaryDirectory() as scratch:
            self._select()
            run = version.tags.value("run")
            if not run or name not in [each.path for each in self.client.list_artifacts(run)]:
                return None
            return Path(self.client.download_artifacts(run, name, scratch)).read_bytes()

    def weights(self, version: Version) -> tuple[str, ...]:
        """Paths of the weights that MLflow still has of a version; empty once they were purged."""
        with _reachable(self.uri):
            self._select()
            folders, found = ["artifacts"], list[str]()
            while folders:
                for each in self.client.list_logged_model_artifacts(version.tags.logged_model, folders.pop()):
                    (folders if each.is_dir else found).append(each.path)
        return tuple(sorted(path for path in found if path.endswith(".safetensors")))

    def register(self, new: NewVersion) -> Version:
        """Log the model in a run with its links and register it, once per operation."""
        for version in self.versions(new.name):
            if version.tags.operation == new.operation:
                return version
        with _reachable(self.uri):
            self._select()
            model_uri, run_id = self._log(new)
            self._create_model(new.name)
            made_by = _identity(new).changed(Tags(run=run_id))
            made = mlflow.register_model(model_uri, new.name, tags=made_by.written())
            self.client.update_model_version(new.name, str(made.version), description=new.description[:DESCRIPTION])
        return self.resolve(new.name, str(made.version))

    def _create_model(self, name: str) -> None:
        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _log(self, new: NewVersion) -> tuple[str, str]:
        with mlflow.start_run(
            experiment_id=self.experiment, run_name=_run_name(new), description=new.description[:DESCRIPTION]
        ) as run:
            mlflow.set_tags(_identity(new).written())
            mlflow.log_params(dict(new.params))
            mlflow.log_metrics(dict(new.metrics))
            parents = [LoggedModelInput(new.parent.tags.logged_model)] if new.parent else None
            self.client.log_inputs(
                run.info.run_id, datasets=[_dataset_input(link) for link in new.datasets], models=parents
            )
            info = _log_model(new)
            for file in new.files:
                mlflow.log_artifact(str(file))
                self.client.log_model_artifact(info.model_id, str(file))
            return info.model_uri, run.info.run_id

    def set_tags(self, version: Version, tags: Tags) -> None:
        """Add or replace tags of a version."""
        with _reachable(self.uri):
            for key, value in tags.written().items():
                self.client.set_model_version_tag(version.name, version.version, key, value)

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
        versions = {each.version: each for each in self.versions(version.name)}
        current = versions.get(version.version, version)
        if condemned(current):
            raise UserError(
                f"model {version.name} version {version.version} was purged and cannot serve: choose another version"
            )
        previous = champion(versions.values())
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with _reachable(self.uri):
            if previous is not None and previous.version != version.version:
                self.client.set_registered_model_alias(version.name, SUPERSEDED, previous.version)
                left = Tags(status="superseded", superseded_by=version.version, superseded_at=now)
                self.set_tags(previous, left)
            self.client.set_registered_model_alias(version.name, CHAMPION, version.version)
            served = Tags(status="serving", superseded_by=NONE, superseded_at=NONE)
            if current != previous or current.tags.status != "serving" or current.tags.served_at == NONE:
                served = served.changed(Tags(served_at=now))
            self.set_tags(version, served)
        return self.resolve(version.name, version.version)

    def describe(self, name: str, description: str, version: str = "") -> None:
        """Set what the page of a model says, or that of one of its versions."""
        with _reachable(self.uri):
            if version:
                self.client.update_model_version(name, version, description=description[:DESCRIPTION])
            else:
                self.client.update_registered_model(name, description=description[:DESCRIPTION])


def _identity(new: NewVersion) -> Tags:
    """All its tags, what it is among them."""
    return new.tags.changed(Tags(kind=new.kind, operation=new.operation, digest=new.digest))


def _run_name(new: NewVersion) -> str:
    """What a run is called in MLflow's lists, where the attempts of a run stand below each other."""
    attempt = new.tags.attempt
    setting = f", {described(attempt_named(attempt))}" if attempt.startswith("stronger") else ""
    return f"{new.kind} {new.name}{setting}"


def _log_model(new: NewVersion) -> ModelInfo:
    with warnings.catch_warnings():
        # The signature is given; MLflow also asks for an example, which would be somebody's image.
        warnings.filterwarnings("ignore", message=".*input example.*")
        info: ModelInfo = mlflow.pyfunc.log_model(
            name=new.kind,
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
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


def _plain(text: str) -> str:
    if "'" in text or "`" in text:
        raise UserError(f"tag {text!r} holds a quote: it cannot be searched for")
    return text


def _version(found: ModelVersion, aliases: dict[str, list[str]]) -> Version:
    version = str(found.version)
    return Version(
        name=found.name,
        version=version,
        aliases=tuple(sorted(aliases.get(version, ()))),
        tags=Tags.model_validate(
            {"run": found.run_id or NONE, **found.tags, "logged_model": (found.source or "").removeprefix("models:/")}
        ),
        description=found.description or "",
        created=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
    )


def _restored(version: Version, made: Tags | None) -> Version:
    """A version with the tags that it lacks and its run has."""
    if made is None or not (IDENTIFYING & made.model_fields_set) - version.tags.model_fields_set:
        return version
    return version.model_copy(update={"tags": made.changed(version.tags)})


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
