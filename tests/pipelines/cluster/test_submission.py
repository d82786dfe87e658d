"""The commands' calls over real HTTP, each checked by the server with the published API models."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import kfp_server_api as api
import pytest

from pipelines.cluster.client import Endpoint, Pipelines
from pipelines.cluster.packages import Package, checked, compiled
from pipelines.cluster.status import status_of
from pipelines.cluster.submission import RunRequest, schedule, submit, unschedule
from tests.certificates import certificate, server_side
from tests.pipelines.kfp_server import ROUTES, Kubeflow, RefusalError, read_as, serving
from unlearning.core.errors import UserError

SPEC = {
    "pipelineInfo": {"name": "small"},
    "root": {"dag": {"tasks": {"one": {"cachingOptions": {"enableCache": True}}}}},
}
SMALL = Package("small", SPEC, {"platforms": {"kubernetes": {}}})
REQUEST = RunRequest(SMALL, name="nightly")


def test_every_call_of_the_server_is_covered(server: Pipelines, kubeflow: Kubeflow) -> None:
    assert not server.several_users()
    run = submit(server, REQUEST)
    submit(server, REQUEST)
    server.run(run.run_id)
    schedule(server, REQUEST, "0 3 * * *")
    schedule(server, REQUEST, "0 3 * * *", enabled=False)
    schedule(server, REQUEST, "0 3 * * *")
    unschedule(server, "nightly", "unlearning")
    assert set(kubeflow.asked) == {f"{method} {path}" for method, path, _ in ROUTES}


def test_a_real_pipeline_is_accepted_with_both_documents(server: Pipelines, kubeflow: Kubeflow) -> None:
    package = compiled("pretraining")
    done = submit(server, RunRequest(package, checked(package, {"seed": "3"}, {}), pipeline_root="s3://bucket/root"))
    run = kubeflow.runs[done.run_id]
    assert (run.runtime_config.parameters, run.runtime_config.pipeline_root) == ({"seed": 3}, "s3://bucket/root")
    assert run.service_account == "unlearning-runner"
    assert run.pipeline_spec == package.body


def test_a_run_is_made_once_by_name_unless_it_failed_or_again_is_asked(server: Pipelines, kubeflow: Kubeflow) -> None:
    first = submit(server, REQUEST)
    assert first.created
    second = submit(server, REQUEST)
    assert (second.created, second.run_id) == (False, first.run_id)
    kubeflow.runs[first.run_id].state = "FAILED"
    third = submit(server, REQUEST)
    assert third.created
    assert submit(server, REQUEST, again=True).created
    assert len(kubeflow.runs) == 3


def test_a_run_on_a_later_page_is_found(server: Pipelines, kubeflow: Kubeflow) -> None:
    for state in ("FAILED", "FAILED", "FAILED", "FAILED", "RUNNING"):
        kubeflow.runs[submit(server, REQUEST, again=True).run_id].state = state
    assert not submit(server, REQUEST).created


def test_a_schedule_is_unchanged_replaced_and_never_twice(server: Pipelines, kubeflow: Kubeflow) -> None:
    first = schedule(server, REQUEST, "0 3 * * *")
    assert (first.done, first.cron) == ("created", "0 0 3 * * *")
    assert schedule(server, REQUEST, "0 3 * * *").done == "unchanged"
    second = schedule(server, REQUEST, "0 4 * * *")
    assert second.done == "replaced"
    assert list(kubeflow.schedules) == [second.schedule_id]


def test_the_next_call_mends_a_replacement_that_died_half_way(server: Pipelines, kubeflow: Kubeflow) -> None:
    schedule(server, REQUEST, "0 3 * * *")
    kubeflow.fail = [("DELETE /recurringruns/{id}", 403)]
    with pytest.raises(UserError, match="403 planned"):
        schedule(server, REQUEST, "0 4 * * *")
    assert len(kubeflow.schedules) == 2
    mended = schedule(server, REQUEST, "0 4 * * *")
    assert list(kubeflow.schedules) == [mended.schedule_id]
    assert kubeflow.schedules[mended.schedule_id].status == "ENABLED"


def test_a_schedule_of_another_experiment_is_left_alone(server: Pipelines, kubeflow: Kubeflow) -> None:
    theirs = schedule(server, dataclasses.replace(REQUEST, experiment="theirs"), "0 3 * * *")
    schedule(server, REQUEST, "0 4 * * *")
    assert unschedule(server, "nightly", "unlearning") == 1
    assert list(kubeflow.schedules) == [theirs.schedule_id]


@pytest.mark.parametrize(("status", "advice"), [(403, "ask for the right"), (409, "already"), (500, "by its name")])
def test_a_refused_creation_is_told_and_never_repeated(
    server: Pipelines, kubeflow: Kubeflow, status: int, advice: str
) -> None:
    kubeflow.fail = [("POST /runs", status)] * 2
    with pytest.raises(UserError, match=f"create the run: {status} planned") as caught:
        submit(server, REQUEST)
    assert advice in str(caught.value)
    assert kubeflow.asked.count("POST /runs") == 1


def test_a_reading_call_is_repeated_after_a_server_error(server: Pipelines, kubeflow: Kubeflow) -> None:
    kubeflow.fail = [("GET /runs", 503), ("GET /runs", 500)]
    assert submit(server, REQUEST).created
    assert kubeflow.asked.count("GET /runs") == 3


def test_a_wrong_token_is_told_without_showing_it(kubeflow: Kubeflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARNING_KFP_TOKEN", "wrong-secret")
    with pytest.raises(UserError, match="401") as caught:
        submit(Pipelines(Endpoint(kubeflow.url)), REQUEST)
    assert "wrong-secret" not in str(caught.value)


def test_a_token_file_that_is_renewed_is_read_again(kubeflow: Kubeflow, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("right")
    server = Pipelines(Endpoint(kubeflow.url, token_file=path))
    submit(server, REQUEST)
    kubeflow.accepts = "renewed"
    path.write_text("renewed")
    assert not submit(server, REQUEST).created


def test_an_endpoint_is_known_by_the_certificates_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARNING_KFP_TOKEN", "right")
    shown, other = certificate(tmp_path / "shown"), certificate(tmp_path / "other")
    with serving(server_side(shown)) as kubeflow:
        assert kubeflow.url.startswith("https://")
        assert submit(Pipelines(Endpoint(kubeflow.url, ca_file=shown)), REQUEST).created
        for file in (other, None):
            with pytest.raises(UserError, match=r"does not answer \(SSLError\)"):
                submit(Pipelines(Endpoint(kubeflow.url, ca_file=file)), REQUEST)
    with pytest.raises(UserError, match=r"^no file of certificates at "):
        Pipelines(Endpoint(kubeflow.url, ca_file=tmp_path / "none"))


def test_in_a_pod_the_service_account_s_token_is_taken(
    kubeflow: Kubeflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    monkeypatch.setattr("pipelines.cluster.client.IN_CLUSTER_TOKEN", token)
    with pytest.raises(UserError, match="401"):
        submit(Pipelines(Endpoint(kubeflow.url)), REQUEST)
    token.write_text("right\n")
    server = Pipelines(Endpoint(kubeflow.url))
    assert submit(server, REQUEST).created
    kubeflow.accepts = "renewed"
    token.write_text("renewed\n")
    assert not submit(server, REQUEST).created


def test_where_several_users_are_kept_apart_everything_is_in_the_namespace(
    kubeflow: Kubeflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNLEARNING_KFP_TOKEN", "right")
    kubeflow.several_users = True
    ours, others = (Pipelines(Endpoint(kubeflow.url, each)) for each in ("ours", "others"))
    assert ours.several_users()
    assert submit(ours, REQUEST).created
    schedule(ours, REQUEST, "0 3 * * *")
    (made,) = kubeflow.experiments.values()
    assert made.namespace == "ours"
    assert others.experiment("unlearning") is None
    assert ours.experiment("unlearning") == made.experiment_id
    with pytest.raises(UserError, match=r"400 .*a namespace is needed"):
        submit(Pipelines(Endpoint(kubeflow.url)), REQUEST)


def test_a_schedule_that_is_gone_already_counts_as_deleted(server: Pipelines, kubeflow: Kubeflow) -> None:
    made = schedule(server, REQUEST, "0 3 * * *")
    server.delete_schedule(made.schedule_id)
    server.delete_schedule(made.schedule_id)
    assert kubeflow.schedules == {}
    kubeflow.fail.append(("DELETE /recurringruns/{id}", 403))
    with pytest.raises(UserError, match="403"):
        server.delete_schedule(made.schedule_id)


def test_an_endpoint_that_does_not_answer_is_told_in_words() -> None:
    with pytest.raises(UserError, match="does not answer"):
        Pipelines(Endpoint("http://127.0.0.1:1")).run("x")


def test_an_unknown_run_is_a_user_error(server: Pipelines) -> None:
    with pytest.raises(UserError, match="404 nothing not found"):
        server.run("nothing")


@pytest.mark.parametrize(
    ("texts", "values", "wrong"),
    [
        ({"sed": "1"}, {}, "no parameter 'sed'"),
        ({"seed": "one"}, {}, "is not a NUMBER_INTEGER"),
        ({"seed": "1.5"}, {}, "must be a NUMBER_INTEGER"),
        ({"seed": "true"}, {}, "must be a NUMBER_INTEGER"),
        ({}, {"recipe": [3]}, "must be a STRING"),
    ],
)
def test_a_wrong_parameter_is_found_before_anything_is_sent(
    texts: dict[str, str], values: dict[str, object], wrong: str
) -> None:
    with pytest.raises(UserError, match=wrong):
        checked(compiled("pretraining"), texts, values)


def test_a_number_in_a_file_where_text_is_meant_is_that_text() -> None:
    assert checked(compiled("pretraining"), {}, {"gpus": 2}) == {"gpus": "2"}


def test_a_missing_parameter_is_named() -> None:
    declared = {"inputDefinitions": {"parameters": {"needed": {"parameterType": "STRING"}}}}
    with pytest.raises(UserError, match="needs the parameter needed"):
        checked(Package("small", {"root": declared}, {}), {}, {})


@pytest.mark.parametrize("kind", ["STRING", "LIST"])
def test_a_value_that_the_server_would_refuse_is_refused_before_it_is_sent(kind: str) -> None:
    package = Package("small", {"root": {"inputDefinitions": {"parameters": {"long": {"parameterType": kind}}}}}, {})
    fits: object = "x" * 10_000 if kind == "STRING" else ["x" * 9_996]
    assert checked(package, {}, {"long": fits}) == {"long": fits}
    more: object = "x" * 10_001 if kind == "STRING" else ["x" * 9_997]
    with pytest.raises(UserError, match="parameter long has 10001 characters, and Kubeflow takes 10000"):
        checked(package, {}, {"long": more})


def test_without_caching_no_step_is_taken_over() -> None:
    assert SMALL.uncached().spec["root"]["dag"]["tasks"]["one"]["cachingOptions"] == {}


def test_the_status_tells_why_a_task_failed(server: Pipelines, kubeflow: Kubeflow) -> None:
    identity = submit(server, REQUEST).run_id
    task = api.V2beta1PipelineTaskDetail(
        task_id="t", display_name="audit", state="FAILED", error=api.GoogleRpcStatus(message="out of\nmemory")
    )
    kubeflow.runs[identity].state = "FAILED"
    kubeflow.runs[identity].run_details = api.V2beta1RunDetails(task_details=[task])
    found = status_of(server.run(identity))
    assert (found.finished, found.failed) == (True, True)
    assert "audit: FAILED out of memory" in found.text()


@pytest.mark.parametrize(
    ("kind", "body", "wrong"),
    [
        ("V2beta1Run", {"name": "x"}, "no field 'name'"),
        ("V2beta1RecurringRun", {"trigger": {"cron_schedule": {"cronn": "x"}}}, "no field 'cronn'"),
        ("V2beta1RecurringRun", {"mode": "ON"}, "RecurringRunMode"),
        ("V2beta1Run", {}, "display_name is missing"),
    ],
)
def test_the_server_refuses_what_the_published_models_do_not_know(
    kind: str, body: dict[str, object], wrong: str
) -> None:
    with pytest.raises(RefusalError, match=wrong):
        read_as(json.dumps(body).encode(), kind, "display_name")
