"""Settings every task gets: names people read, accelerators, and what may come from the cache."""

from collections.abc import Callable
from typing import Any

from kfp import dsl

GPU = "nvidia.com/gpu"


def pipeline(name: str, description: str) -> Callable[[Callable[..., Any]], Any]:
    """`dsl.pipeline` with types: the decorated function becomes a KFP graph component."""

    def decorate(function: Callable[..., Any]) -> Any:
        return dsl.pipeline(name=name, description=description)(function)

    return decorate


def pure(task: Any, name: str) -> Any:
    """A task whose outputs depend on its inputs alone, so that KFP may take them from its cache."""
    return task.set_display_name(name).set_caching_options(True)


def effectful(task: Any, name: str) -> Any:
    """A task that reads or changes the world, or judges: it always runs."""
    return task.set_display_name(name).set_caching_options(False)


def on_gpu(task: Any, gpus: Any) -> Any:
    """A task that asks for as many GPUs as the pipeline's parameter says; 0 is the CPU.

    The component must take `gpus` as an argument too: the compiler hands a parameter that only
    the accelerator limit names to no conditional branch.
    """
    return task.set_accelerator_type(GPU).set_accelerator_limit(gpus)
