"""The same pipelines on one machine, through kfp.local, with embedded defaults."""

import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from pipelines.local.runner import check_writable, folder_of, hand_down, outputs_of, recorded, running, tried_once
from pipelines.parameters import FORMS, LocalRun, parameters_of
from pipelines.pretraining import pretraining
from pipelines.unlearning import unlearning
from unlearning import recipes
from unlearning.audit.inspection_results import EVIDENCE_FILE
from unlearning.audit.references.plan import check_unlearned
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.core.files import write_json
from unlearning.data import forget_set, splits
from unlearning.data.forget_set import parse_ids
from unlearning.learning import models
from unlearning.learning.devices import choose_device
from unlearning.recipes.recipe import Recipe, override_method
from unlearning.registry.client import Registry
from unlearning.reporting import summary
from unlearning.reporting.evidence import AttemptsFolder
from unlearning.reporting.summary import Summary
from unlearning.steps.check import check
from unlearning.steps.ingest import read_source

RUN_FILE = "run.json"
SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"
FILES = {"summary": SUMMARY_FILE, "page": REPORT_FILE}
"""What people look for, by the artifacts of the last attempt, and what it is called at the top of a run's folder."""


def new_run_id(run: LocalRun) -> str:
    """A name that sorts by time, says what was run, and is nobody else's."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(run.recipe).stem)
    return f"{stamp}-{name}-s{run.seed}-{secrets.token_hex(2)}"


def run_locally(run: LocalRun, *, run_id: str = "", quiet: bool = False) -> tuple[Path, Summary]:
    """Run pretraining, then unlearning, and gather report and summary in `<home>/<run id>/`.

    A run id that exists is resumed with the parameters it was started with: finished tasks come
    from its cache, an interrupted training from its checkpoint.

    Returns:
        The run's folder and its summary.

    Raises:
        UserError: bad parameters, an unreachable service, or a task that failed.
    """
    where = settings.from_environment()
    run_id = run_id or new_run_id(run)
    folder = folder_of(where.home, run_id)
    run = _started(folder) or run
    model_name = _check(run, where)
    write_json(folder / RUN_FILE, run.model_dump(mode="json"))
    hand_down(where)
    with running(folder, quiet):
        tried_once(pretraining)(**_given("pretraining", run) | {"model_name": model_name, "run_name": run_id})
        version = _output(folder, "pretraining", "register", "Output")
        which = {"model_name": model_name, "model_version": version, "run_name": run_id}
        tried_once(unlearning)(**_given("unlearning", run) | which)
    return folder, _gather(folder, where.home)


def _given(pipeline: str, run: LocalRun) -> dict[str, Any]:
    """The pipeline's parameters that a local run has."""
    values = run.model_dump(mode="json")
    return {each.name: values[each.name] for each in parameters_of(FORMS[pipeline]) if each.name in values}


def _started(folder: Path) -> LocalRun | None:
    """The parameters of the run that the folder holds, if it holds one."""
    path = folder / RUN_FILE
    if not path.exists():
        return None
    return recorded(LocalRun, path)


def _check(run: LocalRun, where: settings.Settings) -> str:
    """Refuse before any work what would fail after it; returns the registered model's name.

    The registry's database is made here, once: SQLite does not bear several first contacts.
    """
    recipe = recipes.load(run.recipe, run.overrides)
    recipe.method_config(run.method)
    override_method(recipe, run.method, run.method_overrides)
    check(run, run.forget_kind)
    if run.compare_with == "references" and not run.reference_models:
        raise UserError("compare_with references needs some: give --references 16, or --compare-with retrained")
    check_unlearned(run.unlearned_references, run.reference_models)
    choose_device(run.device)
    _check_forget(run, recipe)
    check_writable(where.home)
    model_name = run.model_name or recipe.name
    Registry(where.tracking_uri).versions(model_name)
    return model_name


def _check_forget(run: LocalRun, recipe: Recipe) -> None:
    """Draw what the steps will draw, long before they do: they would refuse only after training."""
    snapshot, _ = read_source(recipe, run.seed, run.erased)
    forget_set.select(
        splits.make_split(snapshot.manifest, recipe.split, run.seed),
        snapshot,
        kind=run.forget_kind,
        fraction=run.forget_fraction,
        class_name=run.forget_class,
        ids=parse_ids(run.forget_ids),
        seed=run.seed,
    )


def _output(folder: Path, pipeline: str, task: str, name: str) -> str:
    return str(outputs_of(folder, pipeline, task)["parameterValues"][name])


@dataclass(frozen=True)
class RunArtifacts:
    """Where a finished run left its models and data."""

    models: dict[str, Path]
    """`original`, `unlearned` and, where there was one to compare with, `retrained`."""
    snapshot: Path
    split: Path
    forget: Path


def artifacts_of(folder: Path) -> RunArtifacts:
    """The artifacts of a run that `run_locally` made.

    Raises:
        UserError: there is no such run, it did not come so far, or what it made is not there any more.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not the folder of a run: give one, or start one with unlearn run")
    wanted = summary.load(folder / SUMMARY_FILE).models

    def path(pipeline: str, task: str, name: str) -> Path:
        found = Path(outputs_of(folder, pipeline, task)["artifacts"][name]["artifacts"][0]["uri"])
        if not found.exists():
            raise UserError(f"the {name} of {folder} is gone: {found} was purged or moved, run again")
        return found

    original = path("pretraining", "pretrain", "model")
    tasks = folder / "tasks"
    found = [tasks.glob(f"unlearning-*/**/{name}/{models.WEIGHTS_FILE}") for name in ("candidate", "retrained")]
    made = {models.digest(weights.parent): weights.parent for weights in chain.from_iterable(found)}
    if (original / models.WEIGHTS_FILE).exists():
        made[models.digest(original)] = original
    lost = [name for name, model in wanted.items() if model.digest not in made]
    if lost:
        raise UserError(f"the {lost[0]} model of {folder} is gone: it was purged or moved, run again")
    return RunArtifacts(
        models={name: made[model.digest] for name, model in wanted.items()},
        snapshot=path("pretraining", "ingest", "snapshot"),
        split=path("pretraining", "split", "split"),
        forget=path("unlearning", "select", "forget"),
    )


def _gather(folder: Path, home: Path) -> Summary:
    """Copy the report and the numbers behind it to the top of the run's folder and point `latest` at it."""
    artifacts = outputs_of(folder, "unlearning", "conclude")["artifacts"]
    places = {name: Path(each["artifacts"][0]["uri"]) for name, each in artifacts.items()}
    for name, target in FILES.items():
        shutil.copyfile(places[name], folder / target)
    shutil.copyfile(AttemptsFolder(places["attempts"]).shown.inspection, folder / EVIDENCE_FILE)
    link = home / "latest"
    fresh = home / f".latest-{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(folder.name)
    fresh.replace(link)
    return summary.load(folder / SUMMARY_FILE)
