"""Whether Kubeflow Pipelines answers, takes the token, and lets us see experiments in the namespace."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.cluster.client import Endpoint, Pipelines
from pipelines.cluster.doctor.findings import Finding


def kubeflow(endpoint: Endpoint, experiment: str = "unlearning") -> Iterator[Finding]:
    """Ask for its health, then look for an experiment.

    Raises:
        UserError: it does not answer or refuses.
    """
    server = Pipelines(endpoint)
    several = server.several_users()
    there = "is there" if server.experiment(experiment) else "will be made by the first run"
    users = f"several users, namespace {endpoint.namespace}" if several else "a single user"
    yield Finding(
        check="kubeflow", state="ok", found=f"{endpoint.url} answers, for {users}; experiment {experiment} {there}"
    )
