"""What a batch's requests ask for."""

from __future__ import annotations

from unlearning.compliance.batches import store as batches
from unlearning.compliance.batches.store import Wanted
from unlearning.compliance.ledger.claims import WORKING
from unlearning.compliance.ledger.store import Ledger
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.data.splits import Split
from unlearning.storage.open import open_store


def wanted_now(batch: str, model_name: str) -> Wanted:
    """What a batch's requests ask for, as far as it still works on them."""
    store = open_store(settings.from_environment().store)
    wanted, ledger = batches.wanted(store, batches.load(store, batch), model_name), Ledger(store)
    held = {request: ledger.state(request).models.get(model_name) for request in wanted.records}
    asked = {request for request, model in held.items() if model and model.batch == batch and model.status in WORKING}
    return Wanted(
        records={request: some for request, some in wanted.records.items() if request in asked},
        look_alikes=tuple(request for request in wanted.look_alikes if request in asked),
    )


def members_wanted(batch: str, model_name: str, split: Split) -> tuple[tuple[str, ...], frozenset[str]]:
    """Members that a batch's requests still ask a model to forget, and what is to be forgotten with its repetitions.

    Returns:
        The members in the split's order, and the records of those requests that ask for near-duplicates too.

    Raises:
        PurgedError: the batch names no records any more.
        UserError: nothing is left to be done.
    """
    wanted = wanted_now(batch, model_name)
    ids = frozenset(wanted.ids)
    members = tuple(each for each in split.members if each in ids)
    if not members:
        raise UserError(f"batch {batch!r} has nothing left to do for model {model_name!r}: collect again")
    return members, frozenset(each for request in wanted.look_alikes for each in wanted.records[request])
