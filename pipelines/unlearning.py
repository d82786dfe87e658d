"""The unlearning pipeline: a ladder of candidates, each audited, until one may serve or a person decides.

check → resolve → select → retrain as reference, where one is compared with, and from rung to rung:
  unlearn → audit and evaluate → decide
    promote  → promote → report
    accept   → promote though it could not be judged → report
    stronger → keep as rejected → the next rung, with a stronger setting
    retrain  → keep as rejected → the last rung, retrained without the forgotten records
    person   → keep as rejected → report, and a person decides
"""

from dataclasses import dataclass
from typing import Any

from kfp import dsl

from components.audit import audit
from components.check import check
from components.decide import decide
from components.evaluate import evaluate
from components.figures import figures
from components.promote import promote
from components.reject import reject
from components.report import report
from components.resolve import resolve
from components.retrain_or_none import retrain_or_none
from components.select import select
from components.unlearn import unlearn
from pipelines.tasks import Hardware, effectful, on_gpu, pipeline, pure, training
from unlearning.audit.escalation import MAX_STRONGER, RETRAINED, RUNGS, Rung, strength

REFERENCE_OFFSET = 1_000_003
"""The reference is trained from another seed than anything that may be promoted."""

RETRAINED_OFFSET = 2_000_003


@dataclass(frozen=True)
class Run:
    """What every rung works with."""

    original: Any
    references: Any
    data: dict[str, Any]
    """Snapshot, split and forget set."""
    seed: Any
    hardware: Hardware
    method: Any
    overrides: Any
    margins: dict[str, Any]
    policy: dict[str, Any]
    """How far the ladder is climbed."""
    registered: dict[str, Any]
    """Where in MLflow."""
    batch: Any
    parent: Any


@dataclass(frozen=True)
class Attempt:
    """A rung's candidate, and what is known of it."""

    evidence: dict[str, Any]
    """What promote and reject judge again."""
    action: Any


def _words(rung: Rung) -> str:
    return {"first": "unlearned", RETRAINED: "retrained"}.get(rung, f"stronger {strength(rung)}")


def _forget(run: Run, name: str, *, rung: Rung, exactly: bool = False, offset: int = 0) -> Any:
    task = unlearn(
        model=run.original,
        method="retrain" if exactly else run.method,
        overrides="" if exactly else run.overrides,
        rung=rung,
        seed=run.seed,
        seed_offset=offset,
        **run.data,
        **run.hardware.training,
    )
    training(pure(task, name), run.hardware)
    return task.outputs["candidate"]


def _reference(run: Run, compare_with: Any) -> Any:
    """The retrained model, or the word that there is none: KFP cannot hand on what only a branch has made."""
    task = retrain_or_none(
        model=run.original,
        compare_with=compare_with,
        seed=run.seed,
        seed_offset=REFERENCE_OFFSET,
        **run.data,
        **run.hardware.training,
    )
    training(pure(task, "Retrain as reference, or none"), run.hardware)
    return task.outputs["retrained"]


def _candidate(run: Run, rung: Rung) -> Any:
    if rung == RETRAINED:
        return _forget(run, "Retrain exactly", rung=rung, exactly=True, offset=RETRAINED_OFFSET)
    return _forget(run, "Unlearn" if rung == "first" else f"Unlearn, {_words(rung)}", rung=rung)


def _attempt(run: Run, rung: Rung, reference: Any) -> Attempt:
    """Make a candidate, audit and evaluate it, and decide what follows."""
    candidate, words = _candidate(run, rung), _words(rung)
    models = {"original": run.original, "candidate": candidate, "retrained": reference}
    audited = effectful(
        audit(**models, references=run.references, seed=run.seed, **run.data, **run.hardware.computing),
        f"Audit {words}",
    )
    evaluated = effectful(evaluate(**models, **run.data, **run.hardware.computing), f"Evaluate {words}")
    on_gpu(audited, run.hardware)
    on_gpu(evaluated, run.hardware)
    measured = {"audit": audited.outputs["audit"], "evaluation": evaluated.outputs["evaluation"]}
    decided = effectful(
        decide(**measured, **run.margins, **run.policy, method=run.method, rung=rung), f"Decide {words}"
    )
    verdict = decided.outputs["verdict"]
    evidence = {"candidate": candidate, "forget": run.data["forget"], **measured, "verdict": verdict}
    return Attempt(evidence, decided.outputs["Output"])


def _climb(run: Run, reference: Any, rung: Rung, below: Attempt | None = None, earlier: Any = None) -> None:
    """A rung of the ladder, and all that may follow it.

    Args:
        below: attempt of the rung before, which the report shows beside the exactly retrained candidate.
        earlier: what the rungs before have left for the report.
    """
    attempt, words = _attempt(run, rung, reference), _words(rung)
    shown = below if rung == RETRAINED and below is not None else attempt
    known = attempt.evidence | run.registered | {"parent": run.parent, "batch": run.batch}
    known |= {"earlier": earlier} if earlier else {}

    def serve(name: str) -> None:
        served = effectful(promote(**known, on_inconclusive=run.policy["on_inconclusive"]), name)
        write_report(served.outputs["ladder"])

    def keep(action: str) -> Any:
        return effectful(reject(**known, action=action), f"Keep {words} as rejected").outputs["ladder"]

    def write_report(ladder: Any) -> None:
        models = {"original": run.original, "retrained": reference}
        drawn = pure(
            figures(**models, **run.data, **run.hardware.computing, candidate=shown.evidence["candidate"]),
            "Draw figures",
        )
        on_gpu(drawn, run.hardware)
        told = models | run.data | shown.evidence | run.registered | {"evidence": drawn.outputs["evidence"]}
        effectful(report(**told, original_version=run.parent, ladder=ladder), "Report")

    with dsl.If(attempt.action == "promote", f"{words} passed"):
        serve(f"Promote {words}")
    with dsl.Elif(attempt.action == "accept", f"{words} accepted"):
        serve(f"Promote {words}, though inconclusive")
    if rung != RETRAINED:
        if strength(rung) < MAX_STRONGER:
            with dsl.Elif(attempt.action == "stronger", "stronger setting"):
                _climb(run, reference, RUNGS[RUNGS.index(rung) + 1], attempt, keep("stronger"))
        with dsl.Elif(attempt.action == "retrain", "exact retraining"):
            _climb(run, reference, RETRAINED, attempt, keep("retrain"))
    with dsl.Else("a person"):
        write_report(keep("person"))


@pipeline(
    name="unlearning",
    description="Make a registered encoder forget some of its training records, audit it, and promote it if it passed.",
)
def unlearning(
    model_name: str = "fashion-mnist-simclr",
    model_version: str = "champion",
    forget_kind: str = "random",
    forget_fraction: float = 0.2,
    forget_class: str = "",
    forget_ids: str = "",
    include_near_duplicates: bool = False,
    method: str = "gradient_penalty",
    method_overrides: str = "",
    seed: int = 0,
    auc_margin: float = 0.10,
    utility_margin: float = 0.03,
    stronger: int = 1,
    on_failure: str = "retrain",
    on_inconclusive: str = "retrain",
    compare_with: str = "retrained",
    run_name: str = "",
    batch: str = "",
    device: str = "auto",
    gpus: int = 0,
    gpu_nodes: dict[str, str] = {},  # noqa: B006 - KFP reads it, and nobody changes it
    nodes: int = 1,
    node_gpus: int = 0,
    processes: int = 0,
) -> None:
    """Unlearn, audit, and promote, try again harder, or leave it to a person.

    Args:
        model_name: Registered model in MLflow.
        model_version: Version number or alias of the model that is to forget.
        forget_kind: random (a share of the members), class (all members of one class),
            cluster (a random member and its nearest in pixels), records (given ids) or batch (what requests ask for).
        forget_fraction: Share of the members to forget, for forget_kind random or cluster.
        forget_class: Class name, for forget_kind class.
        forget_ids: Record ids as a JSON list, for forget_kind records.
        include_near_duplicates: Whether members that nearly repeat a forgotten record, by their pixels, are forgotten
            too. How many there are is told either way.
        method: gradient_penalty, gradient_penalty_stage2, or a peer: loss_matching, gradient_ascent, random_label,
            saliency, alignment_calibration, finetune or retrain.
        method_overrides: YAML laid over the method's settings, such as "weight: 3.0". Empty for none.
        seed: Seed of the forget set, the unlearning and the audit.
        auc_margin: Largest difference in any attack's AUC to what is compared with (equivalence test).
        utility_margin: Largest accuracy lost against the retrained model, as a share; with references against the
            original.
        stronger: Stronger settings to try where a candidate still leaks, 0 to 2.
        on_failure: What follows a failed verdict: retrain (train again without the forgotten records, audit that)
            or stop (leave it to a person).
        on_inconclusive: What follows where the audit cannot tell: retrain, stop, accept (let the candidate serve,
            with a statement that it did not pass), or accept_retrained (retrain, and accept that).
        compare_with: What a candidate is compared with: retrained (a model trained again without the forgotten
            records, which costs as much as not unlearning) or references (those trained with the original; nothing
            is retrained; refused where the version has none, and for forget_kind class and cluster).
        run_name: Name of this run in MLflow. Empty: the KFP run's own name.
        batch: Compliance batch that asks for it, for forget_kind batch. Empty for none.
        {hardware}
    """
    margins: dict[str, Any] = {"auc_margin": auc_margin, "utility_margin": utility_margin}
    policy = {"stronger": stronger, "on_failure": on_failure, "on_inconclusive": on_inconclusive}
    comparison = {"compare_with": compare_with, "forget_kind": forget_kind}
    checked = effectful(check(**margins, **policy, **comparison), "Check parameters")
    found = resolve(model_name=model_name, version=model_version, compare_with=compare_with).after(checked)
    resolved = effectful(found, "Resolve model version")
    data = {"snapshot": resolved.outputs["snapshot"], "split": resolved.outputs["split"]}
    hardware = Hardware(device, gpus, gpu_nodes, nodes, node_gpus, processes)
    selected = pure(
        select(
            model=resolved.outputs["model"],
            **data,
            **hardware.computing,
            kind=forget_kind,
            fraction=forget_fraction,
            class_name=forget_class,
            ids=forget_ids,
            include_near_duplicates=include_near_duplicates,
            seed=seed,
            batch=batch,
            model_name=model_name,
        ),
        "Select forget set",
    )
    on_gpu(selected, hardware)
    run = Run(
        original=resolved.outputs["model"],
        references=resolved.outputs["references"],
        data=data | {"forget": selected.outputs["forget"]},
        seed=seed,
        hardware=hardware,
        method=method,
        overrides=method_overrides,
        margins=margins,
        policy=policy,
        registered={"model_name": model_name, "run_name": run_name, "kfp_run": dsl.PIPELINE_JOB_NAME_PLACEHOLDER},
        batch=batch,
        parent=resolved.outputs["Output"],
    )
    _climb(run, _reference(run, compare_with), "first")
