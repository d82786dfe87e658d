"""Evaluate: what the models can still do."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from unlearning import forgetting, models, provenance
from unlearning.audit.results import Interval
from unlearning.config import Config
from unlearning.devices import choose_device, deterministic
from unlearning.errors import UserError
from unlearning.evaluation import evaluate as run_evaluation
from unlearning.files import read_json, write_json
from unlearning.steps.data import load_split, part
from unlearning.summary import Accuracies


class EvaluationReport(Config):
    """Accuracies per model, and what the candidate lost against the retrained model."""

    models: dict[str, str]
    """Model to digest of its weights."""
    accuracies: dict[str, Accuracies]
    utility_lost: dict[str, Interval]


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
        model_paths: name to folder; with `candidate` and `retrained` the loss is measured too.
        forget_path: None before anything is forgotten; every member is in the gallery then.
    """
    snapshot, split = load_split(snapshot_path, split_path)
    recipe = provenance.load(next(iter(model_paths.values()))).recipe
    chosen, side = choose_device(device, gpus), recipe.data.image_side
    deterministic()
    forget = forgetting.load(forget_path) if forget_path else None
    gallery = part(snapshot, split.gallery(forget.ids) if forget else split.members, side, chosen)
    test = part(snapshot, split.test, side, chosen)
    forgotten = part(snapshot, forget.ids, side, chosen) if forget else None
    measured = {
        name: run_evaluation(
            models.load(path, chosen), gallery=gallery, test=test, forget=forgotten, config=recipe.evaluation
        )
        for name, path in model_paths.items()
    }
    lost = {}
    if "candidate" in measured and "retrained" in measured:
        lost = measured["candidate"].lost_against(measured["retrained"])
    report = EvaluationReport(
        models={name: models.digest(path) for name, path in model_paths.items()},
        accuracies={name: each.accuracies() for name, each in measured.items()},
        utility_lost=lost,
    )
    write_json(evaluation_path, report.model_dump(mode="json"))
    return report


def load_evaluation(path: Path) -> EvaluationReport:
    """Read an evaluation.

    Raises:
        UserError: missing or damaged.
    """
    try:
        return EvaluationReport.model_validate(read_json(path, "evaluation"))
    except ValidationError as error:
        raise UserError(f"evaluation {path} is not valid: {error.errors()[0]['msg']}") from None
