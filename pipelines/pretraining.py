"""The pretraining pipeline: tombstones → ingest → split → pretrain → references and evaluate → register."""

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
from components.tombstones import tombstones
from pipelines.tasks import Hardware, effectful, on_gpu, pipeline, pure, training


def prepare(recipe: Any, overrides: Any, seed: Any, erased: Any) -> tuple[dict[str, Any], Any]:
    """Snapshot and split, and the resolved recipe.

    Ingest is cached by the tombstones of now. Split and training are cached by the artifacts that they are given, so
    none that holds a record that was erased since comes back.
    """
    now = effectful(tombstones(), "Look up what was erased").output
    read = pure(
        ingest(recipe=recipe, overrides=overrides, seed=seed, erased=erased, tombstones=now), "Ingest data"
    ).outputs
    snapshot, resolved = read["snapshot"], read["resolved_recipe"]
    divided = pure(split(snapshot=snapshot, resolved_recipe=resolved, seed=seed), "Split")
    return {"snapshot": snapshot, "split": divided.outputs["split"]}, resolved


@pipeline(
    name="pretraining",
    description="Train an encoder, measure it, and register it in MLflow as the champion that can be unlearned.",
)
def pretraining(
    recipe: str = "fashion-mnist-simclr",
    overrides: str = "",
    seed: int = 0,
    erased: str = "refuse",
    reference_models: int = 16,
    reference_tasks: int = 4,
    model_name: str = "",
    run_name: str = "",
    device: str = "auto",
    gpus: int = 0,
    gpu_nodes: dict[str, str] = {},  # noqa: B006 - KFP reads it, and nobody changes it
    nodes: int = 1,
    node_gpus: int = 0,
    processes: int = 0,
) -> None:
    """Train an encoder and register it.

    Args:
        recipe: Name of a shipped recipe (see `unlearn recipes`): data, encoder, paradigm, training.
        overrides: YAML laid over the recipe, such as "training: {epochs: 10}". Empty for none.
        seed: Seed of the split, the initial weights and the training.
        erased: What becomes of records that were erased and that the source still holds: refuse (stop, so that
            somebody looks) or drop (train without them, as a recurring run wants).
        reference_models: Models trained on random halves of the members, which every later audit compares with
            (even, 8 or more; 0 for none).
        reference_tasks: Tasks that train them side by side.
        model_name: Registered model in MLflow. Empty: the recipe's name.
        run_name: Name of this run in MLflow. Empty: the KFP run's own name.
        {hardware}
    """
    data, resolved = prepare(recipe, overrides, seed, erased)
    hardware = Hardware(device, gpus, gpu_nodes, nodes, node_gpus, processes)
    trained = pure(pretrain(**data, **hardware.training, resolved_recipe=resolved, seed=seed), "Pretrain")
    training(trained, hardware)
    original = trained.outputs["model"]
    evaluated = pure(evaluate(original=original, **data, **hardware.computing), "Evaluate")
    on_gpu(evaluated, hardware)
    planned = pure(plan_references(count=reference_models, tasks=reference_tasks), "Plan references")
    with dsl.ParallelFor(planned.output, name="references") as numbers:
        made = references(original=original, **data, **hardware.computing, count=reference_models, numbers=numbers)
        on_gpu(pure(made, "Train references"), hardware)
    gathered = effectful(gather_references(parts=dsl.Collected(made.outputs["part"])), "Gather references")
    effectful(
        register(
            model=original,
            split=data["split"],
            references=gathered.outputs["references"],
            evaluation=evaluated.outputs["evaluation"],
            model_name=model_name,
            run_name=run_name,
            kfp_run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
        ),
        "Register as champion",
    )
