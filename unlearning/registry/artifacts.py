"""The bytes behind registered versions in MLflow: how many there are, and deleting them.

Runs, versions, tags and the audit files of runs stay: they are the lineage. What is deleted is everything
that lies in a logged model's own folder, the weights above all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from mlflow.entities import LoggedModel
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from unlearning.core.errors import UserError
from unlearning.registry.client import Registry
from unlearning.registry.tags import Tags
from unlearning.storage.s3 import S3Store
from unlearning.storage.store import Amount, Store

SERVED = "mlflow-artifacts:"
"""How the address of an artifact begins that an MLflow server hands out itself."""


@dataclass(frozen=True)
class Leftover:
    """A logged model without a version: its registration was cut off."""

    id: str
    tags: Tags
    """Of the run that logged it, which are those the version would have had."""


class LoggedModels:
    """What one registry's versions are made of.

    Args:
        registry: whose versions.
        kept_at: where its server keeps the artifacts that it hands out itself, `s3://bucket/prefix`: the
            `--artifacts-destination` it was started with. Empty: only the server is asked.

    Raises:
        UserError: `kept_at` is not in a bucket.
    """

    def __init__(self, registry: Registry, kept_at: str = "") -> None:
        if kept_at and not kept_at.startswith("s3://"):
            raise UserError(f"UNLEARNING_MLFLOW_ARTIFACTS is {kept_at!r}: give s3://bucket/prefix, or nothing")
        self.registry = registry
        self.kept_at = kept_at.rstrip("/")
        self.buckets: dict[str, Store] = {}

    def measure(self, logged_model: str) -> Amount:
        """How much is kept of it; nothing when MLflow does not know it any more."""
        with self.registry.connected():
            location = self._location(logged_model)
            if location is None:
                return Amount(0, 0)
            if location.startswith("s3://"):
                return self._bucket(location).measure(_key(location))
            sizes = [size for _, size in _files(get_artifact_repository(location))]
        return Amount(len(sizes), sum(sizes))

    def purge(self, logged_model: str) -> int:
        """Delete it all and return how many files there were. Repeat it when it was cut off.

        In a bucket every version of an object goes. Where only an MLflow server knows the bucket it deletes
        without naming versions: those that the bucket keeps stay.
        """
        with self.registry.connected():
            location = self._location(logged_model)
            if location is None:
                return 0
            if location.startswith("s3://"):
                return self._bucket(location).purge(_key(location))
            repository = get_artifact_repository(location)
            count = len(list(_files(repository)))
            for each in repository.list_artifacts():
                repository.delete_artifacts(each.path)  # type: ignore[no-untyped-call]
        return count

    def leftovers(self, registered: frozenset[str], before: float) -> list[Leftover]:
        """Logged models of our experiment that are not among the `registered` ones and still hold anything.

        Args:
            registered: ids of those that versions are made of.
            before: only those logged before this time, in seconds since 1970; a younger one may be about to
                be registered.
        """
        found = []
        with self.registry.connected():
            for model in self._all():
                if model.model_id in registered or model.creation_timestamp >= 1000 * before:
                    continue
                if self.measure(model.model_id).objects:
                    run = self.registry.client.get_run(model.source_run_id) if model.source_run_id else None
                    found.append(Leftover(model.model_id, Tags.model_validate(run.data.tags if run else {})))
        return found

    def _all(self) -> Iterator[LoggedModel]:
        token = None
        while True:
            page = self.registry.client.search_logged_models([self.registry.experiment], page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _location(self, logged_model: str) -> str | None:
        try:
            location = str(self.registry.client.get_logged_model(logged_model).artifact_location)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        if self.kept_at and location.startswith(SERVED):
            return f"{self.kept_at}/{urlsplit(location).path.lstrip('/')}"
        return location

    def _bucket(self, location: str) -> Store:
        """The bucket of an artifact location, at the endpoint where MLflow looks for it."""
        name = location.removeprefix("s3://").partition("/")[0]
        if name not in self.buckets:
            self.buckets[name] = S3Store(name, "", os.environ.get("MLFLOW_S3_ENDPOINT_URL"))
        return self.buckets[name]


def _files(repository: ArtifactRepository, folder: str | None = None) -> Iterator[tuple[str, int]]:
    for each in repository.list_artifacts(folder):
        if each.is_dir:
            yield from _files(repository, each.path)
        else:
            yield each.path, each.file_size or 0


def _key(location: str) -> str:
    return location.removeprefix("s3://").partition("/")[2].strip("/")
