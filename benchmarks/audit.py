"""`python -m benchmarks.audit`: does the audit itself keep its promises?

Five kinds of models whose right verdict is known, all judged beside reference models:

- `never_trained`: a reference model and records it was not trained on, in simulated forget sets. Any verdict of
  `leaks` or `over_forgotten` is a false alarm.
- `untouched`: an original, or a reference model, and records it was trained on. It should leak.
- `retrained`: exactly retrained without the forget set. It should pass, or be inconclusive.
- `over_forgotten`: contrastive, the forget set's loss driven up and that of other non-members down, far too
  long; with labels, trained further with wrong labels on the forget set. (Plain ascent, however strong, spoils
  the model for everybody: nothing sets the forgotten records apart.)
- `offset_only`: what the original shows of the forgotten records, moved as a whole until its mean is that of models not
  trained on them. On average they look forgotten, and each is remembered as before. It should leak.

and, for comparison, models whose right verdict nobody knows: `gradient_matching`, and the two escalated settings of it
that the escalation policy tries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import typer
from torch import Tensor

from benchmarks import power
from benchmarks.audit_page import JUDGED, KINDS, TRIED, Judged, show
from benchmarks.conditions import scaled
from benchmarks.pool import in_parallel
from benchmarks.rows import library_digest, machine
from benchmarks.workbench import CPU, RETRAINING, Bench, prepare, unlearn_with
from unlearning import recipes
from unlearning.audit.attacks.lira import logit_confidence
from unlearning.audit.audit import Compared, compare, expectation, gaps_of, measure_like_references
from unlearning.audit.reference_baseline import (
    AuditedModel,
    ReferenceBaseline,
    as_audited,
    attack_model,
    without,
)
from unlearning.audit.references import signals as references
from unlearning.audit.references import training
from unlearning.audit.references.signals import References
from unlearning.audit.results import Outcome
from unlearning.audit.signals import Measured
from unlearning.audit.verdict import VerdictConfig, judge_gaps
from unlearning.core import settings
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import new_folder, read_json, sha256_json, write_json
from unlearning.core.seeding import generator
from unlearning.data import forget_set
from unlearning.data.forget_set import ForgetSet
from unlearning.data.records import Records, concatenate
from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS
from unlearning.learning.training import OptimisationConfig
from unlearning.learning.training import train as fit_members
from unlearning.methods.objective import UnlearningConfig, draw_batch, minimise
from unlearning.methods.random_label import other_labels
from unlearning.recipes.recipe import Recipe
from unlearning.recipes.references import train, training_of

Floats = npt.NDArray[np.float64]

COUNT = 16
METHOD = "gradient_matching"
OVERDONE = UnlearningConfig(
    optimisation=OptimisationConfig(epochs=30, batch_size=128, learning_rate=0.002), weight=1.0, forget_batch=64
)
"""Far longer than any method."""

WRONG_EPOCHS, WRONG_RATE = 20, 0.002
"""Enough to learn the wrong labels; with many more the model knows the images again, as members."""


SIMULATED = {"never_trained": False, "untouched": True}
"""Kinds that references in the place of the audited model stand for, and whether they know the records."""


class Original(Config):
    """One original; it and its references are made once and kept."""

    paradigm: str
    seed: int

    @property
    def recipe(self) -> Recipe:
        """At the scale of the benchmarks."""
        return scaled(recipes.default_recipe("fashion-mnist", self.paradigm))

    def folder(self) -> Path:
        """Where they are kept: elsewhere after every change of the sources or settings that decide them."""
        halving = Path(training.__file__).read_text(encoding="utf-8")
        version = sha256_json([library_digest(), halving, self.recipe.model_dump(mode="json")])
        return settings.from_environment().home / "benchmarks" / f"audit-{self.paradigm}-{self.seed}-{version[:12]}"

    def open(self) -> Bench:
        """The original, trained unless it is kept."""
        return prepare(self.recipe, self.seed, self.folder() / "original")


class AuditJob(Config):
    """All models of one kind, of one original."""

    original: Original
    kind: str
    simulated: int
    repeats: int


def make_references(original: Original) -> None:
    """Train an original and its references, unless they are kept."""
    bench, path = original.open(), original.folder() / "references"
    if path.exists():
        return
    given = training_of(bench.recipe, bench.snapshot, bench.split, count=COUNT, seed=bench.seed, device=CPU)
    found = train(given, range(COUNT), original="benchmark", split=bench.split.digest)[0]
    with new_folder(path) as folder:
        references.save(found, folder)


def judge(model: AuditedModel, forgotten: ReferenceBaseline, seed: int) -> tuple[Outcome, Compared]:
    """The verdict on attacks and single records alone: accuracy is not what is tested here."""
    scores, expected = attack_model(model, forgotten, seed), expectation(forgotten, seed)
    compared = compare(scores, expected.placements, "references", seed, gaps_of(model, scores, forgotten, expected))
    return judge_gaps(compared.attacks, compared.single_records, VerdictConfig())[0], compared


def without_pair(references: References, number: int) -> References:
    """All but a reference and the one trained on the other half: the rest still divides every record evenly."""
    first, second = sorted((number, number ^ 1), reverse=True)
    return without(without(references, first), second)


def simulated(
    references: References, *, known: bool, sets: int, size: int, seed: int
) -> Iterator[tuple[AuditedModel, ReferenceBaseline]]:
    """References in the place of the audited model, with forget sets of their members or of non-members."""
    draw = np.random.default_rng(seed)
    for turn in range(sets):
        number = turn % COUNT
        pool = (references.trained[number] == known).nonzero()[0]
        rows: npt.NDArray[np.intp] = draw.choice(pool, size, replace=False)
        yield as_audited(references, number, rows), ReferenceBaseline(without_pair(references, number), rows)


def over_forget(bench: Bench, retain: Records, forget: Records, calibration: Records, seed: int) -> Model:
    """A model that knows the forgotten records less than any non-member."""
    if bench.recipe.paradigm.name == "supervised":
        return _mislabelled(bench, retain, forget, seed)
    model, paradigm = bench.original.clone(), bench.paradigm.while_unlearning()

    def term(draw: torch.Generator) -> Tensor:
        losses = []
        for records in (calibration, forget):
            batch = draw_batch(records, OVERDONE.forget_batch, draw)
            losses.append(paradigm.per_sample_loss(model, paradigm.views(batch.images, draw), batch.labels).mean())
        return losses[0] - losses[1]

    return minimise(model, paradigm, retain, term, OVERDONE, seed=seed, purpose="over-forget")


def without_offset(model: AuditedModel, forgotten: ReferenceBaseline) -> AuditedModel:
    """What a model shows of the forgotten records, with the mean of models not trained on them, signal by signal.

    Losses are moved on the scale of their logits, see `logit_confidence`, query by query.
    """
    known, outside = forgotten.references, ~forgotten.trained
    shown, rows = model.forget, forgotten.rows

    def moved(values: Floats, of_references: Floats) -> Floats:
        found: Floats = values + of_references[:, rows][outside].mean(axis=0) - values.mean(axis=0)
        return found

    logits = moved(logit_confidence(shown.losses), logit_confidence(known.member_losses))
    losses = np.logaddexp(0.0, -logits)
    signals = {name: moved(value, known.members[name]) for name, value in shown.signals.items()}
    encoder = {name: moved(value, known.members[name]) for name, value in shown.encoder.items()}
    return replace(model, forget=Measured(signals | {"loss": -losses.mean(axis=1)}, encoder, losses))


def _mislabelled(bench: Bench, retain: Records, forget: Records, seed: int) -> Model:
    """Trained further, with wrong labels on the forget set."""
    model, classes = bench.original.clone(), len(bench.original.spec.class_names)
    wrong = Records(forget.images, other_labels(forget.labels, classes, generator(seed, "wrong labels")))
    further = bench.recipe.training.model_copy(update={"epochs": WRONG_EPOCHS, "learning_rate": WRONG_RATE})
    fit_members(model, bench.paradigm, concatenate(retain, wrong), further, seed=seed, purpose="over-forget")
    return model.eval()


@dataclass(frozen=True)
class Chosen:
    """A forget set, and what references show of it."""

    forget: Records
    retain: Records
    forgotten: ReferenceBaseline

    @classmethod
    def turn(cls, bench: Bench, known: References, turn: int) -> Chosen:
        """A fifth of the members, others in each turn."""
        chosen: ForgetSet = forget_set.select(
            bench.split, bench.snapshot, kind="random", fraction=0.2, class_name="", seed=1000 * (bench.seed + 1) + turn
        )
        forgotten = ReferenceBaseline.of(known, bench.split, chosen.ids)
        return cls(bench.records(chosen.ids), bench.records(bench.split.retained(chosen.ids)), forgotten)

    def shown_by(self, model: Model, bench: Bench) -> AuditedModel:
        """What a model shows of it."""
        return measure_like_references(
            model,
            bench.paradigm,
            forget=self.forget,
            holdout=bench.records(bench.split.holdout),
            retained=self.retain,
            forgotten=self.forgotten,
        )


def _unlearned(
    bench: Bench, known: References, kind: str, repeats: int
) -> Iterator[tuple[AuditedModel, ReferenceBaseline]]:
    """The models of one kind, each of a forget set of its own."""
    calibration = bench.records(bench.split.calibration)
    for turn in range(repeats):
        chosen = Chosen.turn(bench, known, turn)
        forgotten = chosen.forgotten
        given: dict[str, Any] = {"forget": chosen.forget, "retain": chosen.retain, "calibration": calibration}
        match kind:
            case "untouched" | "offset_only":
                model = bench.original
            case "retrained":
                model = unlearn_with(bench, "retrain", **given, seed=bench.seed + RETRAINING + turn)[0]
            case "over_forgotten":
                model = over_forget(bench, **given, seed=bench.seed + turn)
            case _:
                model = unlearn_with(bench, METHOD, **given, seed=bench.seed + turn, attempt=TRIED[kind])[0]
        shown = chosen.shown_by(model, bench)
        yield (without_offset(shown, forgotten) if kind == "offset_only" else shown), forgotten


def _models(job: AuditJob) -> Iterator[tuple[AuditedModel, ReferenceBaseline]]:
    """All that a job judges."""
    bench = job.original.open()
    known = references.load(job.original.folder() / "references")
    if job.kind != "never_trained":
        yield from _unlearned(bench, known, job.kind, job.repeats)
    if job.kind in SIMULATED:
        knows = SIMULATED[job.kind]
        sets, size = 2 * job.repeats if knows else job.simulated, len(bench.split.members) // 5
        yield from simulated(known, known=knows, sets=sets, size=size, seed=bench.seed + knows)


def validate(job: AuditJob) -> list[Judged]:
    """Every verdict on one kind of models."""
    commit, where = settings.from_environment().commit, machine()
    found: list[Judged] = []
    for model, forgotten in _models(job):
        outcome, compared = judge(model, forgotten, len(found))
        tested = {each.attack: each.difference for each in compared.attacks}
        tested |= {f"{each.measure} {each.attack}".strip(): each.difference for each in compared.single_records}
        found.append(
            Judged(
                paradigm=job.original.paradigm,
                seed=job.original.seed,
                kind=job.kind,
                outcome=outcome,
                gaps={name: each.estimate for name, each in tested.items()},
                errors={name: (each.high - each.low) / 2 for name, each in tested.items()},
                forgotten=len(forgotten.rows),
                holdout=len(model.holdout.losses),
                commit=commit,
                machine=where,
            )
        )
    return found


def main(
    paradigm: Annotated[list[str] | None, typer.Option(help="Only these; repeat for more.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only these; repeat for more.")] = None,
    seeds: Annotated[int, typer.Option(help="Originals per paradigm, from seed 0.")] = 3,
    simulated: Annotated[int, typer.Option(help="Simulated forget sets per original.")] = 208,
    repeats: Annotated[int, typer.Option(help="Forget sets per original that models are made for.")] = 10,
    jobs: Annotated[int, typer.Option(help="Processes side by side, one thread each.")] = 2,
    output: Annotated[Path, typer.Option(help="JSON; the page beside it.")] = Path("benchmarks/results/audit.json"),
    power_only: Annotated[bool, typer.Option("--power-only", help="Only simulate what an audit can see.")] = False,
    sets: Annotated[int, typer.Option(min=1, help="Score sets per size that --power-only simulates.")] = power.SETS,
) -> None:
    """Measure how often the audit is right. Kinds of models that `output` holds are not judged again."""
    drawn = output.with_name(f"{output.stem}-power.json")
    try:
        found = JUDGED.validate_python(read_json(output, "audit results")) if output.exists() else []
        if power_only:
            write_json(drawn, power.SIMULATED.dump_python(power.simulate_all(sets=sets), mode="json"))
        seen = power.load(drawn)
        done = {(each.paradigm, each.seed, each.kind) for each in found}
        work = [
            AuditJob(original=Original(paradigm=name, seed=seed), kind=each, simulated=simulated, repeats=repeats)
            for seed in range(0 if power_only else seeds)
            for name in paradigm or PARADIGMS
            for each in kind or KINDS
            if (name, seed, each) not in done
        ]
        originals = [*dict.fromkeys(job.original for job in work)]
        for _ in in_parallel(make_references, originals, jobs=jobs, label=lambda each: f"{each.paradigm} {each.seed}"):
            pass
        for _, fresh in in_parallel(validate, work, jobs=jobs, label=lambda job: f"{job.original.paradigm} {job.kind}"):
            found += fresh
            write_json(output, [each.model_dump(mode="json") for each in found])
            show(found, seen, output)
        show(found, seen, output)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{len(found)} verdicts in {output} and {output.with_suffix('.md')}")


if __name__ == "__main__":
    typer.run(main)
