"""What is registered under a name."""

from __future__ import annotations

from unlearning.core import settings
from unlearning.registry.client import Registry, Version


def versions(name: str) -> list[Version]:
    return Registry(settings.from_environment().tracking_uri).versions(name)


def champion(name: str) -> str:
    return Registry(settings.from_environment().tracking_uri).resolve(name).version
