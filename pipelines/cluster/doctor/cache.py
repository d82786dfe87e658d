"""Whether the cache has room: its volume fills with data and checkpoints, and a task that finds it full fails."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.cluster.doctor.findings import Finding
from pipelines.cluster.doctor.folders import FULL, ROOM, shown
from unlearning.cluster import names
from unlearning.cluster.client import Cluster
from unlearning.core.errors import ForbiddenError, MissingObjectError

LOOK = "run the doctor in a pod that mounts it, whose folders it looks at"


def cache(cluster: Cluster, namespace: str) -> Iterator[Finding]:
    """Ask the node of a pod that has it mounted: Kubernetes itself does not know how full a volume is."""
    try:
        room = cluster.room(namespace, names.CACHE)
    except (ForbiddenError, MissingObjectError) as error:
        yield Finding(check="cache", state="unknown", found=str(error), do=LOOK)
        return
    if room is None:
        found = f"no pod that runs has {names.CACHE} mounted on a node that measures it"
        yield Finding(check="cache", state="unknown", found=found, do=LOOK)
        return
    found, do = f"{names.CACHE}: {shown(room.free)} of {shown(room.size)} free", ""
    state = "ok" if room.free >= ROOM else "warning" if room.free >= FULL else "failed"
    if state != "ok":
        do = "make it larger, or delete what checkpoints of runs that are over have left"
    yield Finding.model_validate({"check": "cache", "state": state, "found": found, "do": do})
