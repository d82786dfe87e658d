"""Why tasks of a run failed, or do not start: what Kubernetes says of their pods.

Kubeflow's server tells that a task failed and not why. A task's one-line error is the message of its container's end
(`components.execute`), and a pod that cannot start says what it waits for: an image, a secret, a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from unlearning.cluster.client import Cluster
from unlearning.core.errors import NotConfiguredError, UserError

RUN = "pipeline/runid"
"""Label of a run's pods."""
NODE = "workflows.argoproj.io/node-name"
"""Annotation of a pod: names of the workflow and of the tasks that it stands in, joined by dots."""
MAIN = "main"
"""The container that runs a task."""
LONGEST = 400
"""Characters of a reason that are shown."""


def reasons(run_id: str, namespaces: Iterable[str]) -> dict[str, str]:
    """The reason of each task that failed or does not start, by the task's key; empty where nobody lets us look.

    Args:
        run_id: of the run.
        namespaces: where its pods may be; the first that has any is taken.
    """
    try:
        cluster = Cluster()
        for namespace in namespaces:
            pods = cluster.pods(namespace, f"{RUN}={run_id}")
            if pods:
                return dict(_reasons(pods))
    except (NotConfiguredError, UserError):
        pass
    return {}


def _reasons(pods: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for pod in sorted(pods, key=lambda each: each.metadata.creation_timestamp):  # the last attempt counts
        key, reason = _task(str((pod.metadata.annotations or {}).get(NODE, ""))), _reason(pod)
        if key and reason:
            yield key, " ".join(reason.split())[:LONGEST]


def _task(node: str) -> str:
    """The task that a pod runs, without its driver's ending and the number of the attempt."""
    *above, last = node.split(".")
    name = above[-1] if last.startswith("executor") and above else last
    return name.partition("(")[0].removesuffix("-driver")


def _reason(pod: Any) -> str:
    """What was said at the end of a container that failed, or what the pod waits for; empty for neither."""
    if pod.status.phase == "Succeeded":
        return ""
    containers = [*(pod.status.container_statuses or ()), *(pod.status.init_container_statuses or ())]
    for each in sorted(containers, key=lambda one: one.name != MAIN):
        ended, waits = each.state.terminated, each.state.waiting
        if ended is not None and ended.exit_code != 0:
            return str(ended.message or f"{ended.reason or 'Error'} (exit code {ended.exit_code})")
        if waits is not None and waits.message:
            return f"{waits.reason}: {waits.message}"
    if pod.status.message:
        return f"{pod.status.reason or pod.status.phase}: {pod.status.message}"
    held = [each for each in pod.status.conditions or () if each.status == "False" and each.message]
    return f"{held[0].reason}: {held[0].message}" if held else ""
