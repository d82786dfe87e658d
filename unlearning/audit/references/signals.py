"""What reference models show of every record, kept so that any later audit can ask."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from unlearning.audit.references.training import Mask, ReferenceModel
from unlearning.audit.results import REFERENCES_FILE
from unlearning.audit.signals import ENCODER_SIGNALS, MEASURED, NAMES, SIGNALS, Measured, SignalConfig, Signals
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import new_folder, read_json, write_json
from unlearning.data.splits import Split

SIGNALS_FILE = "signals.safetensors"
MODELS_FOLDER = "models"
LOSSES = "losses"

Array = npt.NDArray[np.float64]


class ReferencesManifest(Config):
    """What the references belong to."""

    original: str
    """Digest of the model whose training they repeat."""
    split: str
    count: int = Field(ge=0, description="References of the whole set; 0 where none were asked for.")
    seed: int
    signals: SignalConfig
    numbers: tuple[int, ...]
    """Which of the set are here."""
    seconds: tuple[float, ...]
    """Training time of each, without what an interrupted task had done before."""
    measured: int = MEASURED
    """See `signals.MEASURED`; files that do not say so were measured in the first way."""


@dataclass(frozen=True)
class References:
    """What K reference models show of M members and H holdout records, in the split's order."""

    manifest: ReferencesManifest
    trained: Mask
    """(K, M)."""
    members: Signals
    """Name to (K, M), of `SIGNALS` and `REPRESENTATION`."""
    holdout: Signals
    """Name to (K, H)."""
    member_losses: Array
    """(K, M, Q), one per query."""
    holdout_losses: Array
    """(K, H, Q)."""
    original: Measured | None = None
    """What the original itself shows of members and holdout, so that no audit needs to look at it again; None where
    it was not measured, as in a part of a set."""

    def only(self, chosen: npt.NDArray[np.intp] | Mask) -> References:
        """Some of the references, by their rows here; the manifest stays that of the set."""
        return replace(
            self,
            trained=self.trained[chosen],
            members={name: np.asarray(value)[chosen] for name, value in self.members.items()},
            holdout={name: np.asarray(value)[chosen] for name, value in self.holdout.items()},
            member_losses=self.member_losses[chosen],
            holdout_losses=self.holdout_losses[chosen],
        )

    def shown(self, row: int) -> tuple[Measured, Measured]:
        """What one reference shows of the members and of the holdout."""
        members = {name: np.asarray(value)[row] for name, value in self.members.items()}
        holdout = {name: np.asarray(value)[row] for name, value in self.holdout.items()}
        return _measured(members, self.member_losses[row]), _measured(holdout, self.holdout_losses[row])


def _measured(values: Signals, losses: Array) -> Measured:
    return Measured(
        signals={name: values[name] for name in SIGNALS},
        encoder={name: values[name] for name in ENCODER_SIGNALS},
        losses=losses,
    )


def _all(measured: Measured) -> dict[str, Array]:
    return measured.signals | measured.encoder


def collect(manifest: ReferencesManifest, models: Sequence[ReferenceModel], trained: Mask) -> References:
    """The signals of trained references, side by side.

    Args:
        manifest: its `numbers` are those of `models`.
        models: K of them.
        trained: (count, M), of the whole set.
    """
    count = trained.shape[1]
    queries = manifest.signals.queries
    losses = np.stack([each.measured.losses for each in models]) if models else np.empty((0, count, queries))
    values = {
        name: np.stack([_all(each.measured)[name] for each in models]) if models else np.empty((0, count))
        for name in NAMES
    }
    return References(
        manifest=manifest,
        trained=trained[list(manifest.numbers)],
        members={name: value[:, :count] for name, value in values.items()},
        holdout={name: value[:, count:] for name, value in values.items()},
        member_losses=losses[:, :count],
        holdout_losses=losses[:, count:],
    )


def merge(parts: Sequence[References]) -> References:
    """Parts of one set, made on several machines, as one.

    Raises:
        UserError: they belong to different sets, or one is missing or there twice.
    """
    shared = [part.manifest.model_copy(update={"numbers": (), "seconds": ()}) for part in parts]
    if any(each != shared[0] for each in shared):
        raise UserError("the references do not belong together: make all parts from the same model, split and seed")
    numbers = [number for part in parts for number in part.manifest.numbers]
    if sorted(numbers) != list(range(shared[0].count)):
        raise UserError(f"references {sorted(numbers)} of {shared[0].count} are there: give every part once")
    order = np.argsort(numbers)
    seconds = [value for part in parts for value in part.manifest.seconds]
    given = {"numbers": tuple(sorted(numbers)), "seconds": tuple(seconds[place] for place in order)}
    together = References(
        manifest=shared[0].model_copy(update=given),
        trained=np.concatenate([part.trained for part in parts]),
        members={name: np.concatenate([part.members[name] for part in parts]) for name in NAMES},
        holdout={name: np.concatenate([part.holdout[name] for part in parts]) for name in NAMES},
        member_losses=np.concatenate([part.member_losses for part in parts]),
        holdout_losses=np.concatenate([part.holdout_losses for part in parts]),
        original=next((part.original for part in parts if part.original is not None), None),
    )
    return together.only(order)


def _arrays(references: References) -> dict[str, npt.NDArray[np.generic]]:
    found: dict[str, npt.NDArray[np.generic]] = {
        "trained": references.trained.astype(np.uint8),
        "member_losses": references.member_losses,
        "holdout_losses": references.holdout_losses,
    }
    for group in ("members", "holdout"):
        found |= {f"{group}.{name}": np.asarray(value) for name, value in getattr(references, group).items()}
    if references.original is not None:
        whole = _all(references.original) | {LOSSES: references.original.losses}
        found |= {f"original.{name}": value for name, value in whole.items()}
    return {name: np.ascontiguousarray(value) for name, value in found.items()}


def save(references: References, folder: Path) -> None:
    """Write manifest and signals into a folder; the weights are put beside them, see `model_folder`."""
    write_json(folder / REFERENCES_FILE, references.manifest.model_dump(mode="json"))
    save_file(_arrays(references), str(folder / SIGNALS_FILE))


def model_folder(number: int) -> str:
    """Where reference `number` is, within the folder of the set."""
    return f"{MODELS_FOLDER}/{number:03d}"


def load(path: Path) -> References:
    """Read a set of references, or a part of one.

    Raises:
        UserError: missing or damaged.
    """
    try:
        document = read_json(path / REFERENCES_FILE, "references")
        if isinstance(document, dict):
            document = {"measured": 1, **document}
        manifest = ReferencesManifest.model_validate(document)
        arrays = load_file(str(path / SIGNALS_FILE))
        groups = {group: {name: arrays[f"{group}.{name}"] for name in NAMES} for group in ("members", "holdout")}
        original = {name: arrays[f"original.{name}"] for name in (*NAMES, LOSSES) if f"original.{LOSSES}" in arrays}
        _check_measured(manifest, path)
        return References(
            original=_measured(original, original[LOSSES]) if original else None,
            manifest=manifest,
            trained=arrays["trained"].astype(bool),
            member_losses=arrays["member_losses"],
            holdout_losses=arrays["holdout_losses"],
            **groups,
        )
    except (ValidationError, SafetensorError, KeyError, OSError) as error:
        raise UserError(f"references {path} are damaged or none: {str(error).splitlines()[0]}") from None


def _check_measured(manifest: ReferencesManifest, path: Path) -> None:
    if manifest.count and manifest.measured != MEASURED:
        raise UserError(
            f"references {path} were measured by another version, in another way: train them again "
            "(unlearn step references, or the pretraining pipeline)"
        )


def gather(parts: Sequence[Path], path: Path) -> References:
    """Write one set out of the folders of its parts, with the weights that lie in them.

    Raises:
        UserError: the parts are not all parts of one set.
    """
    merged = merge([load(part) for part in parts])
    with new_folder(path) as folder:
        save(merged, folder)
        for part in parts:
            if (part / MODELS_FOLDER).is_dir():
                shutil.copytree(part / MODELS_FOLDER, folder / MODELS_FOLDER, dirs_exist_ok=True)
    return merged


def load_for(path: Path, original: str, split: str) -> References:
    """The references of one original.

    Args:
        path: their folder.
        original, split: digests of the model and its split.

    Raises:
        UserError: missing, damaged, or another's: those say nothing about this one.
    """
    found = load(path)
    manifest = found.manifest
    if (manifest.original, manifest.split) != (original, split):
        raise UserError(
            f"the references were made for model {manifest.original[:12]} and split {manifest.split[:12]}, not for "
            f"{original[:12]} and {split[:12]}: give those of this original"
        )
    return found


def no_references(original: str, split: Split, signals: SignalConfig) -> References:
    """The empty set of an original for which none were made."""
    none = ReferencesManifest(
        original=original, split=split.digest, count=0, seed=0, signals=signals, numbers=(), seconds=()
    )
    return collect(none, [], np.zeros((0, len(split.members)), dtype=bool))


def save_none(original: str, split: Split, signals: SignalConfig, path: Path) -> None:
    """Write the empty set of an original as a new folder."""
    with new_folder(path) as folder:
        save(no_references(original, split, signals), folder)
