"""Settings every task gets: names people read, accelerators, what may come from the cache, and its place on a cluster.

Kubernetes settings and retries are ignored on one machine.
"""

from typing import Any

from kfp import kubernetes

from components.base import IMAGE
from pipelines.form import Channels
from unlearning.cluster import names
from unlearning.cluster.workers import Device

HOUR = 3_600
TIMEOUT = 6 * HOUR
"""Seconds after which a task without training is stopped: it waits for something that does not come."""

TRAINING_TIMEOUT = 7 * 24 * HOUR
SHARED_MEMORY = "2Gi"
"""NCCL needs more than the 64 MiB that a container has; it counts as memory of the task."""

CPU_REQUEST, MEMORY_REQUEST, MEMORY_LIMIT = "100m", "1Gi", "8Gi"
"""Of a task that computes nothing: it reads, writes and waits."""

RETRIES = 2
USER = 10001
"""Of the image: a number, so that Kubernetes can see that it is not root."""


def pure(task: Any, name: str, seconds: int = TIMEOUT) -> Any:
    """A task whose outputs depend on its inputs alone: KFP may take them from its cache, and may try it again.

    The backend tries again what lost its pod or its node; whether it does so with what failed by itself, such as of bad
    input, is for the installation to say, since a pipeline cannot (docs/compliance.md).

    Args:
        seconds: after which the task is stopped, and for which it is tried again: the backend counts from the start
            of the first attempt, so that less would end the retries of whatever takes longer.
    """
    task.set_retry(RETRIES, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration=f"{seconds}s")
    return _placed(task).set_display_name(name).set_caching_options(True)


def effectful(task: Any, name: str) -> Any:
    """A task that reads or changes the world, or judges: it always runs, and once."""
    return _placed(task).set_display_name(name).set_caching_options(False)


def computing(hardware: Channels) -> Channels:
    """What a task is handed of the hardware that computes by itself: its cache does not ask for more."""
    return {name: hardware[name] for name in Device.model_fields}


def on_gpu(task: Any, hardware: Channels) -> Any:
    """A task that computes: it asks for as many GPUs as the pipeline's parameter says (0 is the CPU), on the nodes
    that it names, and for cores and memory.

    The component must be handed `hardware` as well: the compiler hands a parameter that only a limit names to no
    conditional branch.
    """
    task.set_cpu_request(hardware["cpus"])
    task.set_memory_request(hardware["memory"]).set_memory_limit(hardware["memory"])
    kubernetes.set_timeout(task, TRAINING_TIMEOUT)
    kubernetes.add_toleration(task, key=names.GPU, operator="Exists", effect="NoSchedule")
    kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=SHARED_MEMORY)  # noqa: S108
    kubernetes.add_node_selector_json(task, hardware["gpu_nodes"])
    return task.set_accelerator_type(names.GPU).set_accelerator_limit(hardware["gpus"])


def training(task: Any, hardware: Channels) -> Any:
    """A task that trains, and may have it done on several nodes: it knows its own pod, and its image."""
    task.set_env_variable("UNLEARNING_IMAGE", IMAGE)
    for variable, field in names.OWN_POD.items():
        kubernetes.use_field_path_as_env(task, variable, field)
    return on_gpu(task, hardware)


def signing(task: Any) -> Any:
    """A task that signs certificates, or looks before a batch whether they can be: no other gets to see the key."""
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
    task.set_cpu_request(CPU_REQUEST).set_memory_request(MEMORY_REQUEST).set_memory_limit(MEMORY_LIMIT)
    return task
