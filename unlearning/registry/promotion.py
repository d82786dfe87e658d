"""Which version serves: `champion` moves under one lock."""

from __future__ import annotations

from contextlib import AbstractContextManager

from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.registry import descriptions
from unlearning.registry.client import Registry, Version
from unlearning.registry.history import by_number, chain
from unlearning.registry.versions import champion
from unlearning.storage.keys import promotion_lock
from unlearning.storage.lease import Lease, lock
from unlearning.storage.open import open_store
from unlearning.storage.store import Store

LOCK_SECONDS = 300.0
PATIENCE = LOCK_SECONDS + 60.0
"""Seconds to wait for the lock: a task that is tried again may find it held by itself, from before it was killed."""


def promoting(store: Store, model_name: str, owner: str) -> AbstractContextManager[Lease]:
    """The right to change alone which version of a model serves.

    Raises:
        UserError: somebody else has it, for longer than anybody should.
    """
    return lock(store, promotion_lock(model_name), owner, seconds=LOCK_SECONDS, patience=PATIENCE)


def serve(registry: Registry, version: Version, owner: str, *, follows: Version | None = None) -> Version:
    """Move `champion` under the promotion lock, as the registry has no compare-and-set, and tell it on its pages.

    Args:
        follows: the version it was made from, which must be serving now; None for an original.

    Raises:
        UserError: another version serves, or somebody else is moving `champion`.
    """
    store = open_store(settings.from_environment().store)
    with promoting(store, version.name, owner) as lease:
        lease.check()
        came_after = follows is not None and check_follows(registry, follows, version)
        # Where it serves already, whoever made it serve may have been killed before its tags said so.
        if not came_after or registry.resolve(version.name).version == version.version:
            registry.make_champion(version)
        descriptions.tell(registry, version.name)
        return registry.resolve(version.name, version.version)


def check_follows(registry: Registry, parent: Version, version: Version | None = None) -> bool:
    """Make sure that what was made from `parent` would not bring back what others have made it forget since.

    Args:
        version: made from it; None before it is registered.

    Returns:
        Whether `version` serves, or served before what serves now was made from it.

    Raises:
        UserError: a version serves that comes neither from `version` nor is its parent.
    """
    found = by_number(registry.versions(parent.name))
    serves = champion(found.values())
    if serves is None or serves.version == parent.version:
        return False
    if version is not None and version.version in {each.version for each in chain(serves, found)}:
        return True
    raise UserError(
        f"model {parent.name} version {serves.version} serves by now, which was not made from what was made from "
        f"version {parent.version}: unlearn version {serves.version} instead"
    )
