"""Settings every task gets: names people read, accelerators, what may come from the cache, and its place on a cluster.

Kubernetes settings and retries are ignored on one machine.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

from kfp import dsl, kubernetes
from kfp.dsl import pipeline_task

from components.base import IMAGE
from unlearning.cluster import names

HOUR = 3_600
TIMEOUT = 6 * HOUR
"""Seconds after which a task without training is stopped: it waits for something that does not come."""

TRAINING_TIMEOUT = 7 * 24 * HOUR
KEPT = dsl.PipelineConfig(ttl_seconds_after_success=7 * 24 * HOUR, ttl_seconds_after_failure=30 * 24 * HOUR)
"""How long Kubernetes keeps the pods of a run that has ended, for their logs; what KFP and MLflow know of it stays."""

SHARED_MEMORY = "2Gi"
"""NCCL needs more than the 64 MiB that a container has; it counts as memory of the task."""

RETRIES = 2
USER = 10001
"""Of the image: a number, so that Kubernetes can see that it is not root."""


HARDWARE = """\
device: auto, cpu or cuda.
    gpus: GPUs that each task which computes asks the cluster for; 0 runs on the CPU.
    gpu_nodes: Labels of the nodes that such a task may run on, such as
        {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}. Empty for any.
    nodes: Nodes that train one model together, as a TrainJob of Kubeflow Trainer. 1: the task itself trains.
    node_gpus: GPUs of each of several nodes. The task that waits for them needs none of its own.
    processes: Processes that train one model together on each node. 0: one for each GPU, or one."""
"""What people read of the parameters that `Hardware` holds, in every pipeline: stands for its `{hardware}`."""


def pipeline(name: str, description: str) -> Callable[[Callable[..., Any]], Any]:
    """`dsl.pipeline` with types: the decorated function becomes a KFP graph component."""

    def decorate(function: Callable[..., Any]) -> Any:
        function.__doc__ = inspect.cleandoc(function.__doc__ or "").replace("{hardware}", HARDWARE)
        with _stacks_without_source():
            return dsl.pipeline(name=name, description=description, pipeline_config=KEPT)(function)

    return decorate


@contextmanager
def _stacks_without_source() -> Iterator[None]:
    """For the name of its caller alone, every setter of a kfp task reads the source of the whole stack and looks
    through all modules for it: half of the seconds in which `unlearn run` begins. Here it gets the names alone."""
    before = pipeline_task.inspect
    pipeline_task.inspect = SimpleNamespace(stack=partial(inspect.stack, 0))
    try:
        yield
    finally:
        pipeline_task.inspect = before


def pure(task: Any, name: str) -> Any:
    """A task whose outputs depend on its inputs alone: KFP may take them from its cache, and may try it again."""
    task.set_retry(RETRIES, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="10m")
    return _placed(task).set_display_name(name).set_caching_options(True)


def effectful(task: Any, name: str) -> Any:
    """A task that reads or changes the world, or judges: it always runs, and once."""
    return _placed(task).set_display_name(name).set_caching_options(False)


@dataclass(frozen=True)
class Hardware:
    """Parameters of a pipeline that say what its tasks compute on."""

    device: Any
    gpus: Any
    gpu_nodes: Any
    nodes: Any
    node_gpus: Any
    processes: Any

    @property
    def computing(self) -> dict[str, Any]:
        """What a component takes that computes."""
        return {"device": self.device, "gpus": self.gpus}

    @property
    def training(self) -> dict[str, Any]:
        """What a component takes that trains."""
        spread = {"nodes": self.nodes, "processes": self.processes, "node_gpus": self.node_gpus}
        return self.computing | spread | {"gpu_nodes": self.gpu_nodes}


def on_gpu(task: Any, hardware: Hardware) -> Any:
    """A task that asks for as many GPUs as the pipeline's parameter says, on the nodes that it names; 0 is the CPU.

    The component must take `gpus` as an argument too: the compiler hands a parameter that only
    the accelerator limit names to no conditional branch.
    """
    kubernetes.set_timeout(task, TRAINING_TIMEOUT)
    kubernetes.add_toleration(task, key=names.GPU, operator="Exists", effect="NoSchedule")
    kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=SHARED_MEMORY)  # noqa: S108
    kubernetes.add_node_selector_json(task, hardware.gpu_nodes)
    return task.set_accelerator_type(names.GPU).set_accelerator_limit(hardware.gpus)


def training(task: Any, hardware: Hardware) -> Any:
    """A task that trains, and may have it done on several nodes: it knows its own pod, and its image."""
    task.set_env_variable("UNLEARNING_IMAGE", IMAGE)
    for variable, field in names.OWN_POD.items():
        kubernetes.use_field_path_as_env(task, variable, field)
    return on_gpu(task, hardware)


def signing(task: Any) -> Any:
    """A task that signs certificates: it alone gets to see the key."""
    variable = "UNLEARNING_SIGNING_KEY_FILE"
    kubernetes.use_secret_as_volume(task, names.SIGNING_KEY, names.SIGNING_PATH)
    kubernetes.use_config_map_as_env(task, names.SETTINGS, {variable: variable})
    return task


def _placed(task: Any) -> Any:
    """Where the store and MLflow are, who may read them, the shared cache, and no root."""
    endpoints = names.ENDPOINTS
    kubernetes.use_config_map_as_env(task, names.SETTINGS, {key: key for key in names.REQUIRED_SETTINGS})
    kubernetes.use_config_map_as_env(task, names.SETTINGS, {key: key for key in endpoints}, optional=True)
    kubernetes.use_secret_as_env(task, names.OBJECT_STORE, {key: key for key in names.OBJECT_STORE_KEYS})
    kubernetes.mount_pvc(task, names.CACHE, names.CACHE_PATH)
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    for label, value in names.TASK.items():
        kubernetes.add_pod_label(task, label, value)
    kubernetes.set_timeout(task, TIMEOUT)
    return task
