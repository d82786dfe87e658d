"""`python -m benchmarks.audit`: does the audit itself keep its promises?

Four kinds of models whose right verdict is known, all judged beside reference models:

- `never_trained`: a reference model and records it never saw, in simulated forget sets. Any verdict of
  `leaks` or `over_forgotten` is a false alarm.
- `untouched`: an original, or a reference model, and records it was trained on. It should leak.
- `retrained`: exactly retrained without the forget set. It should pass, or be inconclusive.
- `over_forgotten`: contrastive, the forget set's loss driven up and that of other non-members down, far too
  long; with labels, trained further with wrong labels on the forget set. (Plain ascent, however strong, spoils
  the model for everybody: nothing sets the forgotten records apart.)

and `gradient_penalty`, whose right verdict nobody knows, for comparison.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import typer
from pydantic import TypeAdapter
from torch import Tensor

from benchmarks.conditions import scaled
from benchmarks.pool import in_parallel
from benchmarks.rows import machine
from benchmarks.workbench import CPU, RETRAINING, Bench, prepare, unlearn_with
from unlearning import forgetting, recipes, settings
from unlearning.audit.audit import compare, measure_like_references
from unlearning.audit.out_of_training import AuditedModel, Forgotten, as_audited, attack_model, out_of_training, without
from unlearning.audit.power import detectable_auc
from unlearning.audit.references import References
from unlearning.audit.results import Comparison, Outcome
from unlearning.audit.statistics import proportion_interval
from unlearning.audit.verdict import VerdictConfig, judge_gaps
from unlearning.config import Config
from unlearning.errors import UserError
from unlearning.files import read_json, write_json, write_text
from unlearning.forgetting import ForgetSet
from unlearning.methods.objective import UnlearningConfig, draw_batch, minimise
from unlearning.methods.random_label import other_labels
from unlearning.models import Model
from unlearning.records import Records, concatenate
from unlearning.seeding import generator
from unlearning.steps.references import train, training_of
from unlearning.training import OptimisationConfig
from unlearning.training import train as fit_members

COUNT = 16
OVERDONE = UnlearningConfig(
    optimisation=OptimisationConfig(epochs=30, batch_size=128, learning_rate=0.002), weight=1.0, forget_batch=64
)
"""Far longer than any method."""

WRONG_EPOCHS, WRONG_RATE = 20, 0.002
"""Enough to learn the wrong labels; with many more the model knows the images again, as members."""


class Judged(Config):
    """One model, one forget set, and what the audit said."""

    paradigm: str
    seed: int
    kind: str
    outcome: Outcome
    gaps: dict[str, float]
    """AUC above what the references show, by attack."""
    errors: dict[str, float]
    """Half-widths of their 90 % intervals."""
    forgotten: int
    holdout: int
    commit: str
    machine: str


JUDGED = TypeAdapter(list[Judged])


class Job(Config):
    """One original with its references."""

    paradigm: str
    seed: int
    simulated: int
    repeats: int
    kinds: tuple[str, ...]


def reference_models(bench: Bench) -> References:
    """The references of a bench's original."""
    given = training_of(bench.recipe, bench.snapshot, bench.split, count=COUNT, seed=bench.seed, device=CPU)
    return train(given, range(COUNT), original="benchmark", split=bench.split.digest)[0]


def judge(model: AuditedModel, forgotten: Forgotten, seed: int) -> tuple[Outcome, tuple[Comparison, ...]]:
    """The verdict on the attacks alone: accuracy is not what is tested here."""
    comparisons = compare(attack_model(model, forgotten, seed), out_of_training(forgotten, seed), "references", seed)
    return judge_gaps(comparisons, VerdictConfig().auc_margin)[0], comparisons


def without_pair(references: References, number: int) -> References:
    """All but a reference and the one trained on the other half: the rest still divides every record evenly."""
    first, second = sorted((number, number ^ 1), reverse=True)
    return without(without(references, first), second)


def simulated(
    references: References, *, known: bool, sets: int, size: int, seed: int
) -> Iterator[tuple[AuditedModel, Forgotten]]:
    """References in the place of the audited model, with forget sets of records they know, or never saw."""
    draw = np.random.default_rng(seed)
    for turn in range(sets):
        number = turn % COUNT
        pool = (references.trained[number] == known).nonzero()[0]
        rows: npt.NDArray[np.intp] = draw.choice(pool, size, replace=False)
        yield as_audited(references, number, rows), Forgotten(without_pair(references, number), rows)


def over_forget(bench: Bench, retain: Records, forget: Records, calibration: Records, seed: int) -> Model:
    """A model that knows the forgotten records less than any stranger."""
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


def _mislabelled(bench: Bench, retain: Records, forget: Records, seed: int) -> Model:
    """Trained further, with wrong labels on the forget set."""
    model, classes = bench.original.clone(), len(bench.original.spec.class_names)
    wrong = Records(forget.images, other_labels(forget.labels, classes, generator(seed, "wrong labels")))
    further = bench.recipe.training.model_copy(update={"epochs": WRONG_EPOCHS, "learning_rate": WRONG_RATE})
    fit_members(model, bench.paradigm, concatenate(retain, wrong), further, seed=seed, purpose="over-forget")
    return model.eval()


def _unlearned(
    bench: Bench, references: References, turn: int, kinds: tuple[str, ...]
) -> Iterator[tuple[str, AuditedModel, Forgotten]]:
    """The models of one forget set."""
    chosen: ForgetSet = forgetting.select(
        bench.split, bench.snapshot, kind="random", fraction=0.2, class_name="", seed=1000 * (bench.seed + 1) + turn
    )
    forgotten = Forgotten.of(references, bench.split, chosen.ids)
    retain, forget = bench.records(bench.split.retained(chosen.ids)), bench.records(chosen.ids)
    holdout, calibration = bench.records(bench.split.holdout), bench.records(bench.split.calibration)
    given: dict[str, Any] = {"forget": forget, "retain": retain, "calibration": calibration}
    makers: dict[str, Callable[[], Model]] = {
        "untouched": lambda: bench.original,
        "retrained": lambda: unlearn_with(bench, "retrain", **given, seed=bench.seed + RETRAINING + turn)[0],
        "over_forgotten": lambda: over_forget(bench, **given, seed=bench.seed + turn),
        "gradient_penalty": lambda: unlearn_with(bench, "gradient_penalty", **given, seed=bench.seed + turn)[0],
    }
    for kind in kinds:
        if kind not in makers:
            continue
        model = makers[kind]()
        shown = measure_like_references(
            model, bench.paradigm, forget=forget, holdout=holdout, retained=retain, forgotten=forgotten
        )
        yield kind, shown, forgotten


def validate(job: Job) -> list[Judged]:
    """Every verdict on one original, its references and what was made of it."""
    torch.set_num_threads(1)
    bench = prepare(scaled(recipes.default_recipe("fashion-mnist", job.paradigm)), job.seed)
    references = reference_models(bench)
    commit, where = settings.from_environment().commit, machine()
    found: list[Judged] = []

    def add(kind: str, model: AuditedModel, forgotten: Forgotten) -> None:
        outcome, comparisons = judge(model, forgotten, len(found))
        found.append(
            Judged(
                paradigm=job.paradigm,
                seed=job.seed,
                kind=kind,
                outcome=outcome,
                gaps={each.attack: each.difference.estimate for each in comparisons},
                errors={each.attack: (each.difference.high - each.difference.low) / 2 for each in comparisons},
                forgotten=len(forgotten.rows),
                holdout=len(model.holdout.losses),
                commit=commit,
                machine=where,
            )
        )

    for turn in range(job.repeats):
        for kind, model, forgotten in _unlearned(bench, references, turn, job.kinds):
            add(kind, model, forgotten)
    size = len(bench.split.members) // 5
    for kind, known, sets in (("never_trained", False, job.simulated), ("untouched", True, 2 * job.repeats)):
        for model, forgotten in simulated(
            references, known=known, sets=sets if kind in job.kinds else 0, size=size, seed=job.seed + known
        ):
            add(kind, model, forgotten)
    return found


WANTED = {
    "never_trained": ("false alarms", ("leaks", "over_forgotten"), "at most .05"),
    "untouched": ("found to leak", ("leaks",), "near 1"),
    "retrained": ("passed or inconclusive", ("passed", "inconclusive"), "at least .95"),
    "over_forgotten": ("found over-forgotten", ("over_forgotten",), "near 1"),
}


KINDS = (*WANTED, "gradient_penalty")


def _groups(found: list[Judged]) -> dict[tuple[str, str], list[Judged]]:
    """Verdicts by paradigm and kind, in reading order; none is empty."""
    order = [(paradigm, kind) for paradigm in sorted({each.paradigm for each in found}) for kind in KINDS]
    groups = {key: [each for each in found if (each.paradigm, each.kind) == key] for key in order}
    return {key: some for key, some in groups.items() if some}


def render(found: list[Judged]) -> str:
    """The page."""
    lines = [
        "# Does the audit keep its promises?", "",
        "Models whose right verdict is known, judged beside 16 reference models (14 where one of them is judged);",
        "accuracy is left out. Rates have exact 95 % intervals (Clopper & Pearson); sets that share a model are not",
        "independent, so intervals of `never_trained` and `untouched` are a little too narrow. Margin .10 AUC.", "",
        "| paradigm | models | what should happen | rate | wanted | verdicts |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    groups = _groups(found)
    for (paradigm, kind), some in groups.items():
        verdicts = ", ".join(f"{name} {count}" for name, count in Counter(each.outcome for each in some).most_common())
        what, right, wanted = WANTED.get(kind, ("—", (), "—"))
        rate = proportion_interval(sum(each.outcome in right for each in some), len(some))
        shown = f"{rate.estimate:.3f} [{rate.low:.3f}, {rate.high:.3f}]" if right else "—"
        lines.append(f"| {paradigm} | {kind}, {len(some)} | {what} | {shown} | {wanted} | {verdicts} |")
    lines += ["", "Mean AUC above what the references show, by attack:", ""]
    attacks = list(found[0].gaps)
    lines += [f"| paradigm | models | {' | '.join(attacks)} |", "|---" * (2 + len(attacks)) + "|"]
    for (paradigm, kind), some in groups.items():
        means = [f"{np.mean([each.gaps[name] for each in some]):+.3f}" for name in attacks]
        lines.append(f"| {paradigm} | {kind} | {' | '.join(means)} |")
    sizes = "; ".join(
        f"{count}: {detectable_auc(count, found[0].holdout):.3f}" for count in (20, 50, 100, 200, 400, 1000)
    )
    lines += [
        "", f"Smallest AUC that one attack finds with power .8, by forgotten records beside {found[0].holdout} others: "
        f"{sizes}.", "", f"Command: `python -m benchmarks.audit`. Commits: "
        f"{', '.join(sorted({each.commit[:12] for each in found}))}. Machine: {found[0].machine}.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def main(
    paradigm: Annotated[list[str] | None, typer.Option(help="Only these; repeat for more.")] = None,
    seeds: Annotated[int, typer.Option(help="Originals per paradigm, from seed 0.")] = 1,
    simulated: Annotated[int, typer.Option(help="Simulated forget sets per original.")] = 208,
    repeats: Annotated[int, typer.Option(help="Forget sets per original that models are made for.")] = 10,
    jobs: Annotated[int, typer.Option(help="Processes side by side, one thread each.")] = 2,
    output: Annotated[Path, typer.Option(help="JSON; the page beside it.")] = Path("benchmarks/results/audit.json"),
) -> None:
    """Measure how often the audit is right. Kinds of models that `output` holds are not judged again."""
    try:
        found = JUDGED.validate_python(read_json(output, "audit results")) if output.exists() else []
        done = {(each.paradigm, each.seed, each.kind) for each in found}
        work = [
            Job(paradigm=name, seed=seed, simulated=simulated, repeats=repeats, kinds=missing)
            for seed in range(seeds)
            for name in paradigm or ["simclr", "supervised"]
            if (missing := tuple(kind for kind in KINDS if (name, seed, kind) not in done))
        ]
        for _, fresh in in_parallel(validate, work, jobs=jobs, label=lambda job: f"{job.paradigm} seed {job.seed}"):
            found += fresh
            write_json(output, [each.model_dump(mode="json") for each in found])
            write_text(output.with_suffix(".md"), render(found))
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{len(found)} verdicts in {output} and {output.with_suffix('.md')}")


if __name__ == "__main__":
    typer.run(main)
