"""Evaluate: what the models can still do."""

from __future__ import annotations

from pathlib import Path

from unlearning.audit.accuracy import compared_against
from unlearning.audit.accuracy import evaluate as run_evaluation
from unlearning.audit.results import EvaluationReport
from unlearning.core.files import write_json
from unlearning.data import forget_set
from unlearning.data.loading import load_split, part
from unlearning.learning import models
from unlearning.learning.devices import choose_device, deterministic
from unlearning.learning.retrained import retrained_at
from unlearning.recipes import provenance


def evaluate(
    *,
    model_paths: dict[str, Path],
    snapshot_path: Path,
    split_path: Path,
    forget_path: Path | None,
    device: str,
    gpus: int = 0,
    evaluation_path: Path,
) -> EvaluationReport:
    """Measure every model on the test records, with the retained members as the gallery.

    Args:
        model_paths: name to folder. With `candidate` its loss is measured too: against `retrained` where that is
            given and holds a model, otherwise against `original`, which learned from more records.
        forget_path: None before anything is forgotten; every member is in the gallery then.
    """
    snapshot, split = load_split(snapshot_path, split_path)
    paths = {name: path for name, path in model_paths.items() if name != "retrained" or retrained_at(path) is not None}
    recipe = provenance.load(next(iter(paths.values()))).recipe
    chosen, side = choose_device(device, gpus), recipe.data.image_side
    deterministic()
    forget = forget_set.load(forget_path) if forget_path else None
    gallery = part(snapshot, split.gallery(forget.ids) if forget else split.members, side, chosen)
    test = part(snapshot, split.test, side, chosen)
    forgotten = part(snapshot, forget.ids, side, chosen) if forget else None
    measured = {
        name: run_evaluation(
            models.load(path, chosen), gallery=gallery, test=test, forget=forgotten, config=recipe.evaluation
        )
        for name, path in paths.items()
    }
    against = compared_against(measured)
    report = EvaluationReport(
        models={name: models.digest(path) for name, path in paths.items()},
        accuracies={name: each.accuracies() for name, each in measured.items()},
        utility_lost=measured["candidate"].lost_against(measured[against]) if against is not None else {},
        lost_against=against,
    )
    write_json(evaluation_path, report.model_dump(mode="json"))
    return report
