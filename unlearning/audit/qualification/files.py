"""What models show of the sets that they forgot, in files: of each set one, and of a task's share a folder.

They say how single records look to a model, in the order of a seeded draw: whoever has the split can tell whose they
are. So they are told by the original and its data, like references, and purged with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from unlearning.audit.qualification.judge import ForgottenSet
from unlearning.audit.qualification.pooled import Array
from unlearning.audit.qualification.shown import ONE_BY_ONE, RECOGNISING, Shown
from unlearning.audit.recognised import Recognised
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json

PLAIN = ("signals", "holdout_signals", "confidences", "averages")
"""Arrays of a set that belong to no attack."""

SETS_FILE = "forgotten-sets.json"
"""Manifest in the folder of a share."""


class SetsManifest(Config):
    """What a share of the sets belongs to."""

    original: str
    split: str
    method: str
    settings: dict[str, Any]
    seed: int
    sets: dict[int, int]
    """By size, how many there are in all shares."""
    numbers: dict[int, tuple[int, ...]]
    """By size, which of them are here."""


def set_file(size: int, number: int) -> str:
    """The file of a set, within the folder of a share."""
    return f"{size}-{number:04d}.safetensors"


def save_set(found: ForgottenSet, path: Path, metadata: Mapping[str, str]) -> None:
    """Write what a model shows of one set, in one step.

    Args:
        metadata: of which training and data it is, see `learning.checkpoint`.

    Raises:
        UserError: the folder cannot be written to.
    """
    arrays = {f"lost.{name}": value for name, value in found.lost.items()}
    if found.shown is not None:
        arrays |= {name: getattr(found.shown, name) for name in PLAIN}
        for name, (of_forgotten, of_holdout) in found.shown.placed.items():
            arrays |= {f"forgotten.{name}": of_forgotten, f"holdout.{name}": of_holdout}
        for name, each in found.shown.recognised.items():
            arrays |= {f"recognised.{name}": each.forget, f"threshold.{name}": each.threshold}
    told = {"seconds": repr(found.seconds), "diverged": found.diverged, **metadata}
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, str(partial), told)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write {path} ({error}): choose a folder you may write to") from None


def load_set(path: Path) -> ForgottenSet:
    """Read what a model shows of one set.

    Raises:
        UserError: missing or damaged.
    """
    try:
        with safe_open(str(path), framework="np") as handle:
            told = dict(handle.metadata() or {})
            arrays: dict[str, Array] = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        lost = {name.removeprefix("lost."): value for name, value in arrays.items() if name.startswith("lost.")}
        return ForgottenSet(
            None if told["diverged"] else _shown(arrays), lost, float(told["seconds"]), told["diverged"]
        )
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise UserError(f"forgotten set {path} is damaged or none: {str(error).splitlines()[0]}") from None


def _shown(arrays: Mapping[str, Array]) -> Shown:
    return Shown(
        placed={name: (arrays[f"forgotten.{name}"], arrays[f"holdout.{name}"]) for name in ONE_BY_ONE},
        recognised={
            name: Recognised(arrays[f"recognised.{name}"], arrays[f"threshold.{name}"]) for name in RECOGNISING
        },
        **{name: arrays[name] for name in PLAIN},
    )


def load_manifest(part: Path) -> SetsManifest:
    """What a share belongs to.

    Raises:
        UserError: missing or damaged.
    """
    try:
        return SetsManifest.model_validate(read_json(part / SETS_FILE, "forgotten sets"))
    except ValidationError as error:
        raise UserError(f"forgotten sets {part} are not valid: {error.errors()[0]['msg']}") from None


def gather(parts: Sequence[Path]) -> tuple[SetsManifest, dict[int, list[ForgottenSet]]]:
    """The sets of all shares, by size, in the order of their numbers.

    Raises:
        UserError: the shares do not belong together, or a set is missing or there twice.
    """
    manifests = [load_manifest(part) for part in parts]
    shared = [each.model_copy(update={"numbers": {}}) for each in manifests]
    if not shared or any(each != shared[0] for each in shared):
        raise UserError("the forgotten sets do not belong together: make all shares from one model, method and seed")
    found: dict[int, list[ForgottenSet]] = {}
    for size, count in sorted(shared[0].sets.items()):
        paths = [
            (number, part / set_file(size, number))
            for part, manifest in zip(parts, manifests, strict=True)
            for number in manifest.numbers.get(size, ())
        ]
        if sorted(number for number, _ in paths) != list(range(count)):
            raise UserError(f"{len(paths)} of {count} sets of {size} records are there: give every share once")
        found[size] = [load_set(path) for _, path in sorted(paths)]
    return shared[0], found
