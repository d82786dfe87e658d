"""Whether a pipeline takes the parameters that are meant for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.cluster.doctor.findings import Finding
from pipelines.cluster.packages import Package, checked


def parameters(package: Package, texts: Mapping[str, str], values: Mapping[str, Any]) -> Iterator[Finding]:
    """Names, types, and nothing missing.

    Raises:
        UserError: something is wrong; says what.
    """
    given = checked(package, texts, values)
    defaults = len(package.parameters) - len(given)
    yield Finding(
        check="parameters", state="ok", found=f"{package.name} takes the {len(given)} given, {defaults} have defaults"
    )
