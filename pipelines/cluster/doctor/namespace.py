"""Whether the namespace holds what the tasks refer to: a missing name keeps a pod from ever starting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from pipelines.cluster.doctor.findings import Finding
from unlearning.cluster import names
from unlearning.cluster.client import Cluster
from unlearning.core.errors import ForbiddenError, MissingObjectError

APPLY = "kubectl apply -k manifests/overlays/…: see docs/deploying.md"
SECRETS = {names.OBJECT_STORE: names.OBJECT_STORE_KEYS, names.SIGNING_KEY: (names.SIGNING_FILE.rsplit("/", 1)[-1],)}


Problem = tuple[str, str, Callable[[], str]]
"""What is looked at, what to do if something is wrong with it, and what says so: an empty text where nothing is."""


def namespace(cluster: Cluster, name: str) -> Iterator[Finding]:
    """Settings, secrets, cache and service account, one finding each."""
    for what, do, problem in (*_objects(cluster, name), *_secrets(cluster, name)):
        yield _told(what, do, problem)


def _objects(cluster: Cluster, name: str) -> Iterator[Problem]:
    yield f"namespace {name}", f"kubectl create namespace {name}", partial(_exists, cluster.namespace, name)
    yield names.SETTINGS, APPLY, lambda: _lacking(cluster.config_map(name, names.SETTINGS), names.REQUIRED_SETTINGS)
    yield names.CACHE, APPLY, lambda: _lost(cluster.claim(name, names.CACHE)[0])
    yield names.SERVICE_ACCOUNT, APPLY, partial(_exists, cluster.service_account, name, names.SERVICE_ACCOUNT)


def _secrets(cluster: Cluster, name: str) -> Iterator[Problem]:
    for secret, keys in SECRETS.items():
        yield secret, "make it as docs/deploying.md says", partial(_lacking_keys, cluster, name, secret, keys)


def _told(what: str, do: str, problem: Callable[[], str]) -> Finding:
    try:
        wrong = problem()
    except MissingObjectError as error:
        return Finding(check="namespace", state="failed", found=str(error), do=do)
    except ForbiddenError as error:
        return Finding(check="namespace", state="unknown", found=str(error), do="ask who may")
    if wrong:
        return Finding(check="namespace", state="failed", found=f"{what} {wrong}", do=do)
    return Finding(check="namespace", state="ok", found=f"{what} is there")


def _exists(read: Callable[..., object], *which: str) -> str:
    read(*which)
    return ""


def _lacking_keys(cluster: Cluster, name: str, secret: str, keys: Sequence[str]) -> str:
    return _lacking(cluster.secret_sizes(name, secret), keys)


def _lacking(found: Mapping[str, object], keys: Sequence[str]) -> str:
    lacking = [key for key in keys if not found.get(key)]
    return f"lacks {', '.join(lacking)}" if lacking else ""


def _lost(phase: str) -> str:
    """`Pending` is well where the class waits for the first pod, so only a lost one is a problem."""
    return "lost its volume" if phase == "Lost" else ""
