"""`python -m benchmarks.tuning`: choose every method's settings with the same number of trials.

Two thirds of a method's settings are its recipe's own and draws from the whole space, screened on the first
seed. The best of them, and the last third, which lies around the very best, are tried on every seed.
Only seeds that are never reported are used. A trial's score is what is left to be desired, in AUC and
shares of accuracy and time, each counting the same; smaller is better and 0 is ideal:

    max over attacks of |mean over seeds of the AUC gap to retraining|
      + max over measures of the mean accuracy lost against retraining, at least 0
      + the time beyond 5 % (contrastive) or 10 % (supervised) of retraining's
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml
from pydantic import TypeAdapter

from benchmarks.conditions import ForgetRequest, check_tuning_seeds, known_methods, scaled
from benchmarks.pool import in_parallel
from benchmarks.rows import library_digest
from benchmarks.spaces import candidates, neighbours
from benchmarks.workbench import accuracies, attack, open_case, prepare, unlearn_with
from unlearning import recipes
from unlearning.audit.signals import SignalConfig
from unlearning.audit.statistics import auc_difference
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, sha256_json, write_json
from unlearning.learning.paradigms import PARADIGMS
from unlearning.methods import METHODS
from unlearning.recipes.recipe import Recipe, override_method

QUERIES = 4
"""Views per record while tuning; half of what the reported audit uses."""


FINALISTS = 2
"""Of the screened settings."""

_Wanted = list[tuple[int, dict[str, Any]]]


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


def context(recipe: Recipe) -> str:
    """Digest of what every trial of a paradigm shares: code, data, training."""
    document = recipe.model_dump(mode="json")
    for unrelated in ("methods", "name", "description"):
        del document[unrelated]
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
    recipe = scaled(job.recipe).model_copy(update={"signals": SignalConfig(queries=QUERIES)})
    bench = prepare(recipe, job.seed)
    case = open_case(bench, ForgetRequest(sweep="tuning", methods=()))
    _, reference = attack(case, case.retrained)
    useful = accuracies(case, case.retrained)
    found, shared = [], context(scaled(job.recipe))
    for method, given in job.trials:
        about = {"paradigm": job.paradigm, "seed": job.seed, "method": method, "settings": given, "context": shared}
        changed = override_method(recipe, method, yaml.safe_dump(given))
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


def ranked(trials: Sequence[Trial], seeds: Sequence[int]) -> list[tuple[dict[str, Any], float]]:
    """One method's settings that were tried on all of the seeds, with their scores, the smallest first."""
    by_settings: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.seed in seeds:
            by_settings.setdefault(sha256_json(trial.settings), []).append(trial)
    complete = {key: found for key, found in by_settings.items() if {trial.seed for trial in found} == set(seeds)}
    # Ties are broken by identity: the order in which trials were made must not decide.
    order = sorted(complete, key=lambda key: (score(complete[key]), key))
    return [(complete[key][0].settings, score(complete[key])) for key in order]


def _wanted(recipe: Recipe, method: str, seeds: Sequence[int], count: int, made: Sequence[Trial]) -> _Wanted:
    """Settings of one method to be tried, by seed: to be screened, or, when that is done, the finalists."""
    screened = candidates(recipe, method, (2 * count + 2) // 3)
    rank = [found for found, _ in ranked([trial for trial in made if trial.settings in screened], seeds[:1])]
    if len(rank) < len(screened):
        return [(seeds[0], settings) for settings in screened]
    around = neighbours(recipe.paradigm.name, method, rank[0], count - len(screened), screened)
    return [(seed, settings) for seed in seeds for settings in (*rank[:FINALISTS], *around)]


def _open_jobs(
    dataset: str, paradigms: Sequence[str], methods: Sequence[str], seeds: Sequence[int], count: int,
    made: Sequence[Trial],
) -> list[Job]:  # fmt: skip
    """What can be tried now and was not yet, one job per seed and paradigm."""
    done, trials = {trial.key for trial in made}, defaultdict(list)
    for paradigm in paradigms:
        name = recipes.default_recipe(dataset, paradigm)
        recipe = scaled(name)
        for method in known_methods(recipe, methods):
            own = [trial for trial in made if (trial.paradigm, trial.method) == (paradigm, method)]
            for seed, settings in _wanted(recipe, method, seeds, count, own):
                if trial_key(paradigm, seed, method, settings) not in done:
                    trials[seed, paradigm, name].append((method, settings))
    return [
        Job(paradigm=paradigm, recipe=name, seed=seed, trials=tuple(found))
        for (seed, paradigm, name), found in trials.items()
    ]


def tune(
    dataset: str, paradigms: Sequence[str], methods: Sequence[str], seeds: Sequence[int], count: int, jobs: int,
    output: Path,
) -> list[Trial]:  # fmt: skip
    """Make the trials that `output` does not have yet; all of them."""
    check_tuning_seeds(seeds)
    stored = TRIALS.validate_python(read_json(output, "tuning results")) if output.exists() else []
    contexts = {name: context(scaled(recipes.default_recipe(dataset, name))) for name in PARADIGMS}
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
    trials: Annotated[int, typer.Option(help="Per method, the recipe's own settings among them.")] = 9,
    dataset: Annotated[str, typer.Option(help="Whose recipes.")] = "fashion-mnist",
    jobs: Annotated[int, typer.Option(help="Processes side by side, one thread each.")] = 2,
    output: Annotated[Path, typer.Option(help="All trials, as JSON.")] = Path("benchmarks/results/tuning.json"),
) -> None:
    """Search settings; prints the best of each method as YAML for the recipe. Interrupted, it goes on."""
    paradigms, methods = paradigm or list(PARADIGMS), method or [name for name in METHODS if name != "retrain"]
    seeds = seed or [100, 101]
    try:
        found = tune(dataset, paradigms, methods, seeds, trials, jobs, output)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    for about in itertools.product(paradigms, methods):
        for settings, reached in ranked([trial for trial in found if (trial.paradigm, trial.method) == about], seeds)[
            :1
        ]:
            typer.echo(f"# {about[0]}: score {reached:.4f}")
            typer.echo(yaml.safe_dump({about[1]: settings}, sort_keys=False).rstrip())


if __name__ == "__main__":
    typer.run(main)
