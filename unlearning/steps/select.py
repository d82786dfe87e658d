"""Select: which members this run makes the model forget."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from unlearning import forgetting
from unlearning.errors import UserError
from unlearning.steps.data import load_split


@dataclass(frozen=True)
class SelectResult:
    """What was selected."""

    digest: str
    records: int


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
    forget_path: Path,
) -> SelectResult:
    """Choose the forget set and write it."""
    snapshot, split = load_split(snapshot_path, split_path)
    forget = forgetting.select(
        split, snapshot, kind=kind, fraction=fraction, class_name=class_name, ids=parse_ids(ids), seed=seed
    )
    forgetting.save(forget, forget_path)
    return SelectResult(forget.digest, len(forget.ids))
