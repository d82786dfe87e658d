"""Evidence: what certificates are made from, read once for many of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar, cast

from unlearning.compliance.inventory import Inventory
from unlearning.core.config import Config
from unlearning.registry.client import Registry, Version
from unlearning.registry.logged_files import read_logged
from unlearning.storage.store import Store

FRESH = 10.0
"""Seconds: a certificate says what was stored at most so long before it was signed. To look everywhere anew for each
would make the time for many grow with the square of their number."""

Logged = TypeVar("Logged", bound=Config)


class Evidence:
    """The inventory, and the files that runs have logged, which never change."""

    def __init__(self, store: Store, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self.store, self.registry = store, registry
        self._clock = clock
        self._read: tuple[float, Inventory] | None = None
        self._logged: dict[tuple[str, str, str], Config] = {}

    def inventory(self) -> Inventory:
        """Where every record is, as it was at most `FRESH` seconds ago, and after the last change of ours.

        Raises:
            UserError: a service does not answer.
        """
        now = self._clock()
        if self._read is None or now - self._read[0] > FRESH:
            self._read = now, Inventory.of(self.store, self.registry)
        return self._read[1]

    def changed(self) -> None:
        """Something was withdrawn: what was read is not so any more."""
        self._read = None

    def version(self, model: str, number: str) -> Version:
        """A registered version.

        Raises:
            UserError: there is none.
        """
        known = {each.version: each for each in self.inventory().model(model).known}
        return known[number] if number in known else self.registry.resolve(model, number)

    def logged(self, version: Version, name: str, kind: type[Logged]) -> Logged:
        """A file that the version's run has logged, see `read_logged`."""
        key = version.name, version.version, name
        if key not in self._logged:
            self._logged[key] = read_logged(self.registry, version, name, kind)
        return cast(Logged, self._logged[key])
