"""On the versions stands which requests they honour: for people on MLflow's page, and for lineage."""

from __future__ import annotations

from collections.abc import Iterable

from unlearning.registry.client import Registry
from unlearning.registry.tags import FULFILLED, Tags
from unlearning.registry.versions import Version


def tag(registry: Registry, honoured: Iterable[tuple[Version, str]]) -> None:
    """Say on each version that it honours a request, all requests of a version together.

    Args:
        honoured: versions, each with the id of a request.
    """
    found: dict[tuple[str, str], tuple[Version, dict[str, str]]] = {}
    for version, request in honoured:
        found.setdefault((version.name, version.version), (version, {}))[1][request] = FULFILLED
    for version, requests in found.values():
        registry.set_tags(version, Tags(requests=requests))
