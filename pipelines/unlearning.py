"""The unlearning pipeline.

resolve → select → unlearn and retrain → audit and evaluate → decide
  passed → promote → report
  else   → reject → (on_failure = retrain) retrain again → audit and evaluate → decide
             passed → promote → report
             else   → report, and a person decides
"""

from dataclasses import dataclass
from typing import Any

from kfp import dsl

from components.audit import audit
from components.decide import decide
from components.evaluate import evaluate
from components.promote import promote
from components.reject import reject
from components.report import report
from components.resolve import resolve
from components.select import select
from components.unlearn import unlearn
from pipelines.tasks import effectful, on_gpu, pipeline, pure

REFERENCE_OFFSET = 1_000_003
"""The reference is trained from another seed than anything that may be promoted."""

ESCALATION_OFFSET = 2_000_003


@dataclass(frozen=True)
class Inputs:
    """What every attempt works on."""

    original: Any
    references: Any
    snapshot: Any
    split: Any
    forget: Any
    seed: Any
    device: Any
    gpus: Any


@dataclass(frozen=True)
class Attempt:
    """A candidate with its evidence."""

    candidate: Any
    audit: Any
    evaluation: Any
    verdict: Any
    outcome: Any

    def evidence(self, inputs: Inputs) -> dict[str, Any]:
        """What promote and reject judge again."""
        return {
            "candidate": self.candidate,
            "forget": inputs.forget,
            "audit": self.audit,
            "evaluation": self.evaluation,
            "verdict": self.verdict,
        }


def _forget_with(inputs: Inputs, name: str, *, method: Any, overrides: Any, offset: int) -> Any:
    task = unlearn(
        model=inputs.original,
        snapshot=inputs.snapshot,
        split=inputs.split,
        forget=inputs.forget,
        method=method,
        overrides=overrides,
        seed=inputs.seed,
        seed_offset=offset,
        device=inputs.device,
        gpus=inputs.gpus,
    )
    on_gpu(pure(task, name), inputs.gpus)
    return task.outputs["candidate"]


def _judge(inputs: Inputs, candidate: Any, reference: Any, margins: tuple[Any, Any], rung: str) -> Attempt:
    models = {"original": inputs.original, "candidate": candidate, "retrained": reference}
    data = {"snapshot": inputs.snapshot, "split": inputs.split, "forget": inputs.forget}
    where = {"device": inputs.device, "gpus": inputs.gpus}
    known = {"references": inputs.references, "seed": inputs.seed}
    audited = effectful(audit(**models, **data, **where, **known), f"Audit {rung}")
    evaluated = effectful(evaluate(**models, **data, **where), f"Evaluate {rung}")
    on_gpu(audited, inputs.gpus)
    on_gpu(evaluated, inputs.gpus)
    decided = effectful(
        decide(
            audit=audited.outputs["audit"],
            evaluation=evaluated.outputs["evaluation"],
            auc_margin=margins[0],
            utility_margin=margins[1],
        ),
        f"Decide {rung}",
    )
    return Attempt(
        candidate=candidate,
        audit=audited.outputs["audit"],
        evaluation=evaluated.outputs["evaluation"],
        verdict=decided.outputs["verdict"],
        outcome=decided.outputs["Output"],
    )


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
    method: str = "gradient_penalty",
    method_overrides: str = "",
    seed: int = 0,
    auc_margin: float = 0.10,
    utility_margin: float = 0.03,
    on_failure: str = "retrain",
    run_name: str = "",
    device: str = "auto",
    gpus: int = 0,
) -> None:
    """Unlearn, audit, and promote or escalate.

    Args:
        model_name: Registered model in MLflow.
        model_version: Version number or alias of the model that is to forget.
        forget_kind: random (a share of the members), class (all members of one class),
            cluster (a random member and its nearest in pixels) or records (given ids).
        forget_fraction: Share of the members to forget, for forget_kind random or cluster.
        forget_class: Class name, for forget_kind class.
        forget_ids: Record ids as a JSON list, for forget_kind records.
        method: gradient_penalty, gradient_penalty_stage2, or a peer: loss_matching, gradient_ascent, random_label,
            saliency, alignment_calibration, finetune or retrain.
        method_overrides: YAML laid over the method's settings, such as "weight: 3.0". Empty for none.
        seed: Seed of the forget set, the unlearning and the audit.
        auc_margin: Largest difference to the retrained model in any attack's AUC (equivalence test).
        utility_margin: Largest accuracy lost against the retrained model, as a share.
        on_failure: retrain (train again without the forgotten records, audit that) or stop (leave it to a person).
        run_name: Name of this run in MLflow. Empty: the KFP run's own name.
        device: auto, cpu or cuda.
        gpus: GPUs to ask the cluster for; 0 runs on the CPU.
    """
    kfp_run = dsl.PIPELINE_JOB_NAME_PLACEHOLDER
    resolved = effectful(resolve(model_name=model_name, version=model_version), "Resolve model version")
    parent = resolved.outputs["Output"]
    snapshot, divided = resolved.outputs["snapshot"], resolved.outputs["split"]
    selected = pure(
        select(
            snapshot=snapshot,
            split=divided,
            kind=forget_kind,
            fraction=forget_fraction,
            class_name=forget_class,
            ids=forget_ids,
            seed=seed,
        ),
        "Select forget set",
    )
    inputs = Inputs(
        original=resolved.outputs["model"],
        references=resolved.outputs["references"],
        snapshot=snapshot,
        split=divided,
        forget=selected.outputs["forget"],
        seed=seed,
        device=device,
        gpus=gpus,
    )
    margins = (auc_margin, utility_margin)
    candidate = _forget_with(inputs, "Unlearn", method=method, overrides=method_overrides, offset=0)
    reference = _forget_with(inputs, "Retrain as reference", method="retrain", overrides="", offset=REFERENCE_OFFSET)
    first = _judge(inputs, candidate, reference, margins, "unlearned")
    registered = {"model_name": model_name, "run_name": run_name, "kfp_run": kfp_run}

    def write_report(unlearned: Any, retrained: Any = "", **escalation: Any) -> None:
        effectful(
            report(
                original=inputs.original,
                retrained=reference,
                snapshot=snapshot,
                split=divided,
                original_version=parent,
                unlearned_version=unlearned,
                retrained_version=retrained,
                **escalation,
                **first.evidence(inputs),
                **registered,
            ),
            "Report",
        )

    with dsl.If(first.outcome == "passed", "passed"):
        promoted = effectful(promote(**first.evidence(inputs), **registered, parent=parent), "Promote")
        write_report(promoted.output)
    with dsl.Else("failed"):
        rejected = effectful(reject(**first.evidence(inputs), **registered, parent=parent), "Keep as rejected")
        with dsl.If(on_failure == "retrain", "escalate"):
            again = _forget_with(inputs, "Retrain exactly", method="retrain", overrides="", offset=ESCALATION_OFFSET)
            second = _judge(inputs, again, reference, margins, "retrained")
            with dsl.If(second.outcome == "passed", "retrained passed"):
                swapped = effectful(
                    promote(**second.evidence(inputs), **registered, parent=parent), "Promote retrained"
                )
                write_report(rejected.output, swapped.output, escalation=second.verdict)
            with dsl.Else("left to a person"):
                write_report(rejected.output, escalation=second.verdict)
        with dsl.Else("stop"):
            write_report(rejected.output)
