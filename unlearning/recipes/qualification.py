"""A recipe's method made to forget many simulated sets, each on the original anew, and what every result shows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from unlearning.audit.accuracy import Evaluation, evaluate
from unlearning.audit.qualification import files
from unlearning.audit.qualification.files import SETS_FILE, SetsManifest, set_file
from unlearning.audit.qualification.judge import ForgottenSet
from unlearning.audit.qualification.plan import Rows, count_of, draw
from unlearning.audit.qualification.shown import show
from unlearning.audit.reference_baseline import ReferenceBaseline
from unlearning.audit.references.signals import References
from unlearning.audit.signals import measure
from unlearning.core import settings
from unlearning.core.config import Config
from unlearning.core.errors import TrainingDivergedError, UserError
from unlearning.core.files import new_folder, sha256_json, write_json
from unlearning.core.progress import suppress_progress, track
from unlearning.core.seeding import derive
from unlearning.data.loading import part
from unlearning.data.records import Records, concatenate
from unlearning.data.snapshots import Snapshot
from unlearning.data.splits import Split
from unlearning.learning import models
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm, make_paradigm
from unlearning.recipes.escalated import can_be_escalated, settings_at
from unlearning.recipes.provenance import Provenance
from unlearning.recipes.recipe import Recipe, override_method
from unlearning.recipes.unlearning import run_method


def settings_of(recipe: Recipe, method: str, overrides: str) -> Config:
    """The settings that are qualified: those of the first attempt.

    Raises:
        UserError: no such method or setting, or exact retraining, which needs no qualification.
    """
    if method == "retrain":
        raise UserError("method retrain needs no qualification: what is trained again never saw the records")
    found = settings_at(override_method(recipe, method, overrides), method, "first")
    assert can_be_escalated(method), "every method but exact retraining has settings of its own"
    return found


@dataclass(frozen=True)
class Forgetting:
    """All that is the same for every set of one original."""

    original: Model
    paradigm: Paradigm
    members: Records
    holdout: Records
    calibration: Records
    test: Records
    before: Evaluation
    """Of the original."""
    recipe: Recipe
    method: str
    config: Config
    references: References
    seed: int

    @property
    def rows(self) -> int:
        """How many members there are."""
        return len(self.members)

    def evaluated(self, model: Model) -> Evaluation:
        """With all members in the gallery, for whatever set was forgotten: every set is measured alike."""
        return evaluate(model, gallery=self.members, test=self.test, forget=None, config=self.recipe.evaluation)

    def forget(self, size: int, number: int, forgotten: Rows) -> tuple[Model | None, float, str]:
        """The model without a set and the seconds it took; or why there is none."""
        rows = torch.from_numpy(forgotten).to(self.members.images.device)
        kept = torch.from_numpy(self.retained(forgotten)).to(rows.device)
        given = {"retain": self.members[kept], "forget": self.members[rows], "calibration": self.calibration}
        seed, begun = derive(self.seed, f"qualification {size} {number}"), time.perf_counter()
        try:
            found = run_method(self.method, self.original, self.paradigm, **given, config=self.config, seed=seed)
        except TrainingDivergedError as error:
            return None, time.perf_counter() - begun, str(error)
        return found, time.perf_counter() - begun, ""

    def retained(self, forgotten: Rows) -> Rows:
        """Rows of the other members."""
        return np.setdiff1d(np.arange(self.rows), forgotten)


def prepare(
    model_path: Path,
    made: Provenance,
    snapshot: Snapshot,
    split: Split,
    references: References,
    *,
    method: str,
    overrides: str,
    seed: int,
    device: torch.device,
) -> Forgetting:
    """Load what every set needs, and measure the original.

    Raises:
        UserError: no such method or setting.
    """
    config, side, recipe = settings_of(made.recipe, method, overrides), made.recipe.data.image_side, made.recipe
    original = models.load(model_path, device)
    parts = {name: part(snapshot, getattr(split, name), side, device) for name in ("members", "holdout", "test")}
    before = evaluate(original, gallery=parts["members"], test=parts["test"], forget=None, config=recipe.evaluation)
    return Forgetting(
        original=original,
        paradigm=make_paradigm(recipe.paradigm),
        calibration=part(snapshot, split.calibration, side, device),
        **parts,
        before=before,
        recipe=recipe,
        method=method,
        config=config,
        references=references,
        seed=seed,
    )


def pool_of(references: References, rows: Rows) -> ReferenceBaseline:
    """The records of all sets, one set after the other."""
    return ReferenceBaseline(references, rows.reshape(-1))


def _sets(given: Forgetting, size: int, rows: Rows, numbers: Sequence[int]) -> Iterator[tuple[int, ForgottenSet]]:
    """What the models show that have forgotten the sets `numbers` of one size."""
    pool = pool_of(given.references, rows)
    manifest = given.references.manifest
    for number in numbers:
        with suppress_progress():
            model, seconds, why = given.forget(size, number, rows[number])
        if model is None:
            yield number, ForgottenSet(None, {}, seconds, why)
            continue
        # The very views of the references, which do not depend on the model.
        everything = concatenate(given.members, given.holdout)
        whole = measure(model, given.paradigm, everything, manifest.signals, seed=manifest.seed)
        shown = show(
            whole.rows(np.arange(given.rows)),
            whole.rows(np.arange(given.rows, len(everything))),
            np.arange(number * size, (number + 1) * size),
            pool=pool,
            left_out=pool.left_out,
            retained=given.retained(rows[number]),
            scale=pool.rmia_scale,
            seed=given.seed,
        )
        yield number, ForgottenSet(shown, given.evaluated(model).each_lost_against(given.before), seconds)


def forget_sets(
    given: Forgetting,
    split: Split,
    share: Mapping[int, Sequence[int]],
    *,
    sizes: Sequence[int],
    sets: int,
    part_path: Path,
) -> SetsManifest:
    """Forget the sets of a share and write what the models show of them; goes on where it was interrupted.

    A set depends on its size, its number and the seed alone: any division over machines gives the same.

    Args:
        given: see `prepare`.
        split: of the original.
        share: numbers of sets by size.
        sizes: of all shares.
        sets: of each size, as many as are wanted in all.
        part_path: folder to write.

    Raises:
        UserError: there are too few members for a size.
    """
    counts = {size: count_of(size, sets, given.rows) for size in sizes}
    manifest = SetsManifest(
        original=given.references.manifest.original,
        split=split.digest,
        method=given.method,
        settings=given.config.model_dump(mode="json"),
        seed=given.seed,
        sets=counts,
        numbers={size: tuple(numbers) for size, numbers in share.items()},
    )
    fingerprint = sha256_json(manifest.model_copy(update={"numbers": {}}).model_dump(mode="json"))
    begun = settings.from_environment().checkpoints / f"qualification-{fingerprint[:16]}"
    told = {"fingerprint": fingerprint, "snapshot": split.snapshot, "split": split.digest}
    with track("sets forgotten", sum(map(len, share.values()))) as advance:
        for size, numbers in share.items():
            missing = [number for number in numbers if not (begun / set_file(size, number)).exists()]
            for _ in range(len(numbers) - len(missing)):
                advance("done before")
            for number, found in _sets(given, size, draw(given.rows, size, counts[size], given.seed), missing):
                files.save_set(found, begun / set_file(size, number), told)
                advance(f"{found.seconds:.0f} s each")
    names = [set_file(size, number) for size, numbers in share.items() for number in numbers]
    with new_folder(part_path) as folder:
        write_json(folder / SETS_FILE, manifest.model_dump(mode="json"))
        for name in names:
            (folder / name).write_bytes((begun / name).read_bytes())
    for name in names:
        (begun / name).unlink(missing_ok=True)
    with suppress(OSError):  # another task's sets may be there
        begun.rmdir()
    return manifest
