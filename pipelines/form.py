"""A pipeline whose form is made from `pipelines.parameters`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import pipeline_task
from pydantic_core import PydanticUndefined

from pipelines.parameters import FORMS, TITLES, parameters_of
from unlearning.core.config import Config

Channels = dict[str, Any]
"""A group of a form: what stands for each of its parameters until the pipeline runs."""

DAY = 24 * 3_600
KEPT = dsl.PipelineConfig(ttl_seconds_after_success=7 * DAY, ttl_seconds_after_failure=30 * DAY)
"""How long Kubernetes keeps the pods of a run that has ended, for their logs; what KFP and MLflow know of it stays."""


def pipeline(
    name: str, description: str, form: Mapping[str, type[Config]] | None = None
) -> Callable[[Callable[..., Any]], Any]:
    """`dsl.pipeline` with a form: the decorated function takes each group as `Channels`, and becomes a KFP graph
    component that takes every parameter by its name.

    Args:
        form: its groups; None for those of `FORMS` by this name.
    """
    groups = FORMS[name] if form is None else form

    def decorate(body: Callable[..., Any]) -> Any:
        def flat(*values: Any, **named: Any) -> Any:
            given = inspect.signature(flat).bind(*values, **named).arguments
            return body(**{group: {field: given[field] for field in groups[group].model_fields} for group in groups})

        found = parameters_of(groups)
        lines = [f"    {each.name}: {TITLES[each.group]}. {each.text}" for each in found]
        flat.__name__ = flat.__qualname__ = body.__name__
        flat.__module__ = body.__module__
        flat.__doc__ = "\n".join([*inspect.cleandoc(body.__doc__ or description).splitlines(), "", "Args:", *lines])
        flat.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(
                    each.name,
                    inspect.Parameter.POSITIONAL_OR_KEYWORD,
                    default=inspect.Parameter.empty if each.default is PydanticUndefined else each.default,
                    annotation=each.type,
                )
                for each in sorted(found, key=lambda each: each.default is not PydanticUndefined)
            ]
        )
        flat.__annotations__ = {each.name: each.type for each in found}
        with _stacks_without_source():
            return dsl.pipeline(name=name, description=description, pipeline_config=KEPT)(flat)

    return decorate


class _Caller(NamedTuple):
    """A frame as `inspect.stack` gives it, as far as its fourth field."""

    frame: None
    filename: str
    lineno: int
    function: str


def _callers() -> list[_Caller]:
    """Whoever asks, and who called it."""
    codes = sys._getframe(1).f_code, sys._getframe(2).f_code
    return [_Caller(None, code.co_filename, code.co_firstlineno, code.co_name) for code in codes]


@contextmanager
def _stacks_without_source() -> Iterator[None]:
    """For the name of its caller alone, every setter of a kfp task looks through all modules for the source of the
    whole stack: most of the seconds in which `unlearn run` begins. Here it gets the names alone."""
    before = pipeline_task.inspect
    pipeline_task.inspect = SimpleNamespace(stack=_callers)
    try:
        yield
    finally:
        pipeline_task.inspect = before
