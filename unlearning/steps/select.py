"""Select: which members this run makes the model forget."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from unlearning import forgetting, settings
from unlearning.compliance import batches
from unlearning.compliance.claims import WORKING
from unlearning.compliance.ledger import Ledger
from unlearning.errors import UserError
from unlearning.splits import Split
from unlearning.steps.data import load_split
from unlearning.store import open_store

BATCH = "batch"
"""Kind of a forget set that compliance requests ask for."""


@dataclass(frozen=True)
class SelectResult:
    """What was selected."""

    digest: str
    records: int


def _of_batch(batch: str, model_name: str, split: Split) -> tuple[str, ...]:
    """What a batch's requests ask for, as far as it still works on them and the version has not forgotten it."""
    store = open_store(settings.from_environment().store)
    wanted = batches.wanted(store, batches.load(store, batch), model_name)
    ledger = Ledger(store)
    held = {request: ledger.state(request).models.get(model_name) for request in wanted.records}
    asked = [request for request, model in held.items() if model and model.batch == batch and model.status in WORKING]
    ids = frozenset(identity for request in asked for identity in wanted.records[request])
    left = tuple(identity for identity in split.members if identity in ids)
    if not left:
        raise UserError(f"batch {batch!r} has nothing left to do for model {model_name!r}: collect again")
    return left


def parse_ids(text: str) -> tuple[str, ...]:
    """Record ids from a JSON list, or from words separated by commas or white space.

    Raises:
        UserError: looks like JSON but is not a list of strings.
    """
    if not text.strip().startswith("["):
        return tuple(text.replace(",", " ").split())
    try:
        ids = json.loads(text)
    except ValueError as error:
        raise UserError(f"forget ids are not valid JSON ({error}): give a list of record ids") from None
    if not all(isinstance(identity, str) for identity in ids):
        raise UserError("forget ids must be strings: give a JSON list of record ids")
    return tuple(ids)


def select(
    *,
    snapshot_path: Path,
    split_path: Path,
    kind: str,
    fraction: float,
    class_name: str,
    ids: str,
    seed: int,
    batch: str = "",
    model_name: str = "",
    forget_path: Path,
) -> SelectResult:
    """Choose the forget set and write it.

    Args:
        kind: of `unlearning.forgetting.KINDS`, or `batch`: what the batch's requests ask for. Record ids then
            come from the store, so that no parameter and no log names them.
        batch, model_name: of `kind` batch.
    """
    snapshot, split = load_split(snapshot_path, split_path)
    chosen = parse_ids(ids)
    if kind == BATCH:
        kind, chosen = "records", _of_batch(batch, model_name, split)
    forget = forgetting.select(
        split, snapshot, kind=kind, fraction=fraction, class_name=class_name, ids=chosen, seed=seed
    )
    forgetting.save(forget, forget_path)
    return SelectResult(forget.digest, len(forget.ids))
