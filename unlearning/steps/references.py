"""References: models trained on halves of the members, for every later audit of one original."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unlearning.audit.references import signals
from unlearning.audit.references.plan import check_count
from unlearning.audit.references.signals import References
from unlearning.compliance.retention.tombstones import refuse_erased_in
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.data.loading import load_split
from unlearning.learning.devices import choose_device, deterministic
from unlearning.recipes import provenance, references
from unlearning.recipes.provenance import check_split
from unlearning.storage.keys import references_key
from unlearning.storage.open import open_store


def make(
    *,
    model_path: Path,
    snapshot_path: Path,
    split_path: Path,
    count: int,
    numbers: Sequence[int],
    device: str,
    gpus: int = 0,
    references_path: Path,
) -> References:
    """Train the references `numbers` of `count` and write weights and signals; goes on where it was interrupted.

    Raises:
        UserError: not an original, not trained on this split, or on records that were erased since.
    """
    check_count(count)
    made = provenance.load(model_path)
    snapshot, split = load_split(snapshot_path, split_path)
    if made.parent:
        raise UserError(f"{model_path} was unlearned: references are made for an original, before it forgets")
    check_split(made, split)
    refuse_erased_in(snapshot)
    chosen = choose_device(device, gpus)
    deterministic()
    return references.make(
        model_path,
        made,
        snapshot,
        split,
        count=count,
        numbers=numbers,
        device=chosen,
        references_path=references_path,
    )


def gather(*, parts: Sequence[Path], references_path: Path) -> References:
    """One set out of its parts, kept in the store.

    Raises:
        UserError: the parts are not all parts of one set.
    """
    merged = signals.gather(parts, references_path)
    if merged.manifest.count:
        store = open_store(settings.from_environment().store)
        store.put_folder(references_key(merged.manifest.original), references_path)
    return merged
