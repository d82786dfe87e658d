"""Withdraw: what holds records that were erased is taken out of use."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from unlearning.compliance.batches.parameters import GRACE_DAYS
from unlearning.compliance.inventory import trained_models
from unlearning.compliance.retention.policy import iso, label, listed, purge_after, requests_of, serves
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.registry import descriptions
from unlearning.registry.client import Registry, Version
from unlearning.registry.promotion import promoting
from unlearning.registry.tags import NONE, Tags
from unlearning.storage.open import open_store


@dataclass(frozen=True)
class WithdrawResult:
    """What is withdrawn now."""

    versions: tuple[str, ...]
    """Numbers, oldest first: those that were withdrawn before too, the purged ones not."""
    purge_after: str
    """When the last of them may be purged, ISO 8601; `none` where there are none."""


def withdraw(
    *,
    model_name: str,
    records: Mapping[str, Collection[str]],
    now: datetime,
    grace_days: int = GRACE_DAYS,
    owner: str = "withdraw",
) -> WithdrawResult:
    """Take every version out of use that holds records of the requests, whatever its status.

    Repeating it changes nothing, but for versions that were registered meanwhile: neither the time of a
    withdrawal nor that of the purge moves.

    Args:
        records: ids of each request's records.
        now: with a time zone.
        grace_days: how long the versions are kept.
        owner: names the work in the lock of promotions.

    Raises:
        UserError: one that holds the records serves; nothing is changed then.
    """
    after = purge_after(now, grace_days)
    where = settings.from_environment()
    registry = Registry(where.tracking_uri)
    store = open_store(where.store)
    with promoting(store, model_name, owner) as lease:
        versions = [each for model in trained_models(store, registry, [model_name]) for each in model.versions]
        held = {each.version.version: [name for name, some in records.items() if each.holds(some)] for each in versions}
        found = [each.version for each in versions if held[each.version.version]]
        for each in found:
            if serves(each):
                raise UserError(
                    f"{label(each)} serves and holds records of {listed(held[each.version])}: promote a version that "
                    "has forgotten them, then withdraw again"
                )
        for each in found:
            lease.check()
            _withdraw(registry, each, held[each.version], now, after)
        descriptions.tell(registry, model_name)
    times = [registry.resolve(model_name, each.version).tags.value("purge_after") for each in found]
    return WithdrawResult(tuple(each.version for each in found), max(times, default=NONE))


def _withdraw(registry: Registry, version: Version, requests: Sequence[str], now: datetime, after: datetime) -> None:
    """The tag that names the requests comes last, so that one cut off is withdrawn again."""
    reasons = tuple(dict.fromkeys([*requests_of(version), *requests]))
    at = version.tags.value("withdrawn_at") or iso(now)
    until = version.tags.value("purge_after") or iso(after)
    registry.drop_aliases(version)
    registry.set_tags(version, Tags(withdrawn_at=at, purge_after=until, status="withdrawn"))
    registry.set_tags(version, Tags(withdrawn_for=",".join(reasons)))
