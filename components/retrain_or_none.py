"""Component: original to the retrained model that candidates are compared with, or to none."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components.base import component


@component
def retrain_or_none(
    model: Input[Model],
    snapshot: Input[Dataset],
    split: Input[Dataset],
    forget: Input[Dataset],
    policy: dict[str, str],
    method: dict[str, str],
    hardware: dict[str, str],
    retrained: Output[Model],
    metrics: Output[Metrics],
) -> None:
    """Retrain exactly without the forget set; where references are compared with, nothing is trained."""
    from pathlib import Path

    from unlearning.audit.policy import Policy
    from unlearning.cluster.workers import Hardware
    from unlearning.core.config import checked
    from unlearning.core.files import write_json
    from unlearning.steps.retrain_or_none import REFERENCE_OFFSET
    from unlearning.steps.retrain_or_none import retrain_or_none as step

    found, compare_with = checked(Hardware, hardware), checked(Policy, policy).compare_with
    result = step(
        compare_with=compare_with,
        wanted=found.workers,
        model_path=Path(model.path),
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        forget_path=Path(forget.path),
        seed=int(method["seed"]) + REFERENCE_OFFSET,
        device=found.device,
        gpus=found.gpu_count,
        retrained_path=Path(retrained.path),
    )
    if result is None:
        retrained.metadata.update({"digest": "none", "compare_with": compare_with})
    else:
        retrained.metadata.update({"digest": result.digest, "method": "retrain", "device": result.device})
    metrics.log_metric("seconds", result.seconds if result is not None else 0.0)
    # kfp.local takes a task from its cache only when every output has a file, and metrics have none by themselves.
    write_json(Path(metrics.path), metrics.metadata)
