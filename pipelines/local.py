"""The same pipelines on one machine, through kfp.local, with embedded defaults."""

import contextlib
import json
import logging
import os
import re
import secrets
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kfp import local

from pipelines.console import RunLog, standard_error
from pipelines.pretraining import pretraining
from pipelines.unlearning import unlearning
from unlearning import forgetting, models, recipes, settings, splits, summary
from unlearning.devices import choose_device
from unlearning.errors import UserError
from unlearning.files import read_json, write_json
from unlearning.recipes import Recipe
from unlearning.reference_plan import check_count
from unlearning.registry import Registry
from unlearning.steps.check import check
from unlearning.steps.ingest import read_source
from unlearning.steps.select import parse_ids
from unlearning.summary import Summary

RUN_FILE = "run.json"
SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
TAKEN = ("latest", "store", "checkpoints", "mlartifacts")
"""Names in the home folder that mean something else."""


@dataclass(frozen=True)
class LocalRun:
    """Parameters of a local run of both pipelines; see the pipelines for their meaning."""

    recipe: str
    overrides: str = ""
    seed: int = 0
    model_name: str = ""
    forget_kind: str = "random"
    forget_fraction: float = 0.2
    forget_class: str = ""
    forget_ids: str = ""
    method: str = "gradient_penalty"
    method_overrides: str = ""
    auc_margin: float = 0.10
    utility_margin: float = 0.03
    stronger: int = 1
    on_failure: str = "retrain"
    on_inconclusive: str = "retrain"
    device: str = "auto"
    references: int = 0
    erased: str = "refuse"


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
    if not RUN_ID.fullmatch(run_id) or run_id in TAKEN:
        raise UserError(f"run id {run_id!r} cannot be used: choose another, of letters, digits, '.', '_' and '-'")
    folder = where.home / run_id
    run = _started(folder) or run
    model_name = _check(run, where)
    write_json(folder / RUN_FILE, asdict(run))
    _hand_down(where)
    with _runner(folder, quiet):
        pretraining(
            recipe=run.recipe,
            overrides=run.overrides,
            seed=run.seed,
            erased=run.erased,
            reference_models=run.references,
            reference_tasks=1,
            model_name=model_name,
            run_name=run_id,
            device=run.device,
        )
        version = _output(folder, "pretraining", "register", "Output")
        unlearning(
            model_name=model_name,
            model_version=version,
            forget_kind=run.forget_kind,
            forget_fraction=run.forget_fraction,
            forget_class=run.forget_class,
            forget_ids=run.forget_ids,
            method=run.method,
            method_overrides=run.method_overrides,
            seed=run.seed,
            auc_margin=run.auc_margin,
            utility_margin=run.utility_margin,
            stronger=run.stronger,
            on_failure=run.on_failure,
            on_inconclusive=run.on_inconclusive,
            run_name=run_id,
            device=run.device,
        )
    return folder, _gather(folder, where.home)


def _started(folder: Path) -> LocalRun | None:
    """The parameters of the run that the folder holds, if it holds one."""
    path = folder / RUN_FILE
    if not path.exists():
        return None
    try:
        return LocalRun(**read_json(path, "parameters of the run"))
    except TypeError:
        raise UserError(f"{path} does not hold the parameters of a run: choose another run id") from None


def _check(run: LocalRun, where: settings.Settings) -> str:
    """Refuse before any work what would fail after it; returns the registered model's name.

    The registry's database is made here, once: SQLite does not bear several first contacts.
    """
    recipe = recipes.load(run.recipe, run.overrides)
    recipe.method_config(run.method)
    recipes.override_method(recipe, run.method, run.method_overrides)
    check(
        auc_margin=run.auc_margin,
        utility_margin=run.utility_margin,
        stronger=run.stronger,
        on_failure=run.on_failure,
        on_inconclusive=run.on_inconclusive,
    )
    check_count(run.references)
    choose_device(run.device)
    _check_forget(run, recipe)
    _check_writable(where.home)
    model_name = run.model_name or recipe.name
    Registry(where.tracking_uri).versions(model_name)
    return model_name


def _check_forget(run: LocalRun, recipe: Recipe) -> None:
    """Draw what the steps will draw, long before they do: they would refuse only after training."""
    snapshot, _ = read_source(recipe, run.seed, run.erased)
    forgetting.select(
        splits.make_split(snapshot.manifest, recipe.split, run.seed),
        snapshot,
        kind=run.forget_kind,
        fraction=run.forget_fraction,
        class_name=run.forget_class,
        ids=parse_ids(run.forget_ids),
        seed=run.seed,
    )


def _check_writable(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write {home}: {error.strerror}; set UNLEARNING_HOME to a folder you may write to"
        ) from None


def _hand_down(where: settings.Settings) -> None:
    """Tasks are processes of their own: they read the settings from the environment they inherit."""
    os.environ |= {
        "UNLEARNING_HOME": str(where.home),
        "UNLEARNING_STORE": where.store,
        "UNLEARNING_DATA": str(where.data),
        "UNLEARNING_CHECKPOINTS": str(where.checkpoints),
        "MLFLOW_TRACKING_URI": where.tracking_uri,
        "UNLEARNING_COMMIT": where.commit,
    }
    # GNU OpenMP's threads spin while they wait for one another. On a machine that is busy with other
    # things the default wait makes two threads many times slower than one; this one costs nothing
    # on a quiet machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


@contextlib.contextmanager
def _runner(folder: Path, quiet: bool) -> Any:
    """kfp.local inside the run's folder, its output filtered for people.

    Raises:
        UserError: a task failed; the message is the task's own where it was meant for a person.
            Or somebody interrupted it; the message says how to go on.
    """
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder / "tasks"),
        enable_caching=True,
    )
    log_path = folder / "run.log"
    with RunLog(log_path, standard_error(), quiet=quiet) as log, warnings.catch_warnings():
        # Image names, accelerators and display names mean nothing to the local runner.
        warnings.simplefilter("ignore")
        try:
            with contextlib.redirect_stdout(log), _root_logger_to(log):
                yield
        except RuntimeError as error:
            reason = log.error or f"{str(error).splitlines()[0]}; the task's output is at the end of {log_path}"
            raise UserError(reason) from error
        except KeyboardInterrupt:
            raise UserError(f"interrupted: give --run-id {folder.name} to resume") from None


@contextlib.contextmanager
def _root_logger_to(log: RunLog) -> Iterator[None]:
    """kfp tells of a cache hit through the root logger, outside of what it prints to standard output."""
    root, handler = logging.getLogger(), logging.StreamHandler(log)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def _outputs(folder: Path, pipeline: str, task: str) -> dict[str, Any]:
    """What the newest run of a task wrote; a conditional branch may have run any one of its copies."""
    pattern = f"{pipeline}-*/**/{task}*/executor_output.json"
    found = sorted((folder / "tasks").glob(pattern), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(f"task {task} of {pipeline} left no output in {folder}: see run.log there")
    content: dict[str, Any] = json.loads(found[-1].read_text())
    return content


def _output(folder: Path, pipeline: str, task: str, name: str) -> str:
    return str(_outputs(folder, pipeline, task)["parameterValues"][name])


@dataclass(frozen=True)
class RunArtifacts:
    """Where a finished run left its models and data."""

    models: dict[str, Path]
    """`original`, `unlearned` and `retrained`."""
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
        found = Path(_outputs(folder, pipeline, task)["artifacts"][name]["artifacts"][0]["uri"])
        if not found.exists():
            raise UserError(f"the {name} of {folder} is gone: {found} was purged or moved, run again")
        return found

    original = path("pretraining", "pretrain", "model")
    candidates = (folder / "tasks").glob(f"unlearning-*/**/candidate/{models.WEIGHTS_FILE}")
    made = {models.digest(weights.parent): weights.parent for weights in candidates}
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
    """Copy report and summary to the top of the run's folder and point `latest` at it."""
    artifacts = _outputs(folder, "unlearning", "report")["artifacts"]
    for name, target in (("summary", SUMMARY_FILE), ("page", REPORT_FILE)):
        uri = artifacts[name]["artifacts"][0]["uri"]
        shutil.copyfile(uri, folder / target)
    link = home / "latest"
    fresh = home / f".latest-{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(folder.name)
    fresh.replace(link)
    return summary.load(folder / SUMMARY_FILE)
