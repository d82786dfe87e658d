"""Component: model and forget set to candidate."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components.base import component


@component
def unlearn(
    model: Input[Model],
    snapshot: Input[Dataset],
    split: Input[Dataset],
    forget: Input[Dataset],
    method: str,
    overrides: str,
    rung: str,
    seed: int,
    seed_offset: int,
    device: str,
    gpus: int,
    nodes: int,
    processes: int,
    node_gpus: int,
    gpu_nodes: dict[str, str],
    candidate: Output[Model],
    metrics: Output[Metrics],
) -> str:
    """Make the model forget; returns the digest of the candidate's weights.

    Where the method diverges, the candidate is the model as it was and says so: the ladder goes on from there.
    """
    from pathlib import Path

    from unlearning.cluster.launch import unlearn as step
    from unlearning.cluster.workers import workers
    from unlearning.core.files import write_json

    result = step(
        workers(nodes=nodes, processes=processes, node_gpus=node_gpus, gpu_nodes=gpu_nodes),
        model_path=Path(model.path),
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        forget_path=Path(forget.path),
        method=method,
        overrides=overrides,
        rung=rung,
        seed=seed + seed_offset,
        device=device,
        gpus=gpus,
        keep_diverged=True,
        candidate_path=Path(candidate.path),
    )
    candidate.metadata.update({"digest": result.digest, "method": method, "rung": rung, "device": result.device})
    if result.diverged:
        candidate.metadata["diverged"] = result.diverged
    metrics.log_metric("seconds", result.seconds)
    # kfp.local takes a task from its cache only when every output has a file, and metrics have none by themselves.
    write_json(Path(metrics.path), metrics.metadata)
    return result.digest
