"""Evaluate: what the models can still do."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pydantic import ValidationError

from unlearning.audit.accuracy import evaluate as run_evaluation
from unlearning.audit.results import Interval, UtilityReference
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.data import forget_set
from unlearning.learning import models
from unlearning.learning.devices import choose_device, deterministic
from unlearning.recipes import provenance
from unlearning.reporting.summary import Accuracies
from unlearning.steps.data import load_split, part
from unlearning.steps.retrain_or_none import retrained_at


class EvaluationReport(Config):
    """Accuracies per model, and what the candidate lost against another."""

    models: dict[str, str]
    """Model to digest of its weights."""
    accuracies: dict[str, Accuracies]
    utility_lost: dict[str, Interval]
    lost_against: UtilityReference | None = None
    """Whose accuracy the candidate's is compared with; None where there is no candidate."""


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
    against = _against(measured)
    report = EvaluationReport(
        models={name: models.digest(path) for name, path in paths.items()},
        accuracies={name: each.accuracies() for name, each in measured.items()},
        utility_lost=measured["candidate"].lost_against(measured[against]) if against is not None else {},
        lost_against=against,
    )
    write_json(evaluation_path, report.model_dump(mode="json"))
    return report


def _against(measured: Collection[str]) -> UtilityReference | None:
    """Whose accuracy the candidate's is compared with, out of the models that were measured."""
    if "candidate" not in measured:
        return None
    if "retrained" in measured:
        return "retrained"
    return "original" if "original" in measured else None


def load_evaluation(path: Path) -> EvaluationReport:
    """Read an evaluation.

    Raises:
        UserError: missing or damaged.
    """
    try:
        return EvaluationReport.model_validate(read_json(path, "evaluation"))
    except ValidationError as error:
        raise UserError(f"evaluation {path} is not valid: {error.errors()[0]['msg']}") from None
