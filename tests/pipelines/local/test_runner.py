"""What every local run shares."""

from kfp import dsl

from components.base import component
from pipelines.local.runner import tried_once


@component
def once() -> str:
    """A task."""
    return "done"


def test_no_task_is_tried_again_in_whatever_it_stands() -> None:
    @dsl.pipeline(name="inner")  # type: ignore[untyped-decorator]
    def inner() -> None:
        once().set_retry(3)

    @dsl.pipeline(name="outer")  # type: ignore[untyped-decorator]
    def outer() -> None:
        first = once().set_retry(2, backoff_duration="30s")
        with dsl.If(first.output == "done"):
            once().set_retry(2)
        inner()

    def tries(pipeline: object) -> list[int]:
        spec = pipeline.pipeline_spec  # type: ignore[attr-defined]
        dags = [spec.root.dag, *(each.dag for each in spec.components.values())]
        return sorted(task.retry_policy.max_retry_count for dag in dags for task in dag.tasks.values())

    assert [each for each in tries(outer) if each] == [2, 2, 3]
    assert tried_once(outer) is outer
    assert not any(tries(outer))
