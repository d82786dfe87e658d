"""`python -m benchmarks.tuning`: choose every method's settings with the same number of trials.

The first half of a method's trials are its recipe's settings and draws from the whole space, the second
half lie around the best of the first.
Only seeds that are never reported are used. A trial's score is what is left to be desired, in AUC and
shares of accuracy and time, each counting the same; smaller is better and 0 is ideal:

    max over attacks of |mean over seeds of the AUC gap to retraining|
      + max over measures of the mean accuracy lost against retraining, at least 0
      + the time beyond 5 % (contrastive) or 10 % (supervised) of retraining's
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml
from pydantic import TypeAdapter

from benchmarks.conditions import Request, check_tuning_seeds, known_methods
from benchmarks.pool import in_parallel
from benchmarks.rows import library_digest
from benchmarks.spaces import candidates, neighbours
from benchmarks.workbench import accuracies, attack, open_case, prepare, unlearn_with
from unlearning import recipes
from unlearning.audit.signals import SignalConfig
from unlearning.audit.statistics import auc_difference
from unlearning.config import Config
from unlearning.errors import UserError
from unlearning.files import read_json, sha256_json, write_json
from unlearning.methods import METHODS
from unlearning.paradigms import PARADIGMS

QUERIES = 4
"""Views per record while tuning; half of what the reported audit uses."""


class Job(Config):
    """One seed of one paradigm and the trials to make on it."""

    paradigm: str
    recipe: str
    seed: int
    trials: tuple[tuple[str, dict[str, Any]], ...]


def trial_key(paradigm: str, seed: int, method: str, settings: dict[str, Any]) -> str:
    """Identity of a trial: a second one of the same key replaces the first."""
    return sha256_json([paradigm, seed, method, settings])


class Trial(Config):
    """One method's settings on one seed, and what came of them."""

    paradigm: str
    seed: int
    method: str
    settings: dict[str, Any]
    gaps: dict[str, float]
    lost: dict[str, float]
    ratio: float
    failed: str = ""
    context: str

    @property
    def key(self) -> str:
        return trial_key(self.paradigm, self.seed, self.method, self.settings)


TRIALS = TypeAdapter(list[Trial])


def context(recipe: recipes.Recipe) -> str:
    """Digest of what every trial of a paradigm shares: code, data, training."""
    document = recipe.model_dump(mode="json")
    del document["methods"]
    return sha256_json([document, library_digest()])


def score(trials: Sequence[Trial]) -> float:
    """What is left to be desired of one setting over its seeds; infinite when it failed on one."""
    if any(trial.failed for trial in trials):
        return float("inf")
    limit = 0.1 if trials[0].paradigm == "supervised" else 0.05
    gap = max(abs(float(np.mean([trial.gaps[name] for trial in trials]))) for name in trials[0].gaps)
    lost = max(float(np.mean([trial.lost[name] for trial in trials])) for name in trials[0].lost)
    return gap + max(lost, 0.0) + max(float(np.mean([trial.ratio for trial in trials])) - limit, 0.0)


def try_all(job: Job) -> list[Trial]:
    """Train one original and one retrained model, and make every trial on them."""
    recipe = recipes.load(job.recipe).model_copy(update={"signals": SignalConfig(queries=QUERIES)})
    bench = prepare(recipe, job.seed)
    case = open_case(bench, Request(sweep="tuning", methods=()))
    _, reference = attack(case, case.retrained)
    useful = accuracies(case, case.retrained)
    found = []
    for method, given in job.trials:
        about = {"paradigm": job.paradigm, "seed": job.seed, "method": method, "settings": given}
        about |= {"context": context(recipes.load(job.recipe))}
        changed = recipes.override_method(recipe, method, yaml.safe_dump(given))
        try:
            model, seconds = unlearn_with(
                replace(bench, recipe=changed), method,
                forget=case.forget, retain=case.retain, calibration=case.calibration, seed=job.seed,
            )  # fmt: skip
        except UserError as error:
            found.append(Trial(**about, gaps={}, lost={}, ratio=0.0, failed=str(error)))
            continue
        _, scores = attack(case, model)
        gaps = {name: auc_difference(scores[name].pair, reference[name].pair).estimate for name in scores}
        lost = {name: value.estimate for name, value in accuracies(case, model).lost_against(useful).items()}
        found.append(Trial(**about, gaps=gaps, lost=lost, ratio=seconds / case.seconds))
    return found


def best(trials: Sequence[Trial], paradigm: str, method: str) -> tuple[dict[str, Any], float] | None:
    """The settings with the smallest score, and that score; None without trials."""
    by_settings: dict[str, list[Trial]] = {}
    for trial in trials:
        if (trial.paradigm, trial.method) == (paradigm, method):
            by_settings.setdefault(sha256_json(trial.settings), []).append(trial)
    if not by_settings:
        return None
    # Ties are broken by identity: the order in which trials were made must not decide.
    chosen = min(sorted(by_settings), key=lambda identity: score(by_settings[identity]))
    return by_settings[chosen][0].settings, score(by_settings[chosen])


def _open_jobs(
    dataset: str, paradigms: Sequence[str], methods: Sequence[str], seeds: Sequence[int], count: int,
    made: Sequence[Trial],
) -> list[Job]:  # fmt: skip
    """The trials that are not made yet: of the first half, and of the second where the first half is done."""
    done = {trial.key for trial in made}
    first, jobs = (count + 1) // 2, []
    wanted: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for paradigm in paradigms:
        recipe = recipes.load(recipes.default_recipe(dataset, paradigm))
        for method in known_methods(recipe, methods):
            settings = candidates(recipe, method, first)
            half = [trial for trial in made if trial.method == method and trial.settings in settings]
            keys = {trial.key for trial in half if trial.paradigm == paradigm}
            if keys >= {trial_key(paradigm, seed, method, each) for seed in seeds for each in settings}:
                chosen = best(half, paradigm, method)
                settings = neighbours(paradigm, method, chosen[0], count - first) if chosen else []
            wanted.setdefault(paradigm, []).extend((method, each) for each in settings)
    for seed in seeds:
        for paradigm, pairs in wanted.items():
            trials = tuple(pair for pair in pairs if trial_key(paradigm, seed, *pair) not in done)
            if trials:
                name = recipes.default_recipe(dataset, paradigm)
                jobs.append(Job(paradigm=paradigm, recipe=name, seed=seed, trials=trials))
    return jobs


def tune(
    dataset: str, paradigms: Sequence[str], methods: Sequence[str], seeds: Sequence[int], count: int, jobs: int,
    output: Path,
) -> list[Trial]:  # fmt: skip
    """Make the trials that `output` does not have yet; all of them."""
    check_tuning_seeds(seeds)
    stored = TRIALS.validate_python(read_json(output, "tuning results")) if output.exists() else []
    contexts = {name: context(recipes.load(recipes.default_recipe(dataset, name))) for name in PARADIGMS}
    done = {trial.key: trial for trial in stored if trial.context == contexts[trial.paradigm]}
    while work := _open_jobs(dataset, paradigms, methods, seeds, count, list(done.values())):
        for _, found in in_parallel(try_all, work, jobs=jobs, label=lambda job: f"{job.paradigm} seed {job.seed}"):
            done |= {trial.key: trial for trial in found}
            ordered = sorted(done.values(), key=lambda trial: (trial.paradigm, trial.method, trial.seed, trial.key))
            write_json(output, [trial.model_dump(mode="json") for trial in ordered])
    return list(done.values())


def main(
    paradigm: Annotated[list[str] | None, typer.Option(help="Only these; repeat for more.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Only these; repeat for more.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="100 or more; repeat for more.")] = None,
    trials: Annotated[int, typer.Option(help="Per method, the recipe's own settings among them.")] = 12,
    dataset: Annotated[str, typer.Option(help="Whose recipes.")] = "fashion-mnist",
    jobs: Annotated[int, typer.Option(help="Processes side by side, one thread each.")] = 2,
    output: Annotated[Path, typer.Option(help="All trials, as JSON.")] = Path("benchmarks/results/tuning.json"),
) -> None:
    """Search settings; prints the best of each method as YAML for the recipe. Interrupted, it goes on."""
    paradigms, methods = paradigm or list(PARADIGMS), method or [name for name in METHODS if name != "retrain"]
    try:
        found = tune(dataset, paradigms, methods, seed or [100, 101], trials, jobs, output)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    for chosen_paradigm in paradigms:
        for chosen_method in methods:
            result = best(found, chosen_paradigm, chosen_method)
            if result is not None:
                typer.echo(f"# {chosen_paradigm}: score {result[1]:.4f}")
                typer.echo(yaml.safe_dump({chosen_method: result[0]}, sort_keys=False).rstrip())


if __name__ == "__main__":
    typer.run(main)
