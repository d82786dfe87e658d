"""`unlearn submit`, `schedule` and `status` against Kubeflow's API on localhost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kfp_server_api as api
import pytest

from tests.pipelines.kfp_server import Kubeflow, serving

Cli = Callable[..., Any]


@pytest.fixture
def kubeflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubeflow]:
    with serving() as running:
        monkeypatch.setenv("UNLEARNING_KFP_ENDPOINT", running.url)
        monkeypatch.setenv("UNLEARNING_KFP_TOKEN", "right")
        monkeypatch.delenv("UNLEARNING_KFP_TOKEN_FILE", raising=False)
        yield running


def test_a_pipeline_is_submitted_once_and_its_status_told(cli: Cli, kubeflow: Kubeflow, tmp_path: Path) -> None:
    values = tmp_path / "parameters.yaml"
    values.write_text("seed: 1\n")
    arguments = ("submit", "pretraining", "--params-file", values, "--param", "seed=2", "--name", "first", "--json")
    made = json.loads(cli(*arguments).out)
    assert (made["created"], made["state"]) == (True, "PENDING")
    assert kubeflow.runs[made["run_id"]].runtime_config.parameters == {"seed": 2}
    assert json.loads(cli(*arguments).out)["created"] is False
    told = cli("status", made["run_id"])
    assert (told.code, told.out) == (0, f"run {made['run_id']} first: PENDING\n")


@pytest.mark.parametrize("several", [False, True])
def test_a_namespace_counts_only_where_there_are_several_users(cli: Cli, kubeflow: Kubeflow, several: bool) -> None:
    """The same commands work with both kinds."""
    kubeflow.several_users = several
    for arguments in (
        ("submit", "pretraining"),
        ("schedule", "pretraining", "--cron", "0 3 * * *"),
        ("schedule", "list"),
    ):
        assert cli(*arguments, "--namespace", "ours").code == 0
    (experiment,) = kubeflow.experiments.values()
    assert experiment.namespace == ("ours" if several else None)
    assert len(kubeflow.runs) == len(kubeflow.schedules) == 1


@pytest.mark.parametrize(("state", "code"), [("SUCCEEDED", 0), ("FAILED", 3), ("CANCELED", 3)])
def test_the_end_of_a_run_is_the_exit_code(cli: Cli, kubeflow: Kubeflow, state: str, code: int) -> None:
    identity = json.loads(cli("submit", "pretraining", "--json").out)["run_id"]
    kubeflow.runs[identity].state = state
    assert cli("status", identity, "--follow").code == code


def at(state: str, *tasks: tuple[str, str]) -> Callable[[Any], None]:
    """A run and its tasks, as they come to be."""

    def move(run: Any) -> None:
        details = [api.V2beta1PipelineTaskDetail(task_id=each, display_name=each, state=told) for each, told in tasks]
        run.state, run.run_details = state, api.V2beta1RunDetails(task_details=details)

    return move


def test_a_run_is_followed_while_it_changes_and_each_change_told_once(
    cli: Cli, kubeflow: Kubeflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unlearning.cli.cluster.EVERY", 0.01)
    kubeflow.moves = [
        at("PENDING"),
        at("RUNNING", ("Ingest", "RUNNING")),
        at("RUNNING", ("Ingest", "RUNNING")),
        at("RUNNING", ("Ingest", "SUCCEEDED"), ("Pretrain", "RUNNING")),
        at("SUCCEEDED", ("Ingest", "SUCCEEDED"), ("Pretrain", "SUCCEEDED")),
    ]
    answer = cli("submit", "pretraining", "--wait")
    assert answer.code == 0
    told = answer.out.splitlines()
    assert told[:4] == ["Ingest: RUNNING", "Ingest: SUCCEEDED", "Pretrain: RUNNING", "Pretrain: SUCCEEDED"]
    assert told[4].endswith(": SUCCEEDED")
    assert kubeflow.moves == []


def test_an_endpoint_that_is_away_for_a_while_is_asked_again(
    cli: Cli, kubeflow: Kubeflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unlearning.cli.cluster.EVERY", 0.01)
    identity = json.loads(cli("submit", "pretraining", "--json").out)["run_id"]

    def breaks(run: Any) -> None:
        kubeflow.fail.append(("GET /runs/{id}", 403))

    kubeflow.moves = [breaks, at("SUCCEEDED")]
    answer = cli("status", identity, "--follow")
    assert answer.code == 0
    assert answer.err.count("asking again") == 1


def test_an_endpoint_that_stays_away_is_an_error(cli: Cli, kubeflow: Kubeflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlearning.cli.cluster.EVERY", 0.01)
    monkeypatch.setattr("unlearning.cli.cluster.PATIENCE", 0.0)
    identity = json.loads(cli("submit", "pretraining", "--json").out)["run_id"]
    kubeflow.moves = [lambda run: kubeflow.fail.append(("GET /runs/{id}", 403))]
    answer = cli("status", identity, "--follow")
    assert answer.code == 2
    assert answer.error.count("403 planned") == 1


def test_an_unknown_run_is_bad_input(cli: Cli, kubeflow: Kubeflow) -> None:
    answer = cli("status", "nothing")
    assert (answer.code, answer.out) == (2, "")
    assert "404 nothing not found" in answer.error


@pytest.mark.slow
def test_a_schedule_is_made_listed_switched_off_and_deleted(cli: Cli, kubeflow: Kubeflow) -> None:
    arguments = ("schedule", "compliance", "--cron", "0 3 * * *", "--no-catchup")
    assert cli(*arguments).out.endswith(" compliance: created, enabled\n")
    assert cli(*arguments).out.endswith(" compliance: unchanged, enabled\n")
    assert cli("schedule", "list").out.endswith(" compliance: 0 0 3 * * *, enabled\n")
    assert cli(*arguments, "--disable").out.endswith(" compliance: switched, disabled\n")
    (standing,) = kubeflow.schedules.values()
    assert (standing.status, standing.max_concurrency, standing.no_catchup) == ("DISABLED", "1", True)
    assert cli("schedule", "compliance", "--delete").out == "name: compliance\ndeleted: 1\n"
    assert cli("schedule", "list").out == "none\n"


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("submit",), "give the name of a pipeline"),
        (("submit", "pretraining", "--param", "seed"), "is not name=value"),
        (("submit", "pretraining", "--param", "sed=1"), "no parameter 'sed'"),
        (("submit", "pretraining", "--endpoint", "somewhere"), "no endpoint"),
        (("submit", "pretraining", "--params-file", "nowhere.yaml"), "cannot read nowhere.yaml"),
        (("submit", "pretraining", "--token-file", "nowhere"), "cannot read the token file nowhere"),
        (("schedule", "compliance"), "give --cron"),
        (("schedule", "compliance", "--cron", "0 25 * * *"), "hour '25'"),
        (("schedule", "--delete"), "needs the name"),
    ],
)
def test_bad_input_is_told_in_one_line_and_nothing_is_made(
    cli: Cli, kubeflow: Kubeflow, arguments: tuple[str, ...], wrong: str
) -> None:
    answer = cli(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert wrong in answer.error
    assert (kubeflow.runs, kubeflow.schedules, kubeflow.experiments) == ({}, {}, {})
