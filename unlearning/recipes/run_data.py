"""An original with the data and the forget set of a run, checked to be of one piece."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from unlearning.data import forget_set
from unlearning.data.forget_set import ForgetSet
from unlearning.data.loading import load_split, part
from unlearning.data.records import Records
from unlearning.data.snapshots import Snapshot
from unlearning.data.splits import Split
from unlearning.recipes import provenance
from unlearning.recipes.provenance import Provenance, check_belongs


@dataclass(frozen=True)
class RunData:
    """What the models of a run are looked at with."""

    made: Provenance
    """Of the original."""
    snapshot: Snapshot
    split: Split
    forget: ForgetSet

    @property
    def retained(self) -> tuple[str, ...]:
        """Ids of the members that are not forgotten, in the split's order."""
        return self.split.retained(self.forget.ids)

    def records(self, ids: tuple[str, ...], device: torch.device) -> Records:
        """Records by id, at the size the models see."""
        return part(self.snapshot, ids, self.made.recipe.data.image_side, device)


def load(original: Path, snapshot_path: Path, split_path: Path, forget_path: Path) -> RunData:
    """Read all of it.

    Raises:
        UserError: something is missing or damaged, or they do not belong together.
    """
    made = provenance.load(original)
    snapshot, split = load_split(snapshot_path, split_path)
    forget = forget_set.load(forget_path)
    check_belongs(made, split, forget)
    return RunData(made, snapshot, split, forget)
