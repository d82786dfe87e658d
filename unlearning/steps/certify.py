"""Certify: a signed statement for every fulfilled request, and a newer one when what held its records was purged."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime

from unlearning.compliance.batches.parameters import GRACE_DAYS
from unlearning.compliance.certificates import keyring, keys, uncertified
from unlearning.compliance.certificates.evidence import Evidence
from unlearning.compliance.certificates.issue import Issue, NotCertified, purged_since
from unlearning.compliance.checkpoints import making
from unlearning.compliance.requests import open_requests
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.core.progress import MANY, track
from unlearning.registry.client import Registry
from unlearning.storage.open import open_store
from unlearning.storage.store import Store


@dataclass(frozen=True)
class CertifyResult:
    """What was certified now."""

    certificates: dict[str, str]
    """Key in the store by request."""
    skipped: tuple[NotCertified, ...]
    checkpoint: str = ""
    """Key in the store of the newest checkpoint; empty where none could be made."""


def certify(*, now: datetime, key: keys.PrivateKey | None = None, grace_days: int = GRACE_DAYS) -> CertifyResult:
    """Certify every request that was fulfilled, or of which something was purged, since its last certificate.

    What a batch that died in between has left in use is withdrawn first: nobody looks at a closed request again.
    Repeating it changes nothing. One request that cannot be certified does not keep the others waiting. At the end a
    checkpoint of the whole store is signed.

    Args:
        now: with a time zone; written into the certificates.
        key: that signs; None for the one of the environment.
        grace_days: how long the versions are kept that are withdrawn here.

    Raises:
        UserError: no key, or a service cannot be used.
    """
    signs = key or keyring.signer(now)
    where = settings.from_environment()
    store, registry = open_store(where.store), Registry(where.tracking_uri)
    # First, since it writes to the ledger, also of requests that have no certificate yet.
    purged = list(purged_since(store, registry, now))
    waiting = [each for each in open_requests.collect(store, mend=True).states if each.status == "fulfilled"]
    done: dict[str, str] = {}
    skipped: list[NotCertified] = []
    evidence = Evidence(store, registry)
    with track("certify", len(waiting) + len(purged), least=MANY) as advance:
        for state in [*waiting, *purged]:
            try:
                done[state.request] = Issue(evidence, state, now).issue(signs, grace_days)
                uncertified.note(store, state.request, "")
            except UserError as error:
                skipped.append(NotCertified(state.request, str(error)))
                uncertified.note(store, state.request, str(error))
            advance("")
    return CertifyResult(done, tuple(skipped), _checkpoint(store, signs, now))


def _checkpoint(store: Store, signer: keys.PrivateKey, now: datetime) -> str:
    """Sign what the store holds now. What is wrong with that is told, and undoes no certificate."""
    try:
        made = making.make(store, signer, now=now)
    except UserError as error:
        print(f"warning: no checkpoint was made: {error}", file=sys.stderr)
        return ""
    for warning in making.warnings(made):
        print(f"warning: {warning}", file=sys.stderr)
    return made.key
