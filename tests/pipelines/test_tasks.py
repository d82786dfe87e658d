import contextlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from kfp.dsl import pipeline_task

from components.base import component
from pipelines import form, tasks


@component
def one() -> int:
    """A task."""
    return 1


def chain(place: Callable[[Any], Any]) -> Any:
    """A pipeline of one task, which is given its place."""

    @form.pipeline(name="chain", description="One task.", form={})
    def chained() -> None:
        """One task."""
        place(one())

    return chained


def placed(task: Any) -> None:
    tasks.pure(task, "One").set_cpu_limit("2").set_env_variable("NAME", "value")


def test_what_is_compiled_does_not_depend_on_the_shortcut(monkeypatch: pytest.MonkeyPatch) -> None:
    with_it = chain(placed)
    monkeypatch.setattr(form, "_stacks_without_source", contextlib.nullcontext)
    without = chain(placed)
    assert with_it.pipeline_spec == without.pipeline_spec
    assert with_it.platform_spec == without.platform_spec
    assert "NAME" in str(with_it.pipeline_spec)


def test_an_error_of_kfp_still_names_the_setter() -> None:
    inner = chain(placed)

    def misplaced(_: Any) -> None:
        inner().set_cpu_limit("2")

    with pytest.raises(ValueError, match=r"^set_cpu_limit can only be used on single-step components"):
        chain(misplaced)
    assert pipeline_task.inspect is inspect
