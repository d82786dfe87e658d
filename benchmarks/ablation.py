"""`python -m benchmarks.ablation`: what the choices that readers of the paper leave open come to.

The gradient penalty in WGAN-GP's form with every function of the paradigm, at mixed points and at members, with each
target and a few weights, and without its penalty; beside it the original, exact retraining and gradient matching. All
on tuning seeds, judged beside references as `benchmarks.audit` judges.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from benchmarks.ablation_page import ABLATED, Ablated, row_key, show
from benchmarks.audit import Chosen, Original, judge, make_references
from benchmarks.conditions import check_tuning_seeds
from benchmarks.pool import in_parallel
from benchmarks.rows import machine
from benchmarks.workbench import RETRAINING, Bench, Case, accuracies, unlearn_with
from unlearning.audit.audit import Compared
from unlearning.audit.references import signals as references
from unlearning.core import settings
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import new_folder, read_json, sha256_json, write_json
from unlearning.learning import models
from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS
from unlearning.recipes.recipe import override_method

METHOD = "gradient_penalty"
BESIDE = ("original", "retrain", "gradient_matching")
"""What the settings are compared with."""
TARGETS: tuple[float | str, ...] = (1.0, 0.0, "measured")
PLACES = ("mixed", "members")
WEIGHTS = (1.0, 10.0, 100.0)
CONTROL: dict[str, Any] = {"weight": 0.0}
MODEL, SECONDS = "model", "seconds.json"


class Retraining(Config):
    """A forget set of an original, whose retrained model is made once and kept."""

    original: Original
    turn: int

    def folder(self) -> Path:
        """Where it is kept."""
        return self.original.folder() / f"retrained-{self.turn}"


class AblationJob(Config):
    """Models of one forget set that are made and judged together."""

    trained: Retraining
    models: tuple[tuple[str, dict[str, Any]], ...]
    """Method and settings of each."""


def functions(paradigm: str) -> tuple[str, ...]:
    """What the paradigm has to be differentiated."""
    return ("loss", "embedding", "log_probability" if paradigm == "supervised" else "similarity")


def crossed(paradigm: str) -> list[dict[str, Any]]:
    """Every setting that is tried, the control first."""
    choices = itertools.product(functions(paradigm), PLACES, TARGETS, WEIGHTS)
    return [CONTROL, *({"of": of, "at": at, "target": goal, "weight": weight} for of, at, goal, weight in choices)]


def context(original: Original) -> str:
    """Digest of what every row of an original shares: sources, data, training and the recipe's settings."""
    return sha256_json(original.folder().name)


def retrain(trained: Retraining) -> None:
    """Train exactly without a forget set, unless it was done."""
    if trained.folder().exists():
        return
    bench = trained.original.open()
    chosen = _chosen(bench, trained)
    calibration = bench.records(bench.split.calibration)
    model, seconds = unlearn_with(
        bench, "retrain", forget=chosen.forget, retain=chosen.retain, calibration=calibration,
        seed=bench.seed + RETRAINING + trained.turn,
    )  # fmt: skip
    with new_folder(trained.folder()) as folder:
        models.save(model, folder / MODEL)
        write_json(folder / SECONDS, seconds)


def _chosen(bench: Bench, trained: Retraining) -> Chosen:
    return Chosen.turn(bench, references.load(trained.original.folder() / "references"), trained.turn)


def _case(bench: Bench, trained: Retraining, chosen: Chosen) -> Case:
    return Case(
        bench,
        chosen.forget,
        chosen.retain,
        bench.records(bench.split.calibration),
        bench.records(bench.split.holdout),
        bench.records(bench.split.test),
        models.load(trained.folder() / MODEL),
        float(read_json(trained.folder() / SECONDS, "seconds of retraining")),
    )


def _made(case: Case, turn: int, method: str, given: dict[str, Any]) -> tuple[Model, float, bool]:
    """A model, its seconds, and whether the method made it: one that diverges leaves the original."""
    if method == "original":
        return case.bench.original, 0.0, True
    if method == "retrain":
        return case.retrained, case.seconds, True
    recipe = override_method(case.bench.recipe, method, yaml.safe_dump(given) if given else "")
    try:
        model, seconds = unlearn_with(
            replace(case.bench, recipe=recipe), method, forget=case.forget, retain=case.retain,
            calibration=case.calibration, seed=case.bench.seed + turn,
        )  # fmt: skip
    except UserError:
        return case.bench.original, 0.0, False
    return model, seconds, True


def figures(compared: Compared) -> dict[str, Any]:
    """What a row tells of a comparison with references."""
    gaps = {each.attack: each.difference.estimate for each in compared.attacks}
    strongest = max(gaps, key=lambda name: gaps[name])
    measured = {f"{each.measure} {each.attack}".strip(): each for each in compared.single_records}
    return {
        "lira": gaps["lira_online"],
        "tpr": measured["recognised lira_online"].shown,
        "memory": measured["memory"].difference.estimate,
        "strongest": strongest,
        "strongest_gap": gaps[strongest],
    }


def ablate(job: AblationJob) -> list[Ablated]:
    """Make and judge every model of a job."""
    original, turn = job.trained.original, job.trained.turn
    bench = original.open()
    chosen = _chosen(bench, job.trained)
    case = _case(bench, job.trained, chosen)
    useful, commit, where = accuracies(case, case.retrained), settings.from_environment().commit, machine()
    found = []
    for method, given in job.models:
        model, seconds, made = _made(case, turn, method, given)
        outcome, compared = judge(chosen.shown_by(model, bench), chosen.forgotten, turn)
        row = Ablated(
            paradigm=original.paradigm,
            seed=original.seed,
            turn=turn,
            method=method,
            settings=given,
            outcome=outcome if made else None,
            **figures(compared),
            knn_lost=100 * accuracies(case, model).lost_against(useful)["knn"].estimate,
            ratio=seconds / case.seconds,
            context=context(original),
            commit=commit,
            machine=where,
        )
        found.append(row)
    return found


def open_jobs(trained: Retraining, done: set[str]) -> list[AblationJob]:
    """What a forget set still lacks: few models each, so that little is lost where it is interrupted."""
    paradigm, seed = trained.original.paradigm, trained.original.seed
    wanted: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in BESIDE]
    wanted += [(METHOD, given) for given in crossed(paradigm)]
    lacking = [each for each in wanted if row_key(paradigm, seed, trained.turn, *each) not in done]
    parts = [lacking[first : first + len(WEIGHTS)] for first in range(0, len(lacking), len(WEIGHTS))]
    return [AblationJob(trained=trained, models=tuple(part)) for part in parts]


def run(paradigms: list[str], seeds: list[int], sets: int, jobs: int, output: Path) -> list[Ablated]:
    """Make what `output` lacks; all rows.

    Raises:
        UserError: an unknown paradigm, a seed that is reported, or what `output` holds is not of an ablation.
    """
    if unknown := set(paradigms) - set(PARADIGMS):
        raise UserError(f"paradigm {min(unknown)!r} is unknown: choose of {', '.join(PARADIGMS)}")
    check_tuning_seeds(seeds)
    stored = ABLATED.validate_python(read_json(output, "ablation results")) if output.exists() else []
    originals = [Original(paradigm=paradigm, seed=seed) for paradigm in paradigms for seed in seeds]
    contexts = {(each.paradigm, each.seed): context(each) for each in originals}
    found = {row.key: row for row in stored if contexts.get((row.paradigm, row.seed), row.context) == row.context}
    every = [Retraining(original=original, turn=turn) for original in originals for turn in range(sets)]
    work = [job for trained in every for job in open_jobs(trained, set(found))]
    needed = list(dict.fromkeys(job.trained for job in work))
    for _ in in_parallel(
        make_references, list(dict.fromkeys(each.original for each in needed)), jobs=jobs,
        label=lambda each: f"{each.paradigm} {each.seed}",
    ):  # fmt: skip
        pass
    for _ in in_parallel(retrain, needed, jobs=jobs, label=lambda each: f"retraining {each.original.paradigm}"):
        pass
    for _, fresh in in_parallel(ablate, work, jobs=jobs, label=lambda job: job.trained.original.paradigm):
        found |= {row.key: row for row in fresh}
        ordered = sorted(found.values(), key=lambda row: (row.paradigm, row.seed, row.turn, row.method, row.key))
        write_json(output, [row.model_dump(mode="json") for row in ordered])
        show(ordered, output)
    return list(found.values())


def main(
    paradigm: Annotated[list[str] | None, typer.Option(help="Only these; repeat for more.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Of originals, 100 or more; repeat for more.")] = None,
    sets: Annotated[int, typer.Option(min=1, help="Forget sets per original.")] = 1,
    jobs: Annotated[int, typer.Option(help="Processes side by side, one thread each.")] = 2,
    output: Annotated[Path, typer.Option(help="JSON; the page beside it.")] = Path("benchmarks/results/ablation.json"),
) -> None:
    """Cross the open choices of the gradient penalty. Interrupted, it goes on where it stopped."""
    try:
        found = run(paradigm or list(PARADIGMS), seed or [100], sets, jobs, output)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{len(found)} models in {output} and {output.with_suffix('.md')}")


if __name__ == "__main__":
    typer.run(main)
