"""The pretraining pipeline: ingest → split → pretrain → references and evaluate → register."""

from typing import Any

from kfp import dsl

from components.evaluate import evaluate
from components.gather_references import gather_references
from components.ingest import ingest
from components.plan_references import plan_references
from components.pretrain import pretrain
from components.references import references
from components.register import register
from components.split import split
from pipelines.tasks import effectful, on_gpu, pipeline, pure


@pipeline(
    name="pretraining",
    description="Train an encoder, measure it, and register it in MLflow as the champion that can be unlearned.",
)
def pretraining(
    recipe: str = "fashion-mnist-simclr",
    overrides: str = "",
    seed: int = 0,
    reference_models: int = 16,
    reference_tasks: int = 4,
    model_name: str = "",
    run_name: str = "",
    device: str = "auto",
    gpus: int = 0,
) -> None:
    """Train an encoder and register it.

    Args:
        recipe: Name of a shipped recipe (see `unlearn recipes`): data, encoder, paradigm, training.
        overrides: YAML laid over the recipe, such as "training: {epochs: 10}". Empty for none.
        seed: Seed of the split, the initial weights and the training.
        reference_models: Models trained on random halves of the members, which every later audit compares with
            (even, 8 or more; 0 for none).
        reference_tasks: Tasks that train them side by side.
        model_name: Registered model in MLflow. Empty: the recipe's name.
        run_name: Name of this run in MLflow. Empty: the KFP run's own name.
        device: auto, cpu or cuda.
        gpus: GPUs to ask the cluster for; 0 runs on the CPU.
    """
    ingested = pure(ingest(recipe=recipe, overrides=overrides, seed=seed), "Ingest data")
    snapshot, resolved = ingested.outputs["snapshot"], ingested.outputs["resolved_recipe"]
    divided = pure(split(snapshot=snapshot, resolved_recipe=resolved, seed=seed), "Split")
    data: dict[str, Any] = {"snapshot": snapshot, "split": divided.outputs["split"]}
    where: dict[str, Any] = {"device": device, "gpus": gpus}
    trained = pure(pretrain(**data, **where, resolved_recipe=resolved, seed=seed), "Pretrain")
    on_gpu(trained, gpus)
    original = trained.outputs["model"]
    evaluated = pure(evaluate(original=original, **data, **where), "Evaluate")
    on_gpu(evaluated, gpus)
    planned = pure(plan_references(count=reference_models, tasks=reference_tasks), "Plan references")
    with dsl.ParallelFor(planned.output, name="references") as numbers:
        made = references(original=original, **data, **where, count=reference_models, numbers=numbers)
        on_gpu(pure(made, "Train references"), gpus)
    gathered = effectful(gather_references(parts=dsl.Collected(made.outputs["part"])), "Gather references")
    effectful(
        register(
            model=original,
            split=divided.outputs["split"],
            references=gathered.outputs["references"],
            evaluation=evaluated.outputs["evaluation"],
            model_name=model_name,
            run_name=run_name,
            kfp_run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
        ),
        "Register as champion",
    )
