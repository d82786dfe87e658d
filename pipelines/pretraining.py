"""The pretraining pipeline: ingest → split → pretrain → evaluate → register."""

from kfp import dsl

from components.evaluate import evaluate
from components.ingest import ingest
from components.pretrain import pretrain
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
        model_name: Registered model in MLflow. Empty: the recipe's name.
        run_name: Name of this run in MLflow. Empty: the KFP run's own name.
        device: auto, cpu or cuda.
        gpus: GPUs to ask the cluster for; 0 runs on the CPU.
    """
    ingested = pure(ingest(recipe=recipe, overrides=overrides, seed=seed), "Ingest data")
    snapshot, resolved = ingested.outputs["snapshot"], ingested.outputs["resolved_recipe"]
    divided = pure(split(snapshot=snapshot, resolved_recipe=resolved, seed=seed), "Split")
    trained = pure(
        pretrain(
            snapshot=snapshot,
            split=divided.outputs["split"],
            resolved_recipe=resolved,
            seed=seed,
            device=device,
            gpus=gpus,
        ),
        "Pretrain",
    )
    on_gpu(trained, gpus)
    evaluated = pure(
        evaluate(
            original=trained.outputs["model"],
            snapshot=snapshot,
            split=divided.outputs["split"],
            device=device,
            gpus=gpus,
        ),
        "Evaluate",
    )
    on_gpu(evaluated, gpus)
    effectful(
        register(
            model=trained.outputs["model"],
            split=divided.outputs["split"],
            evaluation=evaluated.outputs["evaluation"],
            model_name=model_name,
            run_name=run_name,
            kfp_run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
        ),
        "Register as champion",
    )
