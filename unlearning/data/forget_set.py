"""Forget sets: which members a model must forget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from unlearning.core import lazy
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, sha256_json, write_json
from unlearning.core.seeding import generator
from unlearning.data.forget_selection import KINDS, Kind, NearDuplicateCounts
from unlearning.data.snapshots import Snapshot
from unlearning.data.splits import Split

if TYPE_CHECKING:
    import torch
else:
    torch = lazy.module("torch")


class ForgetSet(Config):
    """Members of one split that are to be forgotten."""

    kind: Kind
    split: str
    ids: tuple[str, ...]
    near_duplicates: NearDuplicateCounts | None = None
    """What was found when it was chosen; None where nobody looked."""

    @property
    def digest(self) -> str:
        """SHA-256 over the split and the ids, whatever their order."""
        return sha256_json({"split": self.split, "ids": sorted(self.ids)})


def select(
    split: Split,
    snapshot: Snapshot,
    *,
    kind: str,
    fraction: float = 0.2,
    class_name: str = "",
    ids: tuple[str, ...] = (),
    seed: int = 0,
) -> ForgetSet:
    """Choose the forget set.

    Args:
        split: whose members may be chosen.
        snapshot: what the split divides.
        kind: `random` takes `fraction` of the members, `class` all members of `class_name`,
            `cluster` a random member and the others most like it in pixels, `fraction` of the
            members together, `records` the given `ids`.

    Raises:
        UserError: unknown kind or class, a fraction outside (0, 1), ids that are not members, or
            nobody or everybody chosen.
    """
    match kind:
        case "random":
            chosen = _random(split, fraction, seed)
        case "class":
            chosen = _class(split, snapshot, class_name)
        case "cluster":
            chosen = _cluster(split, snapshot, fraction, seed)
        case "records":
            chosen = ids
        case _:
            raise UserError(f"forget kind {kind!r} is unknown: choose one of {', '.join(KINDS)}")
    split.retained(chosen)  # refuses empty, foreign, repeated and complete sets
    return ForgetSet(kind=kind, split=split.digest, ids=chosen)


def _count(split: Split, fraction: float) -> int:
    if not 0 < fraction < 1:
        raise UserError(f"forget fraction {fraction} is outside 0 to 1: give a share of the members, such as 0.2")
    return max(1, round(fraction * len(split.members)))


def _random(split: Split, fraction: float, seed: int) -> tuple[str, ...]:
    count = _count(split, fraction)
    order = torch.randperm(len(split.members), generator=generator(seed, "forget"))
    return tuple(split.members[row] for row in sorted(order[:count].tolist()))


def _cluster(split: Split, snapshot: Snapshot, fraction: float, seed: int) -> tuple[str, ...]:
    count = _count(split, fraction)
    centre = int(torch.randint(len(split.members), (), generator=generator(seed, "forget cluster")))
    distances = pixel_distances(snapshot, split.members, split.members[centre])
    nearest = distances.argsort(stable=True)[:count]
    return tuple(split.members[row] for row in sorted(nearest.tolist()))


def pixel_distances(snapshot: Snapshot, ids: tuple[str, ...], centre: str) -> torch.Tensor:
    """(N,) Euclidean distances of the pixels of `ids` to those of `centre`, in grey levels."""
    images = snapshot.rows(ids).images.flatten(1).float()
    distances: torch.Tensor = torch.linalg.vector_norm(
        images - snapshot.rows((centre,)).images.flatten(1).float(), dim=1
    )
    return distances


def _class(split: Split, snapshot: Snapshot, class_name: str) -> tuple[str, ...]:
    names = snapshot.manifest.class_names
    if class_name not in names:
        raise UserError(f"class {class_name!r} is unknown: choose one of {', '.join(names)}")
    labels = snapshot.rows(split.members).labels
    wanted = names.index(class_name)
    return tuple(identity for identity, label in zip(split.members, labels.tolist(), strict=True) if label == wanted)


def save(forget: ForgetSet, path: Path) -> None:
    """Write the forget set as JSON."""
    write_json(path, forget.model_dump(mode="json"))


def load(path: Path) -> ForgetSet:
    """Read a forget set.

    Raises:
        UserError: not a forget set.
    """
    try:
        return ForgetSet.model_validate(read_json(path, "forget set"))
    except ValidationError as error:
        raise UserError(f"forget set {path} is not valid: {error.errors()[0]['msg']}") from None


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
