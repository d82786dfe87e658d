"""Seconds of a step of gradient matching, and of unlearning, over what they replace."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

from benchmarks.conditions import ForgetRequest
from benchmarks.speed_rows import Goal, Ratio, interleaved, ratio
from benchmarks.workbench import Bench, unlearn_with
from unlearning.core.config import Config
from unlearning.data import forget_set
from unlearning.data.records import Records
from unlearning.learning.training import OptimisationConfig
from unlearning.methods import METHODS, distribution_distance, gradient_matching
from unlearning.methods.gradient_matching import GradientMatchingConfig

STEP_GOAL = Goal(side="at most", bound=3.0)
RETRAINING_GOALS = {"supervised": Goal(side="at most", bound=0.1)}
CONTRASTIVE_GOAL = Goal(side="at most", bound=0.05)
STAGES = {"stage 1": "gradient_matching", "stage 2": "gradient_matching_stage2"}
PLAIN, DRIFT, ALONE = "plain step", "with drift", "penalty alone"


@dataclass(frozen=True)
class Parts:
    """A trained model and the records that methods are handed."""

    bench: Bench
    retain: Records
    forget: Records
    calibration: Records

    def run(self, method: str, config: Config) -> Callable[[], object]:
        """One run of a method, each time from the original model and with the same draws."""
        shown: dict[str, Any] = {"retain": self.retain, "forget": self.forget, "calibration": self.calibration}
        bench = self.bench
        return lambda: METHODS[method](bench.original, bench.paradigm, **shown, config=config, seed=bench.seed)


def parts_of(bench: Bench) -> Parts:
    """What the benchmark's main table forgets: a random fifth of the members."""
    request = ForgetRequest(sweep="main", methods=())
    ids = forget_set.select(
        bench.split, bench.snapshot, kind=request.kind, fraction=request.fraction, class_name="", seed=bench.seed
    ).ids
    retain, calibration = bench.records(bench.split.retained(ids)), bench.records(bench.split.calibration)
    return Parts(bench, retain, bench.records(ids), calibration)


def _always(config: GradientMatchingConfig, epochs: int, drift: bool) -> GradientMatchingConfig:
    """The penalty in every one of a few epochs' steps, with the recipe's drift term or without it."""
    optimisation = config.optimisation.model_copy(update={"epochs": epochs})
    changed: dict[str, object] = {"optimisation": optimisation, "tolerance": None, "active": 1.0}
    return config.model_copy(update=changed if drift else changed | {"distillation": 0.0})


def _steps(config: OptimisationConfig, count: int) -> int:
    return config.epochs * math.ceil(count / config.batch_size)


def penalty_steps(parts: Parts, *, epochs: int, repeats: int) -> list[Ratio]:
    """The recipe's step of either stage, and stage 1 without drift, each over a plain step with its optimisation."""
    methods, name = parts.bench.recipe.methods, parts.bench.recipe.paradigm.name
    first, second = methods.gradient_matching, methods.gradient_matching_stage2
    asked = {
        ("stage 1", DRIFT if first.distillation > 0 else ALONE): _always(first, epochs, True),
        ("stage 1", ALONE): _always(first, epochs, False),
        ("stage 2", DRIFT if second.distillation > 0 else ALONE): _always(second, epochs, True),
    }
    pieces = {config.optimisation.model_dump_json(): parts.run("finetune", config.optimisation)
              for config in asked.values()}  # fmt: skip
    pieces |= {" ".join(key): parts.run(STAGES[key[0]], config) for key, config in asked.items()}
    seconds = interleaved(pieces, repeats)
    return [
        ratio(
            f"penalty step, {stage}", PLAIN, name, seconds[f"{stage} {note}"],
            seconds[config.optimisation.model_dump_json()], goal=STEP_GOAL,
            units=_steps(config.optimisation, len(parts.retain)), note=note,
        )
        for (stage, note), config in asked.items()
    ]  # fmt: skip


def penalised_steps(parts: Parts) -> int:
    """In how many of its steps the recipe's stage 1 takes the penalty: it compares gradients once in each."""
    with mock.patch.object(gradient_matching, "distance", wraps=distribution_distance.distance) as compared:
        parts.run("gradient_matching", parts.bench.recipe.methods.gradient_matching)()
    return compared.call_count


def unlearning(parts: Parts, *, repeats: int) -> Ratio:
    """The recipe's stage 1 over exact retraining, which runs once, after half of the repeats."""
    bench = parts.bench
    penalised = penalised_steps(parts)  # and a round that does not count
    steps = _steps(bench.recipe.methods.gradient_matching.optimisation, len(parts.retain))
    seconds = []
    retraining = 0.0
    for turn in range(repeats):
        if turn == repeats // 2:
            retraining = _seconds_of(parts, "retrain")
        seconds.append(_seconds_of(parts, "gradient_matching"))
    name = bench.recipe.paradigm.name
    note = f"{penalised} of {steps} steps with the penalty"
    goal = RETRAINING_GOALS.get(name, CONTRASTIVE_GOAL)
    return ratio("unlearning", "retraining", name, seconds, [retraining] * repeats, goal=goal, note=note)


def _seconds_of(parts: Parts, method: str) -> float:
    shown: dict[str, Any] = {"retain": parts.retain, "forget": parts.forget, "calibration": parts.calibration}
    return unlearn_with(parts.bench, method, **shown, seed=parts.bench.seed)[1]
