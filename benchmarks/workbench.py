"""Records and models of one seed, ready for methods and attacks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.conditions import FORGOTTEN_CLASS, ForgetRequest
from unlearning.audit.accuracy import Evaluation, evaluate
from unlearning.audit.attacks import AuditedSignals, MembershipScores, attack_all
from unlearning.audit.audit import measure_model
from unlearning.audit.escalation import AttemptName
from unlearning.core import settings
from unlearning.core.seeding import initialisation
from unlearning.data import forget_set
from unlearning.data.forget_set import pixel_distances
from unlearning.data.loading import part
from unlearning.data.records import Records
from unlearning.data.snapshots import Snapshot
from unlearning.data.sources import open_source
from unlearning.data.splits import Split, make_split
from unlearning.learning import models
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm, make_paradigm
from unlearning.learning.training import train
from unlearning.methods import METHODS
from unlearning.recipes.escalated import settings_at
from unlearning.recipes.pretraining import store_gradient_target
from unlearning.recipes.recipe import Recipe

CPU = torch.device("cpu")
RETRAINING = 1_000_003
"""Added to the seed of the retrained model, so that it shares no draw with the original."""
FEWEST = 20
"""Holdout records that an attack on a cluster needs at least."""


@dataclass(frozen=True)
class Bench:
    """An original model and the records around it."""

    recipe: Recipe
    seed: int
    snapshot: Snapshot
    split: Split
    paradigm: Paradigm
    original: Model
    seconds: float

    def records(self, ids: tuple[str, ...]) -> Records:
        """At the size the model sees."""
        return part(self.snapshot, ids, self.recipe.data.image_side, CPU)


@dataclass(frozen=True)
class Case:
    """A bench with something to forget, and the model not trained on it."""

    bench: Bench
    forget: Records
    retain: Records
    calibration: Records
    holdout: Records
    """As the attacks use it: of a class or a cluster, non-members of the same sort."""
    test: Records
    retrained: Model
    seconds: float


def prepare(recipe: Recipe, seed: int, kept: Path | None = None) -> Bench:
    """Ingest, split and pretrain; an original in the folder `kept` is taken from there, and put there if none is."""
    folder = settings.from_environment().data
    snapshot = open_source(recipe.data.source, folder, limit=recipe.data.limit, seed=seed)
    split = make_split(snapshot.manifest, recipe.split, seed)
    paradigm = make_paradigm(recipe.paradigm)
    side = recipe.data.image_side
    if kept is not None and kept.exists():
        return Bench(recipe, seed, snapshot, split, paradigm, models.load(kept), 0.0)
    members = part(snapshot, split.members, side, CPU)
    shape = (snapshot.manifest.image_shape[0], side, side)
    with initialisation(seed, "pretrain"):
        model = paradigm.build(recipe.encoder, shape, snapshot.manifest.class_names)
    begun = time.perf_counter()
    train(model, paradigm, members, recipe.training, seed=seed, purpose="pretrain")
    seconds = time.perf_counter() - begun
    calibration = part(snapshot, split.calibration, side, CPU)
    store_gradient_target(model, paradigm, recipe, nonmembers=calibration, members=members, seed=seed)
    if kept is not None:
        models.save(model, kept)
    return Bench(recipe, seed, snapshot, split, paradigm, model, seconds)


def _matching_holdout(bench: Bench, request: ForgetRequest, forgotten: tuple[str, ...]) -> tuple[str, ...]:
    """Non-members of the same sort as the forget set, or an attack would only tell the sorts apart."""
    holdout = bench.split.holdout
    if request.kind == "class":
        labels = bench.snapshot.rows(holdout).labels
        wanted = bench.snapshot.rows(forgotten).labels[0]
        return tuple(identity for identity, label in zip(holdout, labels, strict=True) if label == wanted)
    if request.kind == "cluster":
        images = bench.snapshot.rows(forgotten).images.flatten(1).float()
        middle = int((images - images.mean(dim=0)).norm(dim=1).argmin())
        nearest = pixel_distances(bench.snapshot, holdout, forgotten[middle]).argsort(stable=True)
        return tuple(holdout[row] for row in nearest[: max(FEWEST, len(forgotten))].tolist())
    return holdout


def open_case(bench: Bench, request: ForgetRequest) -> Case:
    """Choose what is forgotten, and retrain without it."""
    chosen = forget_set.select(
        bench.split,
        bench.snapshot,
        kind=request.kind,
        fraction=request.fraction,
        class_name=_class_name(bench.snapshot),
        seed=bench.seed,
    )
    retain, forget = bench.records(bench.split.retained(chosen.ids)), bench.records(chosen.ids)
    calibration = bench.records(bench.split.calibration)
    retrained, seconds = unlearn_with(
        bench, "retrain", forget=forget, retain=retain, calibration=calibration, seed=bench.seed + RETRAINING
    )
    holdout = bench.records(_matching_holdout(bench, request, chosen.ids))
    test = bench.records(bench.split.test)
    return Case(bench, forget, retain, calibration, holdout, test, retrained, seconds)


def _class_name(snapshot: Snapshot) -> str:
    names = snapshot.manifest.class_names
    return next((name for name in names if name.lower() == FORGOTTEN_CLASS), names[0])


def unlearn_with(
    bench: Bench,
    method: str,
    *,
    forget: Records,
    retain: Records,
    calibration: Records,
    seed: int,
    attempt: AttemptName = "first",
) -> tuple[Model, float]:
    """The unlearned model and the wall seconds it took, with the settings of an attempt."""
    begun = time.perf_counter()
    model = METHODS[method](
        bench.original,
        bench.paradigm,
        retain=retain,
        forget=forget,
        calibration=calibration,
        config=settings_at(bench.recipe, method, attempt),
        seed=seed,
    )
    return model, time.perf_counter() - begun


def attack(case: Case, model: Model) -> tuple[AuditedSignals, dict[str, MembershipScores]]:
    """Signals and scores, with the same views and folds for every model of a case."""
    shown = measure_model(
        model,
        case.bench.paradigm,
        forget=case.forget,
        holdout=case.holdout,
        retained=case.retain,
        config=case.bench.recipe.signals,
        seed=case.bench.seed,
    )
    return shown.signals, attack_all(shown.signals, case.bench.seed)


def accuracies(case: Case, model: Model) -> Evaluation:
    """What the model is still good for; labels come from retained members."""
    return evaluate(model, gallery=case.retain, test=case.test, forget=case.forget, config=case.bench.recipe.evaluation)
