"""Where the lineage commands look: registered versions, the ledger, the store."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from unlearning.audit.results import Audit, Verdict
from unlearning.compliance.fields import is_digest, is_request_id
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.lineage import artifacts, audits
from unlearning.lineage.artifacts import Artefact, Artefacts, Place
from unlearning.lineage.audits import AuditAnswer
from unlearning.lineage.requests import ConcernedModels
from unlearning.registry.tags import FULFILLED, NONE, Tags
from unlearning.registry.versions import Version
from unlearning.storage.keys import complete_key, event_folder, references_key, snapshot_key, split_key
from unlearning.storage.open import open_store
from unlearning.storage.store import Store

if TYPE_CHECKING:
    # MLflow takes a second, which commands that need no registry shall not wait for.
    from unlearning.registry.client import Registry


def registry() -> Registry:
    """The registry that the environment names."""
    from unlearning.registry.client import Registry

    return Registry(settings.from_environment().tracking_uri)


def store() -> Store:
    """The store that the environment names."""
    return open_store(settings.from_environment().store)


def versions_of(registry: Registry, model: str) -> list[Version]:
    """Every version of a model, oldest first.

    Raises:
        UserError: the model is unknown.
    """
    found = registry.versions(model)
    if not found:
        raise UserError(f"model {model!r} is not in the registry at {registry.shown_uri}: pretrain it first")
    return found


def versions_of_all(registry: Registry, models: Iterable[str]) -> list[Version]:
    """Every version of several models; a model that is not in the registry has none."""
    return [version for model in sorted(set(models)) for version in registry.versions(model)]


def concern(registry: Registry, request: str) -> ConcernedModels:
    """What a request concerns: by the ledger, and by the versions that honour it.

    Raises:
        UserError: neither knows the request.
    """
    resolved = _resolved(store(), _request_id(request))
    models = set(models_honouring(registry, request))
    if resolved is None and not models:
        raise UserError(
            f"request {request!r} was never looked up and no version honours it: check its id, or resolve it first"
        )
    if resolved is None:
        return ConcernedModels(models=tuple(sorted(models)))
    return ConcernedModels(models=tuple(sorted(models | set(resolved.models))), snapshots=resolved.snapshots)


def holders(registry: Registry, request: str) -> frozenset[tuple[str, str]] | None:
    """Model and number of every stored version that holds records of a request, whatever its tags say; None where its
    content was deleted, so that nobody knows its records.

    Raises:
        UserError: the request is damaged, or a service cannot be used.
    """
    from unlearning.compliance.inventory import Inventory
    from unlearning.compliance.requests.requests import find

    where = store()
    kept = find(where, _request_id(request))
    if kept is None:
        return None
    inventory = Inventory.of(where, registry)
    records = inventory.to_erase(kept.request)
    concerned = [model for model in inventory.models if kept.request.model in ("", model.name)]
    return frozenset((model.name, each.version.version) for model in concerned for each in model.holders(records))


def models_honouring(registry: Registry, request: str) -> list[str]:
    """Models of which a version honours a request."""
    found = registry.search(Tags(requests={_request_id(request): FULFILLED}))
    return sorted({version.name for version in found})


def _request_id(request: str) -> str:
    if not is_request_id(request):
        raise UserError(f"request {request!r} is no id of a request: letters, digits, '.', '_' and '-', at most 64")
    return request


def _resolved(where: Store, request: str) -> ConcernedModels | None:
    """The latest resolution in the ledger; None if there is none."""
    found = None
    for key in where.list(event_folder(request)):
        try:
            details = json.loads(where.read(key))["details"]
            if details["kind"] == "resolved":
                found = ConcernedModels(models=tuple(details["models"]), snapshots=tuple(details["snapshots"]))
        except (ValueError, KeyError, TypeError):
            raise UserError(f"ledger object {key!r} is damaged: verify the ledger") from None
    return found


def snapshot_digest(registry: Registry, text: str) -> str:
    """A snapshot's digest, from its beginning if that names one snapshot only.

    Raises:
        UserError: it is no digest, or several snapshots begin with it.
    """
    if is_digest(text):
        return text
    if not re.fullmatch(r"[0-9a-f]{8,63}", text):
        raise UserError(f"snapshot {text!r} is no digest: give 8 to 64 hexadecimal digits")
    found = {
        getattr(version.tags, key)
        for key in ("snapshot", "from_snapshot")
        for version in registry.search(Tags(**{key: text}), beginning=True)
    }
    if len(found) > 1:
        raise UserError(f"snapshot {text!r} may be {len(found)} snapshots: give more digits")
    return found.pop() if found else text


def require_snapshot(digest: str) -> None:
    """See that the store has a snapshot to which no version goes back.

    Raises:
        UserError: it has not.
    """
    if not store().exists(complete_key(digest)):
        raise UserError(f"snapshot {digest!r} is neither in the store nor known to any version: check the digest")


def audit_of(registry: Registry, version: Version) -> AuditAnswer:
    """What was found when a version was audited.

    Raises:
        UserError: it was not audited, or its files in MLflow are missing or not about it.
    """
    if version.tags.verdict == NONE:
        raise UserError(f"model {version.name} version {version.version} was not audited: it has no verdict")
    from unlearning.registry.logged_files import read_logged

    audit = read_logged(registry, version, "audit", Audit)
    return audits.audited(version, audit, read_logged(registry, version, "verdict", Verdict))


def artefacts_of(registry: Registry, version: Version) -> Artefacts:
    """Look for everything that was derived with a version."""
    where = store()
    weights = len(registry.weights(version))
    found = [artifacts.artefact(Place(kind="weights", key=version.tags.logged_model), weights, version, ())]
    for place in (*_data(version), *artifacts.certificates(version), *artifacts.batch(version)):
        found.append(_looked_for(registry, where, place, version))
    return Artefacts(model=version.name, version=version.version, status=version.tags.status, artefacts=tuple(found))


def _data(version: Version) -> list[Place]:
    places = []
    if version.tags.references not in (NONE, "0"):
        places.append(Place(kind="references", key=references_key(version.tags.digest), folder=True))
    if version.tags.snapshot != NONE:
        places.append(Place(kind="snapshot", key=snapshot_key(version.tags.snapshot), folder=True))
    if version.tags.split != NONE:
        places.append(Place(kind="split", key=split_key(version.tags.split)))
    return places


def _looked_for(known: Registry, where: Store, place: Place, version: Version) -> Artefact:
    shared: dict[Any, str] = {"snapshot": "snapshot", "split": "split", "references": "digest"}
    key = shared.get(place.kind)
    others = known.search(Tags(**{key: getattr(version.tags, key)})) if key is not None else []
    objects = len(where.list(place.key)) if place.folder else int(where.exists(place.key))
    return artifacts.artefact(place, objects, version, others)
