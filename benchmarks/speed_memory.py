"""How much memory a step of the pipeline takes at its highest, each in a fresh process."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import workbench  # with all that a step imports: the imports are no part of what is measured
from benchmarks.pool import in_parallel
from benchmarks.speed_resident import peak_above_now
from benchmarks.speed_rows import Goal, Memory
from unlearning.audit.audit import measure_model
from unlearning.core import settings
from unlearning.core.config import Config
from unlearning.core.seeding import initialisation
from unlearning.data import forget_set
from unlearning.data.sources import open_source
from unlearning.data.splits import make_split
from unlearning.learning.paradigms import make_paradigm
from unlearning.learning.training import train
from unlearning.methods import METHODS
from unlearning.recipes.recipe import Recipe

GOAL = Goal(side="at most", bound=2048)
BATCHES_OF = 1000
"""Records of a group that a task works through, when all have been made ready; more batches take no more memory."""
TASKS = ("pretraining", "gradient matching", "audit signals")


class Task(Config):
    """One thing to do in a process of its own."""

    what: str
    recipe: Recipe
    seed: int


def _work(task: Task) -> None:
    """As a step does it, from ingesting on; weights are fresh, since memory does not depend on them.

    Every record of a group is brought to the size the model sees, and `BATCHES_OF` of them are worked through.
    """
    recipe, seed = task.recipe, task.seed
    snapshot = open_source(recipe.data.source, settings.from_environment().data, limit=recipe.data.limit, seed=seed)
    split = make_split(snapshot.manifest, recipe.split, seed)
    paradigm, side = make_paradigm(recipe.paradigm), recipe.data.image_side
    with initialisation(seed, "memory"):
        model = paradigm.build(
            recipe.encoder, (snapshot.manifest.image_shape[0], side, side), snapshot.manifest.class_names
        )
    bench = workbench.Bench(recipe, seed, snapshot, split, paradigm, model, 0.0)
    some = slice(BATCHES_OF)
    if task.what == "pretraining":
        train(model, paradigm, bench.records(split.members)[some], recipe.training, seed=seed, purpose="pretrain")
        return
    ids = forget_set.select(split, snapshot, kind="random", fraction=0.2, class_name="", seed=seed).ids
    retain, forget = bench.records(split.retained(ids))[some], bench.records(ids)[some]
    if task.what == "gradient matching":
        calibration = bench.records(split.calibration)[some]
        config = recipe.methods.gradient_matching
        METHODS["gradient_matching"](
            model, paradigm, retain=retain, forget=forget, calibration=calibration, config=config, seed=seed
        )
        return
    holdout = bench.records(split.holdout)[some]
    measure_model(
        model.eval(), paradigm, forget=forget, holdout=holdout, retained=retain, config=recipe.signals, seed=seed
    )


def measure(task: Task) -> Memory:
    """Run a task in this process, which must have done nothing else."""
    before, above = peak_above_now(lambda: _work(task))
    return Memory(
        what=task.what,
        paradigm=task.recipe.paradigm.name,
        records=task.recipe.split.members,
        mebibytes=above,
        imports=before,
        goal=GOAL,
    )


def peaks(recipes: Sequence[Recipe], seed: int) -> list[Memory]:
    """Every task with every recipe, one after the other, each in a process that ends with it."""
    work = [Task(what=what, recipe=recipe, seed=seed) for recipe in recipes for what in TASKS]
    return [
        memory
        for task in work
        for _, memory in in_parallel(measure, [task], jobs=1, label=lambda task: f"memory of {task.what}")
    ]
