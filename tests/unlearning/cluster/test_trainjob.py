"""TrainJobs, against a Trainer on localhost that takes what its published models take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from manifests.trainer_schema import against_trainer
from tests.pipelines.kubernetes_server import reached
from tests.unlearning.trainer_server import JOBS, Trainer, conditions
from unlearning.cluster import names
from unlearning.cluster.trainjob import Owner, Seen, TrainJobs, seen, train_job
from unlearning.cluster.workers import Workers
from unlearning.core.errors import ForbiddenError, UserError

SPACE = names.NAMESPACE


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trainer]:
    with reached(Trainer(tmp_path), tmp_path, monkeypatch) as running:
        running.starts = False
        yield running


def job(wanted: Workers = Workers(nodes=2), **changed: Any) -> dict[str, Any]:  # noqa: B008 - cannot be changed
    given = {"image": "unlearning:1", "namespace": SPACE, "owner": Owner("a-pod", "1-2-3")} | changed
    return train_job("a-job", ["unlearn", "step", "pretrain"], wanted, **given)


@pytest.mark.parametrize("owner", [None, Owner("a-pod", "1-2-3")])
@pytest.mark.parametrize("labels", [{}, {"nvidia.com/gpu.product": "A100"}])
@pytest.mark.parametrize("gpus", [0, 8])
def test_it_fits_the_published_schema(owner: Owner | None, labels: dict[str, str], gpus: int) -> None:
    made = job(Workers(nodes=2, node_gpus=gpus, gpu_nodes=labels), owner=owner)
    assert list(against_trainer(made)) == []
    assert made["spec"]["trainer"]["numNodes"] == 2
    assert made["spec"]["trainer"]["numProcPerNode"] == max(1, gpus)
    assert ("nodeSelector" in str(made)) == bool(labels)
    assert ("resourcesPerNode" in made["spec"]["trainer"]) == bool(gpus)
    assert ("ownerReferences" in made["metadata"]) == (owner is not None)


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made["spec"].update(nodes=2),
        lambda made: made["spec"]["trainer"].update(numNodes="two"),
        lambda made: made["spec"].pop("runtimeRef"),
        lambda made: made.update(kind="PyTorchJob"),
        lambda made: made.update(apiVersion="trainer.kubeflow.org/v9"),
        lambda made: made["spec"]["runtimePatches"][0].update(by="me"),
    ],
)
def test_the_schema_catches_what_does_not_fit(change: Any) -> None:
    made = job(Workers(nodes=2, gpu_nodes={"a": "b"}))
    assert list(against_trainer(made)) == []
    change(made)
    assert list(against_trainer(made))


def test_it_is_made_followed_and_deleted(trainer: Trainer, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = TrainJobs(SPACE)
    jobs.create(job())
    assert jobs.look("a-job") == Seen("waiting", "not started yet")
    trainer.status = conditions("Suspended", "queued")
    assert jobs.look("a-job") == Seen("waiting", "suspended, queued")
    trainer.status = conditions("Complete", "done")
    jobs.follow("a-job", poll=0.01)
    assert capsys.readouterr().err == "TrainJob a-job: complete\n"
    jobs.delete("a-job")
    jobs.delete("a-job")
    assert trainer.deleted == ["a-job"]
    assert {method for method, _ in trainer.asked} == {"POST", "GET", "DELETE"}


def test_a_job_that_failed_says_what_trainer_says(trainer: Trainer) -> None:
    jobs = TrainJobs(SPACE)
    jobs.create(job())
    trainer.status = conditions("Failed", "BackoffLimitExceeded")
    with pytest.raises(UserError, match=r"^TrainJob a-job failed: BackoffLimitExceeded; its pods' logs say why$"):
        jobs.follow("a-job", poll=0.01)


def test_a_job_that_somebody_deleted_is_not_waited_for(trainer: Trainer) -> None:
    with pytest.raises(UserError, match=r"^TrainJob a-job was deleted before it ended"):
        TrainJobs(SPACE).follow("a-job", poll=0.01)


def test_an_api_that_is_away_for_a_while_is_waited_for(trainer: Trainer, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = TrainJobs(SPACE)
    jobs.create(job())
    trainer.status, trainer.away = conditions("Complete", "done"), 3
    jobs.follow("a-job", poll=0.01)
    first, last = capsys.readouterr().err.splitlines()
    assert "status 503" in first
    assert last == "TrainJob a-job: complete"


def test_an_api_that_stays_away_is_an_error(trainer: Trainer) -> None:
    jobs = TrainJobs(SPACE)
    jobs.create(job())
    trainer.away = 10_000
    with pytest.raises(UserError, match="status 503"):
        jobs.follow("a-job", poll=0.01, patience=0.2)
    assert trainer.away < 9_999


def test_a_cluster_without_trainer_says_what_to_do(trainer: Trainer) -> None:
    with pytest.raises(UserError, match="knows no TrainJobs in elsewhere: install Kubeflow Trainer"):
        TrainJobs("elsewhere").create(job(namespace="elsewhere"))


def test_who_may_not_make_one_is_told_so(trainer: Trainer) -> None:
    trainer.forbidden.add(JOBS)
    with pytest.raises(ForbiddenError, match=f"^may not create TrainJob a-job in {SPACE}$"):
        TrainJobs(SPACE).create(job())


def test_what_trainer_does_not_take_is_an_error(trainer: Trainer) -> None:
    broken = job()
    broken["spec"]["colour"] = "red"
    with pytest.raises(UserError, match="status 422"):
        TrainJobs(SPACE).create(broken)


def test_nodes_that_run_are_counted() -> None:
    counts = {"active": 2, "ready": 1, "succeeded": 0, "failed": 0, "suspended": 0}
    assert seen({"jobsStatus": [{"name": "node", **counts}]}) == Seen("waiting", "2 active, 1 ready")
    assert seen({"conditions": [{"type": "Failed", "status": "False"}]}) == Seen("waiting", "not started yet")
    assert seen({"conditions": [{"type": "Failed", "status": "True"}]}) == Seen("failed", "no reason given")
