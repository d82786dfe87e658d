"""Component: what models show of simulated sets to whether the method is qualified."""

from kfp.dsl import Artifact, Input, Metrics, Output

from components.base import component


@component
def qualify(
    parts: Input[list[Artifact]],
    references: Input[Artifact],
    sets: dict[str, str],
    qualifications: Output[Artifact],
    metrics: Output[Metrics],
) -> int:
    """Audit the sets of each size together, keep what is found with the original, and show it; returns at how many
    sizes the method is qualified."""
    from pathlib import Path

    from unlearning.audit.qualification.plan import SetsToForget
    from unlearning.core.config import checked
    from unlearning.steps.qualify import conclude

    found = conclude(
        parts=[Path(part.path) for part in parts],
        references_path=Path(references.path),
        margins=checked(SetsToForget, sets),
        qualifications_path=Path(qualifications.path),
    )
    for each in found:
        qualifications.metadata[f"{each.method} for {each.size}"] = each.told
        metrics.log_metric(f"seconds per set of {each.size}", each.seconds)
        for one in each.comparisons:
            metrics.log_metric(f"auc gap {one.attack} of {each.size}", one.difference.estimate)
    return sum(each.outcome == "qualified" for each in found)
