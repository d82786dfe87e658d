"""Figures: the paper's and the neighbours of forgotten records, from the models of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from unlearning.audit import inspection, inspection_results, neighbours
from unlearning.audit.inspection_results import EVIDENCE_FILE, InspectionResults
from unlearning.compliance.retention.tombstones import refuse_erased_in
from unlearning.core.files import write_text
from unlearning.core.seeding import initialisation
from unlearning.data import forget_set
from unlearning.data.forget_set import ForgetSet
from unlearning.data.loading import load_split, part
from unlearning.data.records import Records
from unlearning.data.snapshots import Snapshot
from unlearning.data.splits import Split
from unlearning.learning import models
from unlearning.learning.devices import choose_device, deterministic
from unlearning.learning.paradigms import make_paradigm
from unlearning.learning.retrained import retrained_at
from unlearning.recipes import provenance
from unlearning.recipes.provenance import check_belongs
from unlearning.recipes.recipe import Recipe
from unlearning.reporting import report
from unlearning.reporting.figures import paper
from unlearning.reporting.figures.gallery import GalleryRow, Picture, picture

PAGE_FILE = "figures.html"


@dataclass(frozen=True)
class _Measured:
    """What every figure of a run is measured on."""

    recipe: Recipe
    seed: int
    snapshot: Snapshot
    split: Split
    forget: ForgetSet
    device: torch.device

    def records(self, ids: tuple[str, ...]) -> Records:
        return part(self.snapshot, ids, self.recipe.data.image_side, self.device)


def _load(
    original: Path, snapshot_path: Path, split_path: Path, forget_path: Path, device: str, gpus: int = 0
) -> _Measured:
    made = provenance.load(original)
    snapshot, split = load_split(snapshot_path, split_path)
    forget = forget_set.load(forget_path)
    check_belongs(made, split, forget)
    chosen = choose_device(device, gpus)
    deterministic()
    return _Measured(made.recipe, made.seed, snapshot, split, forget, chosen)


def measure(
    *,
    model_paths: dict[str, Path],
    snapshot_path: Path,
    split_path: Path,
    forget_path: Path,
    trace: bool,
    device: str = "auto",
    gpus: int = 0,
) -> InspectionResults:
    """Measure what the figures show.

    Args:
        model_paths: by name, `original` among them.
        snapshot_path, split_path, forget_path: of the run.
        trace: also train the original again from its seed, to look at it as it overfits.
        device, gpus: where to measure.

    Raises:
        UserError: models and data do not belong together, or the training to be traced would see records that were
            erased since.
    """
    run = _load(model_paths["original"], snapshot_path, split_path, forget_path, device, gpus)
    if trace:
        refuse_erased_in(run.snapshot.manifest, "draw without training again, with --no-trace")
    paradigm, holdout = make_paradigm(run.recipe.paradigm), run.records(run.split.holdout)
    measured = inspection.measure_models(
        {name: models.load(model_paths[name], run.device) for name in paper.in_order(model_paths)},
        paradigm,
        forget=run.records(run.forget.ids),
        retained=run.records(run.split.retained(run.forget.ids)),
        holdout=holdout,
        config=run.recipe.signals,
        seed=run.seed,
    )
    return InspectionResults(
        paradigm=run.recipe.paradigm.name,
        digests={name: models.digest(path) for name, path in model_paths.items()},
        models=measured,
        training=_traced(run, holdout) if trace else (),
    )


def _traced(run: _Measured, holdout: Records) -> tuple[inspection_results.Epoch, ...]:
    paradigm, side = make_paradigm(run.recipe.paradigm), run.recipe.data.image_side
    with initialisation(run.seed, "pretrain"):
        model = paradigm.build(
            run.recipe.encoder,
            (run.snapshot.manifest.image_shape[0], side, side),
            run.snapshot.manifest.class_names,
        )
    members = run.records(run.split.members)
    return inspection.trace_training(
        model.to(run.device), paradigm, members, holdout, run.recipe.training, seed=run.seed
    )


def figures(
    *,
    original_path: Path,
    candidate_path: Path,
    retrained_path: Path,
    snapshot_path: Path,
    split_path: Path,
    forget_path: Path,
    device: str,
    gpus: int = 0,
    evidence_path: Path,
    page_path: Path,
) -> InspectionResults:
    """Measure the models of a finished run, and write the numbers and a page with the figures.

    Raises:
        UserError: models and data do not belong together.
    """
    retrained = retrained_at(retrained_path)
    paths = {"original": original_path, "unlearned": candidate_path}
    found = measure(
        model_paths=paths | ({"retrained": retrained} if retrained is not None else {}),
        snapshot_path=snapshot_path,
        split_path=split_path,
        forget_path=forget_path,
        trace=False,
        device=device,
        gpus=gpus,
    )
    inspection_results.save(found, evidence_path)
    write_text(page_path, report.render_figures(found))
    return found


def gallery(
    *,
    model_paths: dict[str, Path],
    snapshot_path: Path,
    split_path: Path,
    forget_path: Path,
    count: int,
    device: str = "auto",
) -> list[GalleryRow]:
    """The first `count` forgotten images with their nearest retained members on every model: personal data.

    Raises:
        UserError: models and data do not belong together, or records of the data were erased since: an erased image
            is shown to nobody.
    """
    run = _load(model_paths["original"], snapshot_path, split_path, forget_path, device)
    refuse_erased_in(run.snapshot.manifest)
    shown, kept = run.forget.ids[:count], run.split.retained(run.forget.ids)
    records, retained = run.records(shown), run.records(kept)
    near = {
        name: neighbours.nearest(models.load(model_paths[name], run.device), records, retained)
        for name in paper.in_order(model_paths)
    }
    whole = run.snapshot.rows(shown)
    return [
        GalleryRow(
            forgotten=picture(whole.images[row], _said(run, "forgotten image", int(records.labels[row]))),
            neighbours={name: tuple(_neighbours(run, kept, found, row)) for name, found in near.items()},
        )
        for row in range(len(shown))
    ]


def _neighbours(run: _Measured, kept: tuple[str, ...], found: neighbours.Nearest, row: int) -> Iterator[Picture]:
    near = run.snapshot.rows(tuple(kept[place] for place in found.rows[row].tolist()))
    for place, cosine in enumerate(found.cosines[row].tolist()):
        said = _said(run, f"neighbour {place + 1}", int(near.labels[place]))
        yield picture(near.images[place], said, cosine)


def _said(run: _Measured, what: str, label: int) -> str:
    return f"{what}, class {run.snapshot.manifest.class_names[label]}"


def draw(found: InspectionResults, folder: Path) -> dict[str, Path]:
    """Write the page with all figures, one SVG file for each, and the numbers behind them; paths by name.

    A figure that an earlier evidence had and this one has not is removed.
    """
    drawn = paper.all_figures(found)
    paths = {"page": folder / PAGE_FILE, "numbers": folder / EVIDENCE_FILE}
    paths |= {name: folder / f"{name}.svg" for name in drawn}
    inspection_results.save(found, paths["numbers"])
    for name, figure in drawn.items():
        write_text(paths[name], figure.svg)
    for name in set(paper.NAMES) - set(drawn):
        (folder / f"{name}.svg").unlink(missing_ok=True)
    write_text(paths["page"], report.render_figures(found))
    return paths
