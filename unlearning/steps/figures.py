"""Figures: the paper's, from the models of a run."""

from __future__ import annotations

from pathlib import Path

from unlearning import evidence, forgetting, models, provenance, report
from unlearning.devices import choose_device, deterministic
from unlearning.figures import numbers, paper
from unlearning.figures.numbers import EVIDENCE_FILE, Evidence
from unlearning.files import write_text
from unlearning.paradigms import make_paradigm
from unlearning.seeding import initialisation
from unlearning.steps.data import load_split, part, refuse_erased_in
from unlearning.steps.unlearn import check_belongs

PAGE_FILE = "figures.html"


def measure(
    *,
    model_paths: dict[str, Path],
    snapshot_path: Path,
    split_path: Path,
    forget_path: Path,
    trace: bool,
    device: str = "auto",
) -> Evidence:
    """Measure what the figures show.

    Args:
        model_paths: by name, `original` among them.
        snapshot_path, split_path, forget_path: of the run.
        trace: also train the original again from its seed, to look at it as it overfits.
        device: where to measure.

    Raises:
        UserError: models and data do not belong together, or the training to be traced would see records that were
            erased since.
    """
    made = provenance.load(model_paths["original"])
    recipe, paradigm = made.recipe, make_paradigm(made.recipe.paradigm)
    snapshot, split = load_split(snapshot_path, split_path)
    forget = forgetting.load(forget_path)
    check_belongs(made, split, forget)
    if trace:
        refuse_erased_in(snapshot.manifest)
    chosen, side = choose_device(device), recipe.data.image_side
    deterministic()
    holdout = part(snapshot, split.holdout, side, chosen)
    measured = evidence.measure_models(
        {name: models.load(model_paths[name], chosen) for name in paper.in_order(model_paths)},
        paradigm,
        forget=part(snapshot, forget.ids, side, chosen),
        retained=part(snapshot, split.retained(forget.ids), side, chosen),
        holdout=holdout,
        config=recipe.signals,
        seed=made.seed,
    )
    training: tuple[numbers.Epoch, ...] = ()
    if trace:
        shape = (snapshot.manifest.image_shape[0], side, side)
        with initialisation(made.seed, "pretrain"):
            model = paradigm.build(recipe.encoder, shape, snapshot.manifest.class_names)
        members = part(snapshot, split.members, side, chosen)
        training = evidence.trace_training(
            model.to(chosen), paradigm, members, holdout, recipe.training, seed=made.seed
        )
    digests = {name: models.digest(path) for name, path in model_paths.items()}
    return Evidence(paradigm=recipe.paradigm.name, digests=digests, models=measured, training=training)


def draw(found: Evidence, folder: Path) -> dict[str, Path]:
    """Write the page with all figures, one SVG file for each, and the numbers behind them; paths by name.

    A figure that an earlier evidence had and this one has not is removed.
    """
    drawn = paper.all_figures(found)
    paths = {"page": folder / PAGE_FILE, "numbers": folder / EVIDENCE_FILE}
    paths |= {name: folder / f"{name}.svg" for name in drawn}
    numbers.save(found, paths["numbers"])
    for name, figure in drawn.items():
        write_text(paths[name], figure.svg)
    for name in set(paper.NAMES) - set(drawn):
        (folder / f"{name}.svg").unlink(missing_ok=True)
    write_text(paths["page"], report.render_figures(found))
    return paths
