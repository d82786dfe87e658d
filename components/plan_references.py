"""Component: number of references to parts of the work."""

from components.base import component


@component
def plan_references(count: int, tasks: int) -> list:  # type: ignore[type-arg]
    """Divide the references over tasks; returns the numbers of each task, such as "0 4 8"."""
    from unlearning.audit.references.plan import shards

    return [" ".join(map(str, numbers)) for numbers in shards(count, tasks)]
