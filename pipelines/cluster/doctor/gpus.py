"""Whether the cluster has the GPUs that are asked for, and the namespace may have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pipelines.cluster.doctor.findings import Finding
from unlearning.cluster.client import Cluster
from unlearning.cluster.names import GPU
from unlearning.core.errors import ForbiddenError

TOLERATED = {GPU}
"""Taints that the tasks that train bear: see pipelines/tasks.py."""


def gpus(cluster: Cluster, namespace: str, per_pod: int, pods: int = 1) -> Iterator[Finding]:
    """Nodes with as many as each of `pods` asks for, and a quota that leaves room for all of them."""
    if not per_pod:
        yield Finding(check="gpus", state="ok", found="none asked for: tasks run on the CPU; give --gpus to look")
        return
    for look in (_nodes, _quota):
        try:
            yield look(cluster, namespace, per_pod, pods)
        except ForbiddenError as error:
            yield Finding(check="gpus", state="unknown", found=str(error), do="ask who may")


def _nodes(cluster: Cluster, namespace: str, wanted: int, pods: int) -> Finding:
    nodes = [node for node in cluster.nodes() if node.gpus]
    fit = [node for node in nodes if node.ready and node.gpus >= wanted and not {*node.taints} - TOLERATED]
    places = sum(node.gpus // wanted for node in fit)
    if places >= pods:
        types = Counter(node.gpu_type or "unnamed" for node in fit)
        found = ", ".join(f"{count} × {name}" for name, count in sorted(types.items()))
        return Finding(check="gpus", state="ok", found=f"nodes with {wanted} or more that are ready: {found}")
    if not nodes:
        do = "add GPU nodes and NVIDIA's device plugin, or run with gpus=0"
        return Finding(check="gpus", state="failed", found=f"no node offers {GPU}", do=do)
    if fit:
        found, do = f"room for {places} pods with {wanted} each, {pods} are wanted", "ask for fewer, or add nodes"
        return Finding(check="gpus", state="failed", found=found, do=do)
    why = "; ".join(_unfit(node.name, node.gpus, node.ready, {*node.taints} - TOLERATED) for node in nodes[:5])
    do = "ask for fewer, or look at the nodes"
    return Finding(check="gpus", state="failed", found=f"no node has {wanted} for a task: {why}", do=do)


def _unfit(name: str, count: int, ready: bool, taints: set[str]) -> str:
    away = f", taints {', '.join(sorted(taints))}" if taints else ""
    return f"{name} has {count}{'' if ready else ', not ready'}{away}"


def _quota(cluster: Cluster, namespace: str, each: int, pods: int) -> Finding:
    wanted = each * pods
    limits = [quota for quota in cluster.quotas(namespace) if quota.resource == f"requests.{GPU}"]
    tight = [quota for quota in limits if quota.hard - quota.used < wanted]
    if not tight:
        found = "a quota leaves room for them" if limits else "no quota limits them"
        return Finding(check="gpus", state="ok", found=f"{namespace}: {found}")
    worst = tight[0]
    found = f"quota {worst.name}: {worst.used:.0f} of {worst.hard:.0f} taken, {wanted} wanted"
    if worst.hard < wanted:
        return Finding(check="gpus", state="failed", found=found, do="ask for fewer, or raise the quota")
    return Finding(check="gpus", state="warning", found=found, do="the run waits until others are done")
