from __future__ import annotations

from typing import Any

import pytest
from kubernetes.utils.quantity import parse_quantity

from unlearning.cluster.workers import Device, Workers, workers
from unlearning.core.config import checked
from unlearning.core.errors import UserError


@pytest.mark.parametrize(
    ("given", "gpus", "processes"),
    [
        ({}, 0, 1),
        ({}, 1, 1),
        ({}, 4, 4),
        ({"processes": 3}, 0, 3),
        ({"processes": 2}, 4, 2),
        ({"nodes": 2}, 0, 1),
        ({"nodes": 2}, 4, 1),
        ({"nodes": 2, "node_gpus": 8}, 0, 8),
        ({"nodes": 2, "node_gpus": 8, "processes": 4}, 0, 4),
    ],
)
def test_there_is_a_process_for_each_gpu_or_as_many_as_were_asked_for(
    given: dict[str, Any], gpus: int, processes: int
) -> None:
    assert workers(**given).on_each(gpus) == processes


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"nodes": 0}, "nodes 0 is not possible: "),
        ({"processes": -1}, "processes -1 is not possible: "),
        ({"node_gpus": "many"}, "node_gpus many is not possible: "),
        ({"gpu_nodes": {"kind": 3}}, "gpu_nodes.kind 3 is not possible: "),
        ({"machines": 2}, "parameter machines is unknown: choose of "),
        ({"node_gpus": 2}, "node_gpus are for a training on several nodes"),
        ({"nodes": 2, "node_gpus": 2, "processes": 3}, "3 processes have no GPU each on nodes with 2"),
    ],
)
def test_what_has_no_meaning_is_refused_in_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=f"^{said}") as caught:
        workers(**given)
    assert "\n" not in str(caught.value)


def test_by_itself_a_task_trains_alone() -> None:
    assert workers() == Workers(nodes=1, processes=0, node_gpus=0, gpu_nodes={})


@pytest.mark.parametrize("amount", ["1", "0.5", "500m", "8Gi", "1.5G", "2000Mi", "8000k", "64Ki", 4])
def test_amounts_are_written_as_kubernetes_writes_them(amount: str | int) -> None:
    found = checked(Device, {"cpus": amount, "memory": amount})
    assert (found.cpus, found.memory) == (str(amount), str(amount))
    assert parse_quantity(found.memory) > 0


@pytest.mark.parametrize("amount", ["", "many", "8 Gi", "8GB", "8K", "-1", "1e3"])
def test_other_amounts_are_refused(amount: str) -> None:
    with pytest.raises(UserError, match="is no amount as Kubernetes writes it"):
        checked(Device, {"cpus": amount})
