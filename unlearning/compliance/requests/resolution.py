"""What a request concerns: its records, and what every model has to do with them. Nothing here reads or writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from unlearning.compliance.inventory import Inventory, TrainedModel
from unlearning.compliance.requests.requests import Request
from unlearning.core.errors import UserError
from unlearning.registry.versions import Version


@dataclass(frozen=True)
class SettledModel:
    """A model of which nothing that serves holds the records, though a version was trained on some of them."""

    how: Literal["already", "withdrawn"]
    """`already`: what serves was made to forget them. `withdrawn`: what serves was never trained on them, and what
    was is to be taken out of use."""
    version: Version | None
    """That forgot them, or that serves; None where none does."""
    records: frozenset[str]
    """Those that the model was trained on."""


@dataclass(frozen=True)
class ConcernedRecords:
    """What a request is about, as things stand."""

    records: frozenset[str]
    """Of all snapshots and versions, and those that were erased before."""
    snapshots: tuple[str, ...]
    """Digests of those that hold any, sorted."""
    members: Mapping[str, frozenset[str]]
    """What each model that serves was trained on and has not forgotten, by its name; no model without any."""
    settled: Mapping[str, SettledModel]
    """Models that have nothing to forget any more, by name."""


def concern(request: Request, inventory: Inventory) -> ConcernedRecords:
    """Look a request up.

    Args:
        inventory: of everything.

    Raises:
        UserError: a version serves of which nobody can say what it was trained on.
    """
    records = inventory.records_of(request)
    members: dict[str, frozenset[str]] = {}
    settled: dict[str, SettledModel] = {}
    for model in inventory.models:
        if not records or request.model not in ("", model.name):
            continue
        serving = model.serving
        if serving is not None and serving.holds(records):
            members[model.name] = _members(model, records)
        elif (found := _settled(inventory, model, records)) is not None:
            settled[model.name] = found
    return ConcernedRecords(records, inventory.snapshots_with(records), members, settled)


def _members(model: TrainedModel, records: frozenset[str]) -> frozenset[str]:
    serving = model.serving
    if serving is None or serving.members is None:
        raise UserError(
            f"the split of what serves of model {model.name} is missing or damaged, so nobody can say what it was "
            "trained on: put the split back, or promote another version"
        )
    return serving.members & records


def _settled(inventory: Inventory, model: TrainedModel, records: frozenset[str]) -> SettledModel | None:
    line = model.line
    for newer, older in pairwise(line):
        if older.holds(records):
            return SettledModel("already", newer.version, records if older.members is None else records & older.members)
    serves = model.serving.version if model.serving is not None else None
    held = model.holders(records)
    if held:
        known = frozenset[str]().union(*(records & each.members for each in held if each.members is not None))
        return SettledModel("withdrawn", serves, known)
    # What held them was purged, but not what became of it.
    kept = inventory.forgotten.get(model.name, {})
    for each in line:
        if forgot := records & kept.get(each.version.version, frozenset()):
            return SettledModel("already", each.version, forgot)
    known = frozenset[str]().union(*(records & each for each in kept.values()))
    return SettledModel("withdrawn", serves, known) if known else None
