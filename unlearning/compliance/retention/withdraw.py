"""Withdraw: once a version has forgotten, the older ones that hold the records are taken out of use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from unlearning.compliance.batches.parameters import GRACE_DAYS
from unlearning.compliance.retention.policy import forgot, holders, iso, label, purge_after, requests_of, serves
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.registry import descriptions
from unlearning.registry.client import Registry, Version
from unlearning.registry.promotion import LOCK_SECONDS
from unlearning.registry.tags import NONE, Tags
from unlearning.registry.versions import condemned
from unlearning.storage.keys import promotion_lock
from unlearning.storage.lease import lock
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
    version: str,
    requests: Sequence[str],
    now: datetime,
    grace_days: int = GRACE_DAYS,
    owner: str = "withdraw",
) -> WithdrawResult:
    """Take every version out of use that holds what `version` has forgotten for the requests.

    Repeating it changes nothing, but for versions that were registered meanwhile: neither the time of a
    withdrawal nor that of the purge moves.

    Args:
        version: number or alias of the version that fulfilled the requests.
        requests: their ids.
        now: with a time zone.
        grace_days: how long the versions are kept.
        owner: names the work in the lock of promotions.

    Raises:
        UserError: the version is not tagged as having fulfilled a request, or one that holds the records
            serves; nothing is changed then.
    """
    after = purge_after(now, grace_days)
    where = settings.from_environment()
    registry = Registry(where.tracking_uri)
    with lock(open_store(where.store), promotion_lock(model_name), owner, seconds=LOCK_SECONDS) as lease:
        fulfilling = registry.resolve(model_name, version)
        _check(fulfilling, requests)
        found = [each for each in holders(registry.versions(model_name), fulfilling, requests) if not condemned(each)]
        for each in found:
            if serves(each):
                raise UserError(
                    f"{label(each)} serves and holds what version {fulfilling.version} has forgotten: promote a "
                    "version that has forgotten it, then withdraw again"
                )
        for each in found:
            lease.check()
            _withdraw(registry, each, requests, now, after)
        descriptions.tell(registry, model_name)
    times = [registry.resolve(model_name, each.version).tags.value("purge_after") for each in found]
    return WithdrawResult(tuple(each.version for each in found), max(times, default=NONE))


def _check(fulfilling: Version, requests: Sequence[str]) -> None:
    if not requests:
        raise UserError("no request is named: say for which requests versions are withdrawn")
    for request in requests:
        if not forgot(fulfilling, request):
            raise UserError(f"{label(fulfilling)} has not fulfilled request {request}: give the version that has")


def _withdraw(registry: Registry, version: Version, requests: Sequence[str], now: datetime, after: datetime) -> None:
    """The tag that names the requests comes last, so that one cut off is withdrawn again."""
    lacking = [request for request in requests if not forgot(version, request)]
    reasons = tuple(dict.fromkeys([*requests_of(version), *lacking]))
    at = version.tags.value("withdrawn_at") or iso(now)
    until = version.tags.value("purge_after") or iso(after)
    registry.drop_aliases(version)
    registry.set_tags(version, Tags(withdrawn_at=at, purge_after=until, status="withdrawn"))
    registry.set_tags(version, Tags(withdrawn_for=",".join(reasons)))
