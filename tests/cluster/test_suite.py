"""`make test-cluster`: every pipeline on a real cluster, with pods that are deleted while they run.

Each run is started once and looked at by several tests; what it costs stands in `flow.py`. Everything that is made has
a name of its own, so that the suite may be run again, and beside others' work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.cluster.doctor.image import images_of
from tests.cluster import flow as steps
from tests.cluster import workflows
from tests.cluster.flow import Flow
from tests.cluster.runs import Ended, problems_with_steps
from tests.cluster.workflows import LARGEST
from unlearning.registry.versions import CHAMPION
from unlearning.storage.open import open_store

# Waits have limits of their own.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(0)]

RUNS = ("pretrained", "unlearned", "honoured")


@pytest.fixture(scope="session")
def pretrained(flow: Flow) -> Ended:
    run = flow.submit("pretraining", flow.pretraining_parameters())
    return flow.ended("pretraining", run, steps.PRETRAINING, flow.disturbance("pretraining", pure=True))


@pytest.fixture(scope="session")
def unlearning_run(flow: Flow, pretrained: Ended) -> str:
    """Begun before the schedule, so that both go on at once."""
    assert pretrained.status.state == "SUCCEEDED", pretrained.status.text()
    return flow.submit("unlearning", flow.unlearning_parameters())


@pytest.fixture(scope="session")
def unlearned(flow: Flow, unlearning_run: str) -> Ended:
    return flow.ended("unlearning", unlearning_run, steps.UNLEARNING)


@pytest.fixture(scope="session")
def problems_before(flow: Flow) -> list[Any]:
    """What the ledger has to complain of before the suite writes to it: others may use the store too."""
    return flow.ledger_problems()


@pytest.fixture(scope="session")
def records(flow: Flow, unlearned: Ended, problems_before: list[Any]) -> tuple[str, ...]:
    """What is asked to be erased."""
    assert unlearned.status.state == "SUCCEEDED", unlearned.status.text()
    return flow.ask()


@pytest.fixture(scope="session")
def honoured(flow: Flow, records: tuple[str, ...]) -> Ended:
    run = flow.submit("compliance", flow.compliance_parameters())
    return flow.ended("compliance", run, steps.BATCH, flow.disturbance("compliance", pure=False))


def test_the_doctor_is_content(flow: Flow) -> None:
    package = str(flow.compiled / "compliance.yaml")
    answer = flow.unlearn("doctor", "--package", package, "--namespace", flow.place.namespace, "--endpoint",
                          flow.place.endpoint, "--json")  # fmt: skip
    failed = [each for each in answer.json["findings"] if each["state"] == "failed"]
    assert failed == []


@pytest.mark.parametrize("pipeline", steps.PIPELINES)
def test_a_compiled_file_is_of_the_image_and_taken_by_the_server(flow: Flow, pipeline: str) -> None:
    assert images_of(flow.packages[pipeline]) == [flow.place.image]
    identity = flow.server.upload(flow.compiled / f"{pipeline}.yaml", f"{flow.name}-{pipeline}")
    flow.server.delete_pipeline(identity)


def test_pretraining_succeeds(pretrained: Ended) -> None:
    assert pretrained.status.state == "SUCCEEDED", pretrained.status.text()


def assert_tried_again(run: Ended, count: int) -> None:
    assert len(run.deleted) >= count, f"{run.status.name}: no pod was seen running that was to be deleted"
    counted = [pod for pod in run.deleted if workflows.lost(run.workflow, pod.node)]
    assert counted, f"{run.status.name}: what was deleted was over before: {[pod.node for pod in run.deleted]}"
    assert [pod.node for pod in counted if not workflows.done_again(run.workflow, pod.node)] == []


def test_a_pure_task_whose_pod_was_deleted_is_tried_again(pretrained: Ended) -> None:
    assert_tried_again(pretrained, 1)


def test_the_original_is_registered_and_serves(flow: Flow, pretrained: Ended) -> None:
    original = flow.serving()
    assert original.version == "1"
    assert (original.tags.kind, original.tags.recipe, original.tags.seed, original.tags.references) == (
        "original", steps.RECIPE, str(flow.seed), str(steps.REFERENCES),
    )  # fmt: skip
    assert len(flow.members(original)) > steps.RECORDS


def test_the_first_run_of_a_schedule_gets_past_its_first_task(flow: Flow, unlearning_run: str) -> None:
    """Such a run has no display name of its own, so that what is named after it had none either."""
    assert flow.schedule().state not in ("FAILED", "CANCELED")
    left = [each.display_name for each in flow.server.schedules(f"{flow.name}-schedule")]
    assert left == []


def test_unlearning_succeeds(unlearned: Ended) -> None:
    assert unlearned.status.state == "SUCCEEDED", unlearned.status.text()


def test_what_was_unlearned_is_registered_and_one_version_serves(flow: Flow, unlearned: Ended) -> None:
    original, made = flow.versions()[:2]
    assert (made.tags.kind, made.tags.from_split) == ("unlearned", original.tags.split)
    assert made.tags.parent_digest == original.tags.digest
    assert int(made.tags.forgotten_records) > 0
    assert made.tags.action in ("promote", "accept", "person")
    serving = [each.version for each in flow.versions() if CHAMPION in each.aliases]
    assert len(serving) == 1


def test_a_batch_succeeds(honoured: Ended) -> None:
    assert honoured.status.state == "SUCCEEDED", honoured.status.text()


def test_tasks_with_effects_whose_pods_were_deleted_are_tried_again(honoured: Ended) -> None:
    assert_tried_again(honoured, 1)


def test_the_request_is_fulfilled_and_certified(flow: Flow, honoured: Ended) -> None:
    shown = flow.unlearn("requests", "show", flow.request, "--json").json
    assert (shown["status"], shown["models"]) == ("fulfilled", {flow.model: "fulfilled"})
    assert shown["certified"], shown


def test_what_serves_does_not_hold_the_records(flow: Flow, records: tuple[str, ...], honoured: Ended) -> None:
    serving = flow.serving()
    assert set(records).isdisjoint(flow.members(serving))
    assert serving.tags.requests == {flow.request: "fulfilled"}
    others = [each for each in flow.versions() if each.version != serving.version]
    assert others
    assert [each.version for each in others if each.tags.status not in ("withdrawn", "purged", "rejected")] == []


def test_the_ledger_verifies(flow: Flow, honoured: Ended, problems_before: list[Any]) -> None:
    assert flow.ledger_problems(flow.request) == []
    assert [each for each in flow.ledger_problems() if each not in problems_before] == []


def test_the_certificate_verifies(flow: Flow, honoured: Ended, tmp_path: Path) -> None:
    key = flow.serving().tags.certificates[flow.request]
    path = tmp_path / "certificate.json"
    path.write_bytes(open_store(flow.store).read(key))
    found = flow.unlearn("verify", path, "--json", *flow.keys).json
    assert found["verified"], found["checks"]
    assert found["statement"]["predicate"]["request"] == flow.request


@pytest.mark.parametrize("run", RUNS)
def test_each_step_is_told_once_by_its_name_and_none_is_left_waiting(
    flow: Flow, run: str, request: pytest.FixtureRequest
) -> None:
    ended: Ended = request.getfixturevalue(run)
    shown = flow.unlearn("status", ended.status.run_id, "--endpoint", flow.place.endpoint, "--json").json
    assert shown["state"] == ended.status.state
    assert problems_with_steps(shown, ended.spec) == []


@pytest.mark.parametrize("run", RUNS)
def test_a_workflow_is_smaller_than_what_is_stored(
    facts: dict[str, Any], run: str, request: pytest.FixtureRequest
) -> None:
    ended: Ended = request.getfixturevalue(run)
    facts[run] = {
        "run": ended.status.name, "bytes": ended.bytes, "pods": workflows.pod_count(ended.workflow),
        "seconds": workflows.lasted(ended.workflow), "pods deleted": len(ended.deleted),
    }  # fmt: skip
    assert ended.bytes < LARGEST


def test_a_task_that_asks_for_a_gpu_gets_one(flow: Flow) -> None:
    if not flow.gpu_nodes():
        pytest.skip("no node that is ready has an allocatable nvidia.com/gpu")
    assert flow.gpu_pod().limits.get("nvidia.com/gpu") == "1"
