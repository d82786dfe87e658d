"""The unlearning pipeline: candidates, each audited, until one may serve or a person decides.

resolve → select → retrain as reference, where one is compared with, and from attempt to attempt:
  unlearn → audit, evaluate and decide → register
    the candidate may serve, or a person decides → report
    another attempt follows: an escalated setting, or exact retraining → once more

Which attempt follows is a value that the last one hands on, so that every attempt has the same three tasks: what Argo
stores of a workflow grows with the attempts that are made and not with those that could be.
"""

from dataclasses import dataclass
from typing import Any

from kfp import dsl

from components.conclude import conclude
from components.judge import judge
from components.resolve import resolve
from components.retrain_or_none import retrain_or_none
from components.select import select
from components.unlearn import unlearn
from pipelines.form import Channels, pipeline
from pipelines.tasks import TRAINING_TIMEOUT, computing, effectful, on_gpu, pure, training
from unlearning.audit.escalation import ATTEMPTS, NO_ATTEMPT


@dataclass(frozen=True)
class Run:
    """What every attempt works with."""

    original: Any
    references: Any
    forgotten_before: Any
    """What the original has forgotten already."""
    retrained: Any
    """The reference, or the word that there is none: KFP cannot hand on what only a branch has made."""
    data: dict[str, Any]
    """Snapshot, split and forget set."""
    method: Any
    policy: Any
    """How candidates are judged, and what follows."""
    registered: Any
    """Where in MLflow."""
    hardware: Channels


def _attempt(run: Run, number: int, name: Any, earlier: Any = None) -> None:
    """Make a candidate, judge it and register it, and do so again where another attempt follows.

    Args:
        number: of the attempt, from 1.
        name: of the attempt, a name of `unlearning.audit.escalation.ATTEMPTS`; also what the one before returned.
        earlier: what the attempts before this one have left for the report.
    """
    again = f", attempt {number}" if number > 1 else ""
    made = unlearn(model=run.original, **run.data, method=run.method, attempt=name, hardware=run.hardware)
    training(pure(made, f"Unlearn{again}", TRAINING_TIMEOUT), run.hardware)
    models = {"original": run.original, "candidate": made.outputs["candidate"], "retrained": run.retrained}
    judged = judge(
        **models, **run.data, references=run.references, forgotten_before=run.forgotten_before, policy=run.policy,
        method=run.method, attempt=name, hardware=computing(run.hardware),
    )  # fmt: skip
    on_gpu(effectful(judged, f"Audit, evaluate and decide{again}"), run.hardware)
    known = {"judged": judged.outputs["judged"]} | ({"earlier": earlier} if earlier else {})
    concluded = conclude(
        **models, **run.data, **known, action=judged.outputs["Output"], attempt=name, policy=run.policy,
        registered=run.registered,
    )  # fmt: skip
    effectful(concluded, f"Register and report{again}")
    if number < len(ATTEMPTS):
        follows = concluded.outputs["Output"]
        with dsl.If(follows != NO_ATTEMPT, f"attempt {number + 1}"):
            _attempt(run, number + 1, follows, concluded.outputs["attempts"])


@pipeline(
    name="unlearning",
    description="Make a registered encoder forget some of its training records, audit it, and promote it if it passed.",
)
def unlearning(
    model: Channels, forget: Channels, method: Channels, policy: Channels, named: Channels, hardware: Channels
) -> None:
    """Unlearn, audit, and promote, try again harder, or leave it to a person."""
    resolved = resolve(
        model_name=model["model_name"],
        version=model["model_version"],
        forget_kind=forget["forget_kind"],
        policy=policy,
        method={name: each for name, each in method.items() if name != "seed"},
        seed=method["seed"],
        named=named | {"kfp_run": dsl.PIPELINE_JOB_ID_PLACEHOLDER},
    )
    found = effectful(resolved, "Resolve model version").outputs
    original, data = found["model"], {"snapshot": found["snapshot"], "split": found["split"]}
    selected = pure(
        select(
            model=original,
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
    data |= {"forget": selected.outputs["forget"]}
    reference = retrain_or_none(
        model=original, **data, policy=found["policy"], method=found["method"], hardware=hardware
    )
    training(pure(reference, "Retrain as reference, or none", TRAINING_TIMEOUT), hardware)
    run = Run(
        original=original,
        references=found["references"],
        forgotten_before=found["forgotten_before"],
        retrained=reference.outputs["retrained"],
        data=data,
        method=found["method"],
        policy=found["policy"],
        registered=found["registered"],
        hardware=hardware,
    )
    _attempt(run, 1, ATTEMPTS[0])
