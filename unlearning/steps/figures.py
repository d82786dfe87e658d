"""Figures: the paper's and the neighbours of forgotten records, from the models of a run."""

from __future__ import annotations

from pathlib import Path

from unlearning.audit import inspection_results
from unlearning.audit.inspection_results import InspectionResults
from unlearning.compliance.retention.tombstones import refuse_erased_in
from unlearning.core.files import write_text
from unlearning.learning.devices import choose_device, deterministic
from unlearning.learning.retrained import retrained_at
from unlearning.recipes import inspection, run_data
from unlearning.reporting import report
from unlearning.reporting.figures import paper
from unlearning.reporting.figures.gallery import GalleryRow, gallery_rows


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
    paths = {"original": original_path, "unlearned": candidate_path, "retrained": retrained_at(retrained_path)}
    measured = measure(
        model_paths={name: path for name, path in paths.items() if path is not None},
        snapshot_path=snapshot_path,
        split_path=split_path,
        forget_path=forget_path,
        trace=False,
        device=device,
        gpus=gpus,
    )
    inspection_results.save(measured, evidence_path)
    write_text(page_path, report.render_figures(measured))
    return measured


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
    run = run_data.load(model_paths["original"], snapshot_path, split_path, forget_path)
    chosen = choose_device(device, gpus)
    deterministic()
    if trace:
        refuse_erased_in(run.snapshot, "draw without training again, with --no-trace")
    return inspection.measure(run, paper.in_order(model_paths), chosen, trace=trace)


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
    run = run_data.load(model_paths["original"], snapshot_path, split_path, forget_path)
    chosen = choose_device(device)
    deterministic()
    refuse_erased_in(run.snapshot)
    shown = run.forget.ids[:count]
    near = inspection.nearest_retained(run, paper.in_order(model_paths), shown, chosen)
    return gallery_rows(run.snapshot, shown, near)
