"""The pretraining pipeline: tombstones → ingest → split → pretrain → references and evaluate → register."""

from typing import Any

from kfp import dsl

from components.evaluate import evaluate
from components.gather_references import gather_references
from components.ingest import ingest
from components.plan_references import plan_references
from components.pretrain import pretrain
from components.references import references as train_references
from components.register import register
from components.split import split
from components.tombstones import tombstones
from pipelines.form import Channels, pipeline
from pipelines.tasks import TRAINING_TIMEOUT, computing, effectful, on_gpu, pure
from pipelines.tasks import training as trains


def prepare(training: Channels) -> tuple[dict[str, Any], Any]:
    """Snapshot and split, and the resolved recipe.

    Ingest is cached by the tombstones of now. Split and training are cached by the artifacts that they are given, so
    none that holds a record that was erased since comes back.
    """
    now = effectful(tombstones(), "Look up what was erased").output
    read = pure(ingest(**training, tombstones=now), "Ingest data").outputs
    snapshot, resolved = read["snapshot"], read["resolved_recipe"]
    divided = pure(split(snapshot=snapshot, resolved_recipe=resolved, seed=training["seed"]), "Split")
    return {"snapshot": snapshot, "split": divided.outputs["split"]}, resolved


@pipeline(
    name="pretraining",
    description="Train an encoder, measure it, and register it in MLflow as the champion that can be unlearned.",
)
def pretraining(training: Channels, references: Channels, registered: Channels, hardware: Channels) -> None:
    """Train an encoder and register it."""
    data, resolved = prepare(training)
    trained = pure(
        pretrain(**data, hardware=hardware, resolved_recipe=resolved, seed=training["seed"]),
        "Pretrain",
        TRAINING_TIMEOUT,
    )
    trains(trained, hardware)
    original = trained.outputs["model"]
    evaluated = pure(evaluate(original=original, **data, hardware=computing(hardware)), "Evaluate", TRAINING_TIMEOUT)
    on_gpu(evaluated, hardware)
    count = references["reference_models"]
    planned = pure(plan_references(count=count, tasks=references["reference_tasks"]), "Plan references")
    with dsl.ParallelFor(planned.output, name="references") as numbers:
        made = train_references(original=original, **data, hardware=computing(hardware), count=count, numbers=numbers)
        on_gpu(pure(made, "Train references", TRAINING_TIMEOUT), hardware)
    gathered = effectful(gather_references(parts=dsl.Collected(made.outputs["part"])), "Gather references")
    effectful(
        register(
            model=original,
            split=data["split"],
            references=gathered.outputs["references"],
            evaluation=evaluated.outputs["evaluation"],
            registered=registered | {"kfp_run": dsl.PIPELINE_JOB_ID_PLACEHOLDER},
        ),
        "Register as champion",
    )
