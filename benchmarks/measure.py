"""Train, unlearn by every method, attack and evaluate: one unit to its rows."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from benchmarks.conditions import ForgetRequest, Unit
from benchmarks.rows import AttackRow, Row, code_digest, machine, settings_digest
from benchmarks.workbench import Bench, Case, accuracies, attack, open_case, prepare, unlearn_with
from unlearning.audit.attacks import MembershipScores
from unlearning.audit.statistics import auc_difference, auc_interval, balanced_accuracy, tpr_at_fpr
from unlearning.core import settings
from unlearning.learning.models import Model
from unlearning.recipes.recipe import Recipe


def stamp(recipe: Recipe, method: str) -> tuple[str, str]:
    """Digests of settings and code: a finished row with another stamp is out of date."""
    return settings_digest(recipe, method), code_digest()


def wanted(unit: Unit, request: ForgetRequest, done: Collection[Row]) -> tuple[str, ...]:
    """The models of a request, by method, that no up-to-date row is there for."""
    recipe = unit.load()
    have = {(*row.key, row.settings, row.code) for row in done}

    def key(method: str) -> tuple[object, ...]:
        about = (unit.paradigm, unit.recipe, unit.seed, unit.epochs_factor, request.kind, request.fraction, method)
        return (*about, *stamp(recipe, method))

    return tuple(method for method in ("original", "retrain", *request.methods) if key(method) not in have)


def _attack_row(scores: MembershipScores, reference: MembershipScores) -> AttackRow:
    return AttackRow(
        auc=auc_interval(*scores.pair).estimate,
        tpr_at_1_fpr=tpr_at_fpr(*scores.pair).estimate,
        accuracy=balanced_accuracy(*scores.pair),
        gap=auc_difference(scores.pair, reference.pair).estimate,
    )


def _row(
    unit: Unit, request: ForgetRequest, case: Case, method: str, model: Model, seconds: float,
    reference: dict[str, MembershipScores] | None,
) -> tuple[Row, dict[str, MembershipScores]]:  # fmt: skip
    signals, scores = attack(case, model)
    held = np.asarray(signals.holdout["loss"])
    found = accuracies(case, model).accuracies().model_dump()
    digests = stamp(case.bench.recipe, method)
    row = Row(
        sweep=request.sweep,
        paradigm=unit.paradigm,
        recipe=unit.recipe,
        seed=unit.seed,
        epochs_factor=unit.epochs_factor,
        kind=request.kind,
        fraction=request.fraction,
        forgotten=len(case.forget),
        method=method,
        attacks={name: _attack_row(score, (reference or scores)[name]) for name, score in scores.items()},
        retained_auc=auc_interval(np.asarray(signals.retained["loss"]), held).estimate,
        accuracies={name: value["estimate"] for name, value in found.items() if value},
        seconds=seconds,
        ratio=seconds / case.seconds,
        settings=digests[0],
        code=digests[1],
        commit=settings.from_environment().commit,
        machine=machine(),
    )
    return row, scores


def _answer(unit: Unit, request: ForgetRequest, bench: Bench, methods: Collection[str]) -> list[Row]:
    case = open_case(bench, request)
    retrained, reference = _row(unit, request, case, "retrain", case.retrained, case.seconds, None)
    original, _ = _row(unit, request, case, "original", bench.original, bench.seconds, reference)
    rows = [retrained, original]
    for method in methods:
        if method in ("retrain", "original"):
            continue
        model, seconds = unlearn_with(
            bench, method, forget=case.forget, retain=case.retain, calibration=case.calibration, seed=unit.seed
        )
        rows.append(_row(unit, request, case, method, model, seconds, reference)[0])
    return rows


def measure(unit: Unit, done: Collection[Row] = ()) -> list[Row]:
    """Every row of a unit that is not done yet; those beside it are measured anew."""
    open_requests = [(request, wanted(unit, request, done)) for request in unit.requests]
    if not any(methods for _, methods in open_requests):
        return []
    bench = prepare(unit.load(), unit.seed)
    return [row for request, methods in open_requests if methods for row in _answer(unit, request, bench, methods)]
