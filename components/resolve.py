"""Component: parameters to the model that is to forget, with all that it was trained on."""

from typing import NamedTuple

from kfp.dsl import Artifact, Dataset, Model, Output

from components.base import component


@component
def resolve(
    model_name: str,
    version: str,
    forget_kind: str,
    policy: dict[str, str],
    method: dict[str, str],
    seed: int,
    named: dict[str, str],
    model: Output[Model],
    snapshot: Output[Dataset],
    split: Output[Dataset],
    references: Output[Artifact],
    forgotten_before: Output[Dataset],
) -> NamedTuple("Resolved", [("policy", dict), ("method", dict), ("registered", dict)]):  # type: ignore[valid-type]
    """Check the parameters, and fetch the version that is to forget, with what it was trained on.

    Returns what every attempt is handed: the policy, the method with its seed (as text: in a structure a number would
    become a float), and where in MLflow it is registered.
    """
    from pathlib import Path

    from unlearning.audit.policy import Policy
    from unlearning.core.config import checked
    from unlearning.steps.check import check
    from unlearning.steps.resolve import resolve as step

    asked = checked(Policy, policy)
    check(asked, forget_kind)
    result = step(
        model_name=model_name,
        version=version,
        compare_with=asked.compare_with,
        or_retrained=asked.on_inconclusive == "qualified",
        unlearned=asked.unlearned_references,
        model_path=Path(model.path),
        snapshot_path=Path(snapshot.path),
        split_path=Path(split.path),
        references_path=Path(references.path),
        forgotten_before_path=Path(forgotten_before.path),
    )
    model.metadata.update({"digest": result.digest, "version": result.version})
    references.metadata["count"] = result.references
    registered = {
        "model_name": model_name,
        "run_name": named["run_name"] or named["kfp_run"],
        "batch": named["batch"],
        "parent": result.version,
    }
    # A version that forgot before has no references: no method is qualified for it, and it is trained again.
    policy = policy | {"compare_with": result.compared_with, "unlearned_references": str(result.unlearned)}
    return policy, method | {"seed": str(seed)}, registered
