"""`unlearn step …`: the nodes of the DAG from ingest to promote and reject by hand, on paths."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from unlearning.audit.policy import Margins, Policy
from unlearning.audit.qualification.plan import SETS, SIZES, as_text, shares
from unlearning.cli.options import options
from unlearning.cli.output import Json, show
from unlearning.core.config import checked

app = typer.Typer(
    help="The steps from ingest to promote and reject by hand: each reads and writes the paths it is given.",
    no_args_is_help=True,
)

Seed = Annotated[int, typer.Option(help="Seed of every random draw of this step.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Snapshot = Annotated[Path, typer.Option(help="Snapshot folder.")]
SplitFile = Annotated[Path, typer.Option(help="Split file.")]
RecipeFile = Annotated[Path, typer.Option(help="Resolved recipe, as written by ingest.")]
ForgetFile = Annotated[Path, typer.Option(help="Forget set, as written by select.")]
Original = Annotated[Path, typer.Option(help="Folder of the original model.")]
Candidate = Annotated[Path, typer.Option(help="Folder of the unlearned model.")]
AuditFile = Annotated[Path, typer.Option(help="Audit, as written by audit.")]
EvaluationFile = Annotated[Path, typer.Option(help="Evaluation, as written by evaluate.")]
VerdictFile = Annotated[Path, typer.Option(help="Verdict, as written by decide.")]
ReferencesFolder = Annotated[Path | None, typer.Option(help="Reference models of the original.")]
Out = Annotated[Path, typer.Option(help="Where the result is written.")]
Attempt = Annotated[str, typer.Option(help="first, stronger_1, stronger_2 or retrained.")]
OnInconclusive = Annotated[
    str, typer.Option(help="Where the audit cannot tell: retrain, stop, accept, accept_retrained or qualified.")
]
CompareWith = Annotated[str, typer.Option(help="retrained, or references: nothing is retrained.")]
RunName = Annotated[str, typer.Option(help="Names this work in MLflow; repeating it changes nothing.")]


@contextmanager
def _on_all_processes(out: Path, device: str) -> Iterator[Path]:
    """Where this process writes: `out`, but for those that torchrun started beside the first one."""
    from unlearning.core import settings
    from unlearning.learning import distributed
    from unlearning.recipes import provenance

    with distributed.step(out, settings.from_environment().checkpoints, device) as (mine, checkpoints):
        if not distributed.first():
            os.environ["UNLEARNING_CHECKPOINTS"] = str(checkpoints)
        yield mine
        if (count := distributed.count()) > 1:
            made = provenance.load(mine)
            provenance.save(made.model_copy(update={"processes": count}), mine)


@app.command()
def ingest(
    out: Out,
    recipe_out: Annotated[Path, typer.Option(help="Where the resolved recipe is written.")],
    recipe: Annotated[str, typer.Option(help="Shipped recipe or YAML file.")] = "fashion-mnist-simclr",
    overrides: Annotated[str, typer.Option(help="YAML laid over the recipe.")] = "",
    seed: Seed = 0,
    erased: Annotated[str, typer.Option(help="Erased records that the source still holds: refuse or drop.")] = "refuse",
    json: Json = False,
) -> None:
    """Data source to snapshot."""
    from unlearning.steps.ingest import ingest as step

    result = step(
        recipe=recipe, overrides=overrides, seed=seed, erased=erased, snapshot_path=out, recipe_path=recipe_out
    )
    show(result, json)


@app.command()
def split(snapshot: Snapshot, recipe_file: RecipeFile, out: Out, seed: Seed = 0, json: Json = False) -> None:
    """Snapshot to members, calibration, holdout and test."""
    from unlearning.steps.split import split as step

    show(step(snapshot_path=snapshot, recipe_path=recipe_file, seed=seed, split_path=out), json)


@app.command()
def pretrain(
    snapshot: Snapshot,
    split: SplitFile,
    recipe_file: RecipeFile,
    out: Out,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Members to model; resumes when interrupted. torchrun lets several processes train one model."""
    from unlearning.learning import distributed
    from unlearning.steps.pretrain import pretrain as step

    with _on_all_processes(out, device) as mine:
        result = step(
            snapshot_path=snapshot, split_path=split, recipe_path=recipe_file, seed=seed, device=device, model_path=mine
        )
        distributed.assert_identical(result.digest)
    if distributed.first():
        show(result, json)


@app.command()
def references(
    model: Original,
    snapshot: Snapshot,
    split: SplitFile,
    out: Out,
    count: Annotated[int, typer.Option(help="How many: even, 8 or more.")] = 16,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Original to reference models, which every later audit of it can compare with; kept in the store."""
    from tempfile import TemporaryDirectory

    from unlearning.steps import references as steps

    with TemporaryDirectory() as scratch:
        part = Path(scratch) / "part"
        steps.make(
            model_path=model,
            snapshot_path=snapshot,
            split_path=split,
            count=count,
            numbers=range(count),
            device=device,
            references_path=part,
        )
        found = steps.gather(parts=[part], references_path=out)
    show(found.manifest, json)


@app.command()
@options(Margins)
def qualify(
    model: Original,
    references: Annotated[Path, typer.Option(help="Reference models of the original.")],
    snapshot: Snapshot,
    split: SplitFile,
    out: Out,
    parameters: dict[str, Any],
    method: Annotated[str, typer.Option(help="See `unlearn methods`.")] = "gradient_matching",
    overrides: Annotated[str, typer.Option(help="YAML laid over the method's settings.")] = "",
    sizes: Annotated[str, typer.Option(help="Records of a simulated set, separated by commas.")] = SIZES,
    sets: Annotated[int, typer.Option(help="Simulated sets of each size, at most; 8 or more.")] = SETS,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Method to how it forgets simulated sets too small to audit; kept in the store. Goes on when interrupted."""
    from tempfile import TemporaryDirectory

    from unlearning.data import splits
    from unlearning.steps import qualify as steps

    (share,) = shares(sizes, sets, len(splits.load(split).members), 1)
    with TemporaryDirectory() as scratch:
        part = Path(scratch) / "part"
        steps.forget(
            model_path=model,
            references_path=references,
            snapshot_path=snapshot,
            split_path=split,
            method=method,
            overrides=overrides,
            sizes=sizes,
            sets=sets,
            share=as_text(share),
            seed=seed,
            device=device,
            part_path=part,
        )
        found = steps.conclude(
            parts=[part], references_path=references, margins=checked(Margins, parameters), qualifications_path=out
        )
    show({f"{each.method} for {each.size}": each.told for each in found}, json)


@app.command()
def register(
    model: Original,
    split: SplitFile,
    evaluation: EvaluationFile,
    run_name: RunName,
    model_name: Annotated[str, typer.Option(help="Registered model; empty: the recipe's name.")] = "",
    references: ReferencesFolder = None,
    json: Json = False,
) -> None:
    """Original to MLflow version, serving as champion."""
    from unlearning.steps.register import register as step

    version = step(
        model_path=model,
        split_path=split,
        evaluation_path=evaluation,
        references_path=references,
        model_name=model_name,
        run_name=run_name,
    )
    show(version, json)


@app.command()
def resolve(
    model_name: Annotated[str, typer.Option(help="Registered model.")],
    model_out: Out,
    snapshot_out: Out,
    split_out: Out,
    references_out: Out,
    forgotten_before_out: Annotated[
        Path | None, typer.Option(help="Where it is written what the version has forgotten already.")
    ] = None,
    version: Annotated[str, typer.Option(help="Version number or alias.")] = "champion",
    compare_with: CompareWith = "retrained",
    json: Json = False,
) -> None:
    """Registered version to model, snapshot and split."""
    from unlearning.steps.resolve import resolve as step

    result = step(
        model_name=model_name,
        version=version,
        compare_with=checked(Policy, {"compare_with": compare_with}).compare_with,
        model_path=model_out,
        snapshot_path=snapshot_out,
        split_path=split_out,
        references_path=references_out,
        forgotten_before_path=forgotten_before_out,
    )
    show(result, json)


@app.command()
def select(
    snapshot: Snapshot,
    split: SplitFile,
    out: Out,
    kind: Annotated[str, typer.Option(help="random, class, cluster or records.")] = "random",
    fraction: Annotated[float, typer.Option(help="Share of the members, for random.")] = 0.2,
    class_name: Annotated[str, typer.Option(help="Class, for class.")] = "",
    ids: Annotated[str, typer.Option(help="JSON list of record ids, for records.")] = "",
    seed: Seed = 0,
    model: Annotated[Path | None, typer.Option(help="That is to forget: looks for near-duplicates.")] = None,
    near_duplicates_out: Annotated[Path | None, typer.Option(help="Where near-duplicates are written.")] = None,
    include_near_duplicates: Annotated[
        bool, typer.Option("--include-near-duplicates", help="Forget the near-duplicates too.")
    ] = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Members to forget set."""
    from unlearning.steps.select import select as step

    result = step(
        snapshot_path=snapshot,
        split_path=split,
        kind=kind,
        fraction=fraction,
        class_name=class_name,
        ids=ids,
        seed=seed,
        model_path=model,
        include_near_duplicates=include_near_duplicates,
        device=device,
        forget_path=out,
        near_duplicates_path=near_duplicates_out,
    )
    show(result, json)


@app.command()
def unlearn(
    model: Original,
    snapshot: Snapshot,
    split: SplitFile,
    forget: ForgetFile,
    out: Out,
    method: Annotated[str, typer.Option(help="See `unlearn methods`.")] = "gradient_matching",
    overrides: Annotated[str, typer.Option(help="YAML laid over the method's settings.")] = "",
    attempt: Attempt = "first",
    seed: Seed = 0,
    device: Device = "auto",
    keep_diverged: Annotated[
        bool, typer.Option("--keep-diverged", help="Where the method diverges, write the model as it was.")
    ] = False,
    json: Json = False,
) -> None:
    """Model and forget set to candidate. torchrun lets several processes work on one model."""
    from unlearning.learning import distributed
    from unlearning.steps.unlearn import unlearn as step

    with _on_all_processes(out, device) as mine:
        result = step(
            model_path=model,
            snapshot_path=snapshot,
            split_path=split,
            forget_path=forget,
            method=method,
            overrides=overrides,
            attempt=attempt,
            seed=seed,
            device=device,
            keep_diverged=keep_diverged,
            candidate_path=mine,
        )
        distributed.assert_identical(result.digest)
    if distributed.first():
        show(result, json)


@app.command()
def retrain_or_none(
    model: Original,
    snapshot: Snapshot,
    split: SplitFile,
    forget: ForgetFile,
    out: Out,
    compare_with: CompareWith = "retrained",
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Model to one exactly retrained without the forget set, to compare candidates with; or to none."""
    from unlearning.steps.retrain_or_none import retrain_or_none as step

    result = step(
        compare_with=checked(Policy, {"compare_with": compare_with}).compare_with,
        model_path=model,
        snapshot_path=snapshot,
        split_path=split,
        forget_path=forget,
        seed=seed,
        device=device,
        retrained_path=out,
    )
    show(result or {"retrained": "none"}, json)


@app.command()
def audit(
    original: Original,
    candidate: Candidate,
    snapshot: Snapshot,
    split: SplitFile,
    forget: ForgetFile,
    out: Out,
    retrained: Annotated[Path | None, typer.Option(help="Folder of the exactly retrained model.")] = None,
    references: ReferencesFolder = None,
    unlearned_references: Annotated[int, typer.Option(help="References that forget too, for u_lira.")] = 0,
    forgotten_before: Annotated[
        Path | None, typer.Option(help="What the original has forgotten already, as written by resolve.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Membership-inference attacks; the candidate is compared with the retrained model or the references."""
    from unlearning.steps.audit import audit as step

    result = step(
        original_path=original,
        candidate_path=candidate,
        retrained_path=retrained,
        references_path=references,
        snapshot_path=snapshot,
        split_path=split,
        forget_path=forget,
        seed=seed,
        device=device,
        unlearned_references=unlearned_references,
        forgotten_before_path=forgotten_before,
        audit_path=out,
    )
    show(result, json, lambda: "\n".join(f"{name}: {each.model}" for name, each in result.models.items()))


@app.command()
def evaluate(
    original: Original,
    snapshot: Snapshot,
    split: SplitFile,
    out: Out,
    candidate: Annotated[Path | None, typer.Option(help="Folder of the unlearned model.")] = None,
    retrained: Annotated[Path | None, typer.Option(help="Folder of the retrained model.")] = None,
    forget: Annotated[Path | None, typer.Option(help="Forget set, once there is one.")] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Accuracies of the models given; the candidate's are compared with the retrained model's or the original's."""
    from unlearning.steps.evaluate import evaluate as step

    paths = {"original": original, "candidate": candidate, "retrained": retrained}
    report = step(
        model_paths={name: path for name, path in paths.items() if path is not None},
        snapshot_path=snapshot,
        split_path=split,
        forget_path=forget,
        device=device,
        evaluation_path=out,
    )
    show(report, json)


@app.command()
@options(Policy, without=("compare_with",))
def decide(
    audit: AuditFile,
    evaluation: EvaluationFile,
    out: Out,
    parameters: dict[str, Any],
    method: Annotated[str, typer.Option(help="Whose settings would be escalated.")] = "gradient_matching",
    attempt: Attempt = "first",
    candidate: Annotated[Path | None, typer.Option(help="Unlearned model, for on_inconclusive qualified.")] = None,
    json: Json = False,
) -> None:
    """Evidence to verdict, and to what follows it."""
    from unlearning.steps.decide import decide as step

    decided = step(
        audit_path=audit,
        evaluation_path=evaluation,
        policy=checked(Policy, parameters),
        method=method,
        attempt=attempt,
        candidate_path=candidate,
        verdict_path=out,
    )
    verdict = decided.verdict
    show(decided, json, lambda: "\n".join([verdict.outcome, *verdict.reasons, f"then: {decided.action}"]))


ModelName = Annotated[str, typer.Option(help="Registered model.")]
Parent = Annotated[str, typer.Option(help="Version the candidate was made from.")]


@app.command()
def promote(
    candidate: Candidate,
    forget: ForgetFile,
    audit: AuditFile,
    evaluation: EvaluationFile,
    verdict: VerdictFile,
    model_name: ModelName,
    parent: Parent,
    run_name: RunName,
    on_inconclusive: OnInconclusive = "retrain",
    json: Json = False,
) -> None:
    """Passed candidate to champion; refuses any other, unless an inconclusive one is to be accepted."""
    from unlearning.steps.promote import evidence_at
    from unlearning.steps.promote import promote as step

    evidence = evidence_at(
        candidate_path=candidate,
        forget_path=forget,
        audit_path=audit,
        evaluation_path=evaluation,
        verdict_path=verdict,
    )
    policy = checked(Policy, {"on_inconclusive": on_inconclusive})
    version = step(evidence, model_name=model_name, parent=parent, run_name=run_name, policy=policy)
    show(version, json)


@app.command()
def reject(
    candidate: Candidate,
    forget: ForgetFile,
    audit: AuditFile,
    evaluation: EvaluationFile,
    verdict: VerdictFile,
    model_name: ModelName,
    parent: Parent,
    run_name: RunName,
    action: Annotated[str, typer.Option(help="What follows: stronger, retrain or person.")] = "person",
    json: Json = False,
) -> None:
    """Failed candidate to the record; champion stays."""
    from unlearning.steps.promote import evidence_at
    from unlearning.steps.reject import reject as step

    evidence = evidence_at(
        candidate_path=candidate,
        forget_path=forget,
        audit_path=audit,
        evaluation_path=evaluation,
        verdict_path=verdict,
    )
    show(step(evidence, model_name=model_name, parent=parent, run_name=run_name, action=action), json)
