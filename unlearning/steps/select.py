"""Select: which members this run makes the model forget."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from unlearning import forgetting, models, near_duplicates, provenance
from unlearning.devices import choose_device, deterministic
from unlearning.errors import UserError
from unlearning.forgetting import ForgetSet
from unlearning.near_duplicates import NearDuplicates
from unlearning.snapshots import Snapshot
from unlearning.splits import Split
from unlearning.steps.data import load_split
from unlearning.steps.unlearn import check_split
from unlearning.summary import NearDuplicateCounts


@dataclass(frozen=True)
class SelectResult:
    """What was selected."""

    digest: str
    records: int
    near_duplicates: NearDuplicateCounts | None
    """None where nobody looked for them."""


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
    model_path: Path | None = None,
    include_near_duplicates: bool = False,
    device: str = "auto",
    gpus: int = 0,
    forget_path: Path,
    near_duplicates_path: Path | None = None,
) -> SelectResult:
    """Choose the forget set and write it, and look for kept members that nearly repeat what is in it.

    Args:
        model_path: that is to forget; None for not looking.
        include_near_duplicates: also forget those that were found, but not what repeats them in turn.
        near_duplicates_path: where they are written; None for nowhere.

    Raises:
        UserError: what cannot be forgotten, or a model that was trained on another split.
    """
    if model_path is None and (include_near_duplicates or near_duplicates_path is not None):
        raise UserError("near-duplicates are looked for with the model that is to forget: give the model")
    snapshot, split = load_split(snapshot_path, split_path)
    forget = forgetting.select(
        split, snapshot, kind=kind, fraction=fraction, class_name=class_name, ids=parse_ids(ids), seed=seed
    )
    if model_path is not None:
        found = _repetitions(snapshot, split, forget, model_path, device, gpus)
        forget = _with_repetitions(forget, found, split, include_near_duplicates)
        if near_duplicates_path is not None:
            near_duplicates.save(found, near_duplicates_path)
    forgetting.save(forget, forget_path)
    return SelectResult(forget.digest, len(forget.ids), forget.near_duplicates)


def _repetitions(
    snapshot: Snapshot, split: Split, forget: ForgetSet, model_path: Path, device: str, gpus: int
) -> NearDuplicates:
    made = provenance.load(model_path)
    check_split(made, split)
    chosen, recipe = choose_device(device, gpus), made.recipe
    deterministic()
    return near_duplicates.find(
        snapshot,
        split,
        forget,
        models.load(model_path, chosen),
        side=recipe.data.image_side,
        config=recipe.near_duplicates,
        device=chosen,
    )


def _with_repetitions(forget: ForgetSet, found: NearDuplicates, split: Split, include: bool) -> ForgetSet:
    more = tuple(pair.kept for pair in found.found) if include else ()
    ids = forget.ids + more
    split.retained(ids)  # refuses to forget everybody
    counts = NearDuplicateCounts(found=len(found.found), alike=len(found.alike), included=include)
    return forget.model_copy(update={"ids": ids, "near_duplicates": counts})
