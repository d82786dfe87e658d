"""Component: sizes of simulated sets to parts of the work."""

from kfp.dsl import Dataset, Input

from components.base import component


@component
def plan_sets(split: Input[Dataset], sets: dict[str, str]) -> list:  # type: ignore[type-arg]
    """Divide the sets over tasks; returns the numbers of each task by size, such as "1: 0 4; 3: 0 4"."""
    from pathlib import Path

    from unlearning.audit.qualification.plan import SetsToForget, as_text, shares
    from unlearning.core.config import checked
    from unlearning.data import splits

    members = len(splits.load(Path(split.path)).members)
    asked = checked(SetsToForget, sets)
    return [as_text(share) for share in shares(asked.sizes, asked.sets, members, asked.qualification_tasks)]
