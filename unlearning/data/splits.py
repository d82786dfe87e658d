"""One seeded function that says who is trained on, who calibrates, who audits and who tests."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, ValidationError, model_validator

from unlearning.core import lazy
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, sha256_json, write_json
from unlearning.core.seeding import generator
from unlearning.data.snapshots import Manifest

if TYPE_CHECKING:
    import torch
else:
    torch = lazy.module("torch")

PARTS = ("members", "calibration", "holdout", "test")


class SplitConfig(Config):
    """How many records each part gets."""

    members: int = Field(gt=1, description="Records the model is trained on.")
    calibration: int = Field(gt=1, description="Non-members that stage 1 may look at.")
    holdout: int = Field(gt=1, description="Non-members that only the audit looks at.")
    test: int = Field(gt=1, description="Non-members that only measure accuracy.")


class Split(Config):
    """A partition of a snapshot by record id. No id is in two parts.

    The gallery (labels for weighted kNN and the linear probe) is not a fifth part: it is the
    members that are retained, so it depends on the forget set and is asked for with it.
    """

    snapshot: str
    seed: int
    members: tuple[str, ...]
    calibration: tuple[str, ...]
    holdout: tuple[str, ...]
    test: tuple[str, ...]

    @model_validator(mode="after")
    def _parts_never_overlap(self) -> Self:
        if len(set(self.ids)) != len(self.ids):
            raise ValueError("a record id is in two parts of the split, or twice in one")
        return self

    @property
    def ids(self) -> tuple[str, ...]:
        """The records of all parts, one part after the other."""
        return tuple(identity for part in PARTS for identity in getattr(self, part))

    @property
    def digest(self) -> str:
        """SHA-256 over the snapshot's digest, the seed and every part."""
        return sha256_json(self.model_dump(mode="json"))

    def retained(self, forget: tuple[str, ...]) -> tuple[str, ...]:
        """The members outside `forget`, in the split's order.

        Raises:
            UserError: the forget set is empty, repeats an id, names a non-member, or is everybody.
        """
        if not forget:
            raise UserError("the forget set is empty: name at least one member to forget")
        if len(set(forget)) != len(forget):
            raise UserError("the forget set names a record twice: give each record id once")
        non_members = sorted(set(forget) - set(self.members))
        if non_members:
            raise UserError(
                f"{len(non_members)} of {len(forget)} records to forget are not members of split "
                f"{self.digest[:12]}, the first is {non_members[0]!r}: only members can be forgotten"
            )
        wanted = set(forget)
        kept = tuple(identity for identity in self.members if identity not in wanted)
        if not kept:
            raise UserError("every member would be forgotten: retire the model instead of unlearning it")
        return kept

    def gallery(self, forget: tuple[str, ...]) -> tuple[str, ...]:
        """Records whose labels kNN and probe may use: the retained members."""
        return self.retained(forget)


def make_split(manifest: Manifest, config: SplitConfig, seed: int) -> Split:
    """Draw the parts at random without replacement; the same seed gives the same split.

    The draw runs over sorted record ids, so the order of rows in the snapshot does not matter.

    Raises:
        UserError: the snapshot has fewer distinct records than the parts need.
    """
    ids = sorted(set(manifest.record_ids))
    sizes = [getattr(config, part) for part in PARTS]
    if sum(sizes) > len(ids):
        raise UserError(
            f"the split needs {sum(sizes)} distinct records but snapshot {manifest.digest[:12]} has "
            f"{len(ids)}: lower the split sizes or ingest more records"
        )
    order = torch.randperm(len(ids), generator=generator(seed, "split")).tolist()
    parts: dict[str, tuple[str, ...]] = {}
    start = 0
    for part, size in zip(PARTS, sizes, strict=True):
        parts[part] = tuple(ids[row] for row in order[start : start + size])
        start += size
    return Split(snapshot=manifest.digest, seed=seed, **parts)


def without(split: Split, ids: Collection[str], snapshot_digest: str) -> Split:
    """The split with the records `ids` gone from every part; ids that are in none change nothing.

    Args:
        split: keeps its seed and the order of its parts.
        ids: of erased records.
        snapshot_digest: of the snapshot without them, which the new split divides.
    """
    gone = frozenset(ids)
    parts = {part: tuple(each for each in getattr(split, part) if each not in gone) for part in PARTS}
    return Split(snapshot=snapshot_digest, seed=split.seed, **parts)


def save(split: Split, path: Path) -> None:
    """Write the split as JSON."""
    write_json(path, split.model_dump(mode="json"))


def load(path: Path) -> Split:
    """Read a split.

    Raises:
        UserError: not a split, or one whose parts overlap.
    """
    try:
        return Split.model_validate(read_json(path, "split"))
    except ValidationError as error:
        raise UserError(f"split {path} is not valid: {error.errors()[0]['msg']}") from None
