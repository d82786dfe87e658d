"""Whether the namespace is the one in which runs will be, by the kind of Kubeflow Pipelines that answers."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.cluster.client import Endpoint, Pipelines
from pipelines.cluster.doctor.findings import Finding
from unlearning.cluster import names
from unlearning.cluster.client import Cluster
from unlearning.core.errors import ForbiddenError, MissingObjectError, UserError


def several_users(endpoint: Endpoint) -> bool | None:
    """Whether it keeps its users apart; None where nobody asks or it does not answer, which another check tells."""
    try:
        return Pipelines(endpoint).several_users() if endpoint.url else None
    except UserError:
        return None


def namespace_of_runs(given: str, several: bool | None) -> str:
    """Where runs will be, if nobody says otherwise: of a single user where Kubeflow is, else in our own."""
    return given or (names.KUBEFLOW if several is False else names.NAMESPACE)


def placement(cluster: Cluster, namespace: str, several: bool | None) -> Iterator[Finding]:
    """Of a single user the API server is there; of several, it is a namespace that Kubeflow knows as a profile's."""
    if several is None:
        found = f"whether they will be in {namespace} is not known: give --endpoint URL"
        yield Finding(check="runs", state="unknown", found=found)
        return
    try:
        yield (_of_several if several else _of_one)(cluster, namespace)
    except ForbiddenError as error:
        yield Finding(check="runs", state="unknown", found=str(error), do="ask who may")


def _of_one(cluster: Cluster, namespace: str) -> Finding:
    """It runs everything where it is itself, whatever namespace is asked for."""
    try:
        cluster.service(namespace, names.API_SERVICE)
    except MissingObjectError:
        found = f"for a single user they are where Kubeflow's API server is, and {namespace} has no {names.API_SERVICE}"
        do = "give --namespace of that, kubeflow by default, and apply manifests/overlays/single-user there"
        return Finding(check="runs", state="failed", found=found, do=do)
    return Finding(
        check="runs", state="ok", found=f"will be in {namespace}, with Kubeflow itself: it has a single user"
    )


def _of_several(cluster: Cluster, namespace: str) -> Finding:
    try:
        labels = cluster.namespace(namespace)
    except MissingObjectError:
        do = "make a profile of this name, or give --namespace of one, and apply manifests/overlays/profile there"
        return Finding(check="runs", state="failed", found=f"there is no namespace {namespace} for them", do=do)
    if labels.get(names.PROFILE_LABEL) == "true":
        return Finding(check="runs", state="ok", found=f"will be in {namespace}, which is a profile's")
    found = f"will be in {namespace}, which is no profile's: Kubeflow puts no rights and no settings of its own there"
    return Finding(check="runs", state="warning", found=found, do="make a profile of this name: see docs/deploying.md")
