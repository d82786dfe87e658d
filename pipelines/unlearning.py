"""The unlearning pipeline: candidates, each audited, until one may serve or a person decides.

check → resolve → select → retrain as reference, where one is compared with, and from attempt to attempt:
  unlearn → audit and evaluate → decide
    serve    → promote, on the ground that the evidence gives → report
    stronger → keep as rejected → the next attempt, with an escalated setting
    retrain  → keep as rejected → the last attempt, retrained without the forgotten records
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
from pipelines.form import Channels, pipeline
from pipelines.tasks import TRAINING_TIMEOUT, computing, effectful, on_gpu, pure, training
from unlearning.audit.escalation import ATTEMPTS, RETRAINED, SERVE, AttemptName, escalation_level
from unlearning.audit.policy import MAX_STRONGER

REFERENCE_OFFSET = 1_000_003
"""The reference is trained from another seed than anything that may be promoted."""

RETRAINED_OFFSET = 2_000_003


@dataclass(frozen=True)
class Run:
    """What every attempt works with."""

    original: Any
    references: Any
    data: dict[str, Any]
    """Snapshot, split and forget set."""
    method: Channels
    hardware: Channels
    policy: Channels
    """How candidates are judged, and what follows."""
    registered: Channels
    """Where in MLflow."""
    batch: Any
    parent: Any


@dataclass(frozen=True)
class Attempt:
    """A candidate, and what is known of it."""

    evidence: dict[str, Any]
    """What promote and reject judge again."""
    follows: Any
    """Which branch is taken, see `escalation.branch`."""


def _words(name: AttemptName) -> str:
    return {"first": "unlearned", RETRAINED: "retrained"}.get(name, f"escalated {escalation_level(name)}")


def _unlearn(run: Run, name: str, *, attempt: AttemptName, exactly: bool = False, offset: int = 0) -> Any:
    task = unlearn(
        model=run.original,
        method="retrain" if exactly else run.method["method"],
        overrides="" if exactly else run.method["method_overrides"],
        attempt=attempt,
        seed=run.method["seed"],
        seed_offset=offset,
        **run.data,
        hardware=run.hardware,
    )
    training(pure(task, name, TRAINING_TIMEOUT), run.hardware)
    return task.outputs["candidate"]


def _reference(run: Run) -> Any:
    """The retrained model, or the word that there is none: KFP cannot hand on what only a branch has made."""
    task = retrain_or_none(
        model=run.original,
        policy={"compare_with": run.policy["compare_with"]},
        seed=run.method["seed"],
        seed_offset=REFERENCE_OFFSET,
        **run.data,
        hardware=run.hardware,
    )
    training(pure(task, "Retrain as reference, or none", TRAINING_TIMEOUT), run.hardware)
    return task.outputs["retrained"]


def _candidate(run: Run, name: AttemptName) -> Any:
    if name == RETRAINED:
        return _unlearn(run, "Retrain exactly", attempt=name, exactly=True, offset=RETRAINED_OFFSET)
    return _unlearn(run, "Unlearn" if name == "first" else f"Unlearn, {_words(name)}", attempt=name)


def _attempt(run: Run, name: AttemptName, reference: Any) -> Attempt:
    """Make a candidate, audit and evaluate it, and decide what follows."""
    candidate, words = _candidate(run, name), _words(name)
    models = {"original": run.original, "candidate": candidate, "retrained": reference}
    audited = effectful(
        audit(
            **models, references=run.references, seed=run.method["seed"], **run.data, hardware=computing(run.hardware)
        ),
        f"Audit {words}",
    )
    evaluated = effectful(evaluate(**models, **run.data, hardware=computing(run.hardware)), f"Evaluate {words}")
    on_gpu(audited, run.hardware)
    on_gpu(evaluated, run.hardware)
    measured = {"audit": audited.outputs["audit"], "evaluation": evaluated.outputs["evaluation"]}
    decided = effectful(
        decide(**measured, policy=run.policy, method=run.method["method"], attempt=name), f"Decide {words}"
    )
    verdict = decided.outputs["verdict"]
    evidence = {"candidate": candidate, "forget": run.data["forget"], **measured, "verdict": verdict}
    return Attempt(evidence, decided.outputs["Output"])


def _escalate(
    run: Run, reference: Any, name: AttemptName, previous: Attempt | None = None, earlier: Any = None
) -> None:
    """An attempt, and all that may follow it.

    Args:
        previous: attempt before this one, which the report shows beside the exactly retrained candidate.
        earlier: what the attempts before this one have left for the report.
    """
    attempt, words = _attempt(run, name, reference), _words(name)
    shown = previous if name == RETRAINED and previous is not None else attempt
    known = attempt.evidence | {"registered": run.registered, "parent": run.parent, "batch": run.batch}
    known |= {"earlier": earlier} if earlier else {}

    def serve(task: str) -> None:
        served = effectful(promote(**known, policy=run.policy), task)
        write_report(served.outputs["attempts"])

    def keep(action: str) -> Any:
        return effectful(reject(**known, action=action), f"Keep {words} as rejected").outputs["attempts"]

    def write_report(attempts: Any) -> None:
        models = {"original": run.original, "retrained": reference}
        drawn = pure(
            figures(**models, **run.data, hardware=computing(run.hardware), candidate=shown.evidence["candidate"]),
            "Draw figures",
            TRAINING_TIMEOUT,
        )
        on_gpu(drawn, run.hardware)
        told = (
            models | run.data | shown.evidence | {"registered": run.registered, "evidence": drawn.outputs["evidence"]}
        )
        effectful(report(**told, original_version=run.parent, attempts=attempts), "Report")

    # Whether it passed or is accepted without having passed is for promote to see, which looks at the evidence again:
    # one branch for both keeps the workflow within what Argo stores.
    with dsl.If(attempt.follows == SERVE, f"{words} may serve"):
        serve(f"Promote {words}")
    if name != RETRAINED:
        if escalation_level(name) < MAX_STRONGER:
            with dsl.Elif(attempt.follows == "stronger", "escalated setting"):
                _escalate(run, reference, ATTEMPTS[ATTEMPTS.index(name) + 1], attempt, keep("stronger"))
        with dsl.Elif(attempt.follows == "retrain", "exact retraining"):
            _escalate(run, reference, RETRAINED, attempt, keep("retrain"))
    with dsl.Else("a person"):
        write_report(keep("person"))


@pipeline(
    name="unlearning",
    description="Make a registered encoder forget some of its training records, audit it, and promote it if it passed.",
)
def unlearning(
    model: Channels, forget: Channels, method: Channels, policy: Channels, named: Channels, hardware: Channels
) -> None:
    """Unlearn, audit, and promote, try again harder, or leave it to a person."""
    checked = effectful(check(policy=policy, forget_kind=forget["forget_kind"]), "Check parameters")
    comparison = {"compare_with": policy["compare_with"]}
    found = resolve(model_name=model["model_name"], version=model["model_version"], policy=comparison).after(checked)
    resolved = effectful(found, "Resolve model version")
    data = {"snapshot": resolved.outputs["snapshot"], "split": resolved.outputs["split"]}
    selected = pure(
        select(
            model=resolved.outputs["model"],
            **data,
            hardware=computing(hardware),
            forget_selection=forget,
            seed=method["seed"],
            batch=named["batch"],
            model_name=model["model_name"],
        ),
        "Select forget set",
        TRAINING_TIMEOUT,
    )
    on_gpu(selected, hardware)
    registered = {"model_name": model["model_name"], "run_name": named["run_name"]}
    run = Run(
        original=resolved.outputs["model"],
        references=resolved.outputs["references"],
        data=data | {"forget": selected.outputs["forget"]},
        method=method,
        hardware=hardware,
        policy=policy,
        registered=registered | {"kfp_run": dsl.PIPELINE_JOB_ID_PLACEHOLDER},
        batch=named["batch"],
        parent=resolved.outputs["Output"],
    )
    _escalate(run, _reference(run), "first")
