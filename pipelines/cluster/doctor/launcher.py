"""Whether Kubeflow Pipelines keep what tasks hand to each other where the settings say, with a secret that is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipelines.cluster.doctor.findings import Finding
from unlearning.cluster import names
from unlearning.cluster.client import Cluster
from unlearning.cluster.launcher import DEFAULT_ROOT, Access, access, disagreements
from unlearning.core.errors import ForbiddenError, MissingObjectError, UserError

DO = "put it right in the overlay and apply that: see docs/deploying.md"


def launcher(cluster: Cluster, namespace: str) -> Iterator[Finding]:
    """Read ConfigMap `kfp-launcher` and hold it against the settings: one finding for each thing that is wrong."""
    try:
        yield from _judged(cluster, namespace)
    except ForbiddenError as error:
        yield Finding(check="launcher", state="unknown", found=str(error), do="ask who may")
    except UserError as error:
        yield _failed(f"{names.LAUNCHER}: {error}")


def _judged(cluster: Cluster, namespace: str) -> Iterator[Finding]:
    try:
        told = cluster.config_map(namespace, names.LAUNCHER)
    except MissingObjectError as error:
        yield _failed(f"{error}, so artifacts go to {DEFAULT_ROOT}, where purging does not look")
        return
    try:
        settings = cluster.config_map(namespace, names.SETTINGS)
    except MissingObjectError as error:
        found = f"{names.LAUNCHER} is there, and nothing to hold it against: {error}"
        yield Finding(check="launcher", state="unknown", found=found)
        return
    wrong = [_failed(f"{names.LAUNCHER}: {each}") for each in disagreements(told, settings)]
    root = told.get("defaultPipelineRoot") or DEFAULT_ROOT
    used = access(told, root)
    wrong += _secret(cluster, namespace, used)
    yield from wrong or [Finding(check="launcher", state="ok", found=_shown(root, used, settings))]


def _secret(cluster: Cluster, namespace: str, used: Access | None) -> Iterator[Finding]:
    if used is None or not used.secret:
        return
    try:
        sizes = cluster.secret_sizes(namespace, used.secret)
    except MissingObjectError as error:
        yield _failed(f"{names.LAUNCHER} names a secret that is missing: {error}", "make it: see docs/deploying.md")
        return
    if lacking := [each for each in used.keys if not sizes.get(each)]:
        yield _failed(f"{names.LAUNCHER} looks in {used.secret} for {', '.join(lacking)}, which it lacks")


def _failed(found: str, do: str = DO) -> Finding:
    return Finding(check="launcher", state="failed", found=found, do=do)


def _shown(root: str, used: Access | None, settings: Mapping[str, str]) -> str:
    endpoint = used.endpoint if used and used.endpoint else f"Amazon's, {settings.get('AWS_DEFAULT_REGION', '')}"
    secret = f"secret {used.secret}" if used and used.secret else "credentials of whoever asks"
    return f"artifacts go to {root} at {endpoint}, with {secret}"
