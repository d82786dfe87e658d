"""Component: model and forget set to candidate."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components.base import component


@component
def unlearn(
    model: Input[Model],
    snapshot: Input[Dataset],
    split: Input[Dataset],
    forget: Input[Dataset],
    method: dict[str, str],
    attempt: str,
    hardware: dict[str, str],
    candidate: Output[Model],
    metrics: Output[Metrics],
) -> str:
    """Make the model forget; returns the digest of the candidate's weights.

    Where the method diverges, the candidate is the model as it was and says so; the escalation policy decides
    what follows.
    """
    from pathlib import Path

    from unlearning.cluster.workers import Hardware
    from unlearning.core.config import checked
    from unlearning.core.files import write_json
    from unlearning.steps.unlearn import of_attempt
    from unlearning.steps.unlearn import unlearn as step

    found = checked(Hardware, hardware)
    name, overrides, seed = of_attempt(attempt, method["method"], method["method_overrides"], int(method["seed"]))
    result = step(
        wanted=found.workers,
        model_path=Path(model.path),
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        forget_path=Path(forget.path),
        method=name,
        overrides=overrides,
        attempt=attempt,
        seed=seed,
        device=found.device,
        gpus=found.gpu_count,
        keep_diverged=True,
        candidate_path=Path(candidate.path),
    )
    candidate.metadata.update({"digest": result.digest, "method": name, "attempt": attempt, "device": result.device})
    if result.diverged:
        candidate.metadata["diverged"] = result.diverged
    metrics.log_metric("seconds", result.seconds)
    # kfp.local takes a task from its cache only when every output has a file, and metrics have none by themselves.
    write_json(Path(metrics.path), metrics.metadata)
    return result.digest
