"""Select: which members this run makes the model forget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unlearning.compliance.batches.wanted import members_wanted
from unlearning.core.errors import UserError
from unlearning.data import forget_set
from unlearning.data.forget_selection import NearDuplicateCounts
from unlearning.data.forget_set import parse_ids
from unlearning.data.loading import load_split
from unlearning.learning import near_duplicates
from unlearning.learning.near_duplicates import with_near_duplicates
from unlearning.recipes.near_duplicates import find

BATCH = "batch"
"""Kind of a forget set that compliance requests ask for."""


@dataclass(frozen=True)
class SelectResult:
    """What was selected."""

    digest: str
    records: int
    near_duplicates: NearDuplicateCounts | None
    """None where nobody looked for them."""


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
    model_path: Path | None = None,
    include_near_duplicates: bool = False,
    device: str = "auto",
    gpus: int = 0,
    forget_path: Path,
    near_duplicates_path: Path | None = None,
) -> SelectResult:
    """Choose the forget set and write it, and look for kept members that nearly repeat what is in it.

    Args:
        kind: of `unlearning.data.forget_selection.KINDS`, or `batch`: what the batch's requests ask for. Record ids
            then come from the store, so that no parameter and no log names them.
        batch, model_name: of `kind` batch.
        model_path: that is to forget; None for not looking.
        include_near_duplicates: also forget those that were found, but not what repeats them in turn. Of a batch,
            what repeats a record of a request that asks for it is forgotten in any case.
        near_duplicates_path: where they are written; None for nowhere.

    Raises:
        UserError: what cannot be forgotten, or a model that was trained on another split.
    """
    if model_path is None and (include_near_duplicates or near_duplicates_path is not None):
        raise UserError("near-duplicates are looked for with the model that is to forget: give the model")
    snapshot, split = load_split(snapshot_path, split_path)
    chosen, repeated = parse_ids(ids), frozenset[str]()
    if kind == BATCH:
        kind, (chosen, repeated) = "records", members_wanted(batch, model_name, split)
    forget = forget_set.select(
        split, snapshot, kind=kind, fraction=fraction, class_name=class_name, ids=chosen, seed=seed
    )
    if model_path is not None:
        found = find(model_path, snapshot, split, forget, device=device, gpus=gpus)
        of = frozenset(forget.ids) if include_near_duplicates else repeated
        forget = with_near_duplicates(forget, found, split, of)
        if near_duplicates_path is not None:
            near_duplicates.save(found, near_duplicates_path)
    forget_set.save(forget, forget_path)
    return SelectResult(forget.digest, len(forget.ids), forget.near_duplicates)
