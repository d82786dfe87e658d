"""Every overlay fits, and every policy catches what it forbids."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manifests import policies
from manifests.check import against_policies, against_schemas, overlays, parse, render
from manifests.objects import Object
from tests.pipelines.kfp_server import serving
from unlearning.cluster import names

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which renders, is not installed")
Change = Callable[[list[Object]], None]


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Object]]:
    return {overlay: parse(render(overlay)) for overlay in overlays()}


def test_there_are_four_overlays() -> None:
    assert overlays() == ["gpu", "local", "multi-node", "production"]


@pytest.mark.parametrize("overlay", overlays())
def test_every_overlay_fits_the_schemas_and_the_policies(rendered: dict[str, list[Object]], overlay: str) -> None:
    assert list(against_schemas(rendered[overlay])) == []
    assert list(against_policies(rendered[overlay])) == []


@pytest.mark.parametrize("overlay", overlays())
def test_every_overlay_is_in_one_namespace(rendered: dict[str, list[Object]], overlay: str) -> None:
    assert {item["metadata"].get("namespace", names.NAMESPACE) for item in rendered[overlay]} == {names.NAMESPACE}


def find(items: list[Object], kind: str, name: str = "") -> Object:
    return next(item for item in items if item["kind"] == kind and name in item["metadata"]["name"])


def pod(items: list[Object]) -> Any:
    return find(items, "Deployment")["spec"]["template"]["spec"]


def container(items: list[Object]) -> Any:
    return pod(items)["containers"][0]


def scheduler(items: list[Object]) -> Any:
    return find(items, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]


def cron_job(items: list[Object]) -> None:
    """A pod one level deeper than in a Deployment, as root."""
    job = {"spec": {"template": {"spec": {"containers": [{"name": "x", "image": "x"}]}}}}
    items.append({"kind": "CronJob", "metadata": {"name": "x", "namespace": "x"}, "spec": {"jobTemplate": job}})


def mount(items: list[Object], volume: Object) -> None:
    pod(items)["volumes"].append({"name": "more", **volume})


def reaching(items: list[Object], name: str) -> Any:
    return find(items, "NetworkPolicy", name)["spec"]


def without(kind: str, name: str = "") -> Change:
    return lambda items: items.remove(find(items, kind, name))


def settings(items: list[Object]) -> Any:
    return find(items, "ConfigMap")["data"]


FORBIDDEN: list[tuple[policies.Policy, Change]] = [
    (policies.images_are_immutable, lambda items: container(items).update(image="unlearning")),
    (policies.images_are_immutable, lambda items: container(items).update(image="registry:5000/unlearning")),
    (policies.images_are_immutable, lambda items: container(items).update(image="unlearning:latest")),
    (policies.pipelines_run_in_what_compiles_them, lambda items: scheduler(items).update(image="unlearning:0.2.0")),
    (policies.nobody_is_root, lambda items: pod(items)["securityContext"].update(runAsUser=0)),
    (policies.nobody_is_root, lambda items: pod(items)["securityContext"].pop("runAsNonRoot")),
    (policies.nobody_is_root, lambda items: container(items)["securityContext"].update(runAsUser=0)),
    (policies.nobody_is_root, cron_job),
    (policies.resources_are_limited, cron_job),
    (policies.no_privileges, lambda items: container(items)["securityContext"].pop("allowPrivilegeEscalation")),
    (policies.no_privileges, lambda items: container(items)["securityContext"].update(privileged=True)),
    (policies.no_privileges, lambda items: container(items)["securityContext"]["capabilities"].update(add=["NET_RAW"])),
    (policies.no_privileges, lambda items: pod(items)["securityContext"].pop("seccompProfile")),
    (policies.roots_are_read_only, lambda items: container(items)["securityContext"].pop("readOnlyRootFilesystem")),
    (policies.resources_are_limited, lambda items: container(items)["resources"].pop("limits")),
    (policies.resources_are_limited, lambda items: container(items)["resources"]["requests"].pop("memory")),
    (policies.servers_are_probed, lambda items: container(items).pop("livenessProbe")),
    (policies.hosts_are_left_alone, lambda items: pod(items).update(hostNetwork=True)),
    (policies.hosts_are_left_alone, lambda items: pod(items)["volumes"].append({"hostPath": {"path": "/"}})),
    (policies.hosts_are_left_alone, lambda items: container(items)["ports"][0].update(hostPort=5000)),
    (policies.tokens_are_not_given, lambda items: pod(items).pop("automountServiceAccountToken")),
    (policies.roles_are_spelled_out, lambda items: find(items, "Role")["rules"][0].update(verbs=["*"])),
    (policies.roles_are_spelled_out, lambda items: find(items, "Role")["rules"][1].pop("resourceNames")),
    (policies.secrets_are_not_committed, lambda items: items.append({"kind": "Secret", "metadata": {"name": "x"}})),
    (policies.secrets_are_not_committed, lambda items: settings(items).update({"AWS_SECRET_ACCESS_KEY": "x"})),
    (policies.secrets_are_not_committed, lambda items: container(items)["env"].append({"name": "TOKEN", "value": "x"})),
    (policies.names_exist, lambda items: mount(items, {"configMap": {"name": "gone"}})),
    (policies.names_exist, lambda items: mount(items, {"projected": {"sources": [{"secret": {"name": "gone"}}]}})),
    (policies.names_exist, lambda items: settings(items).pop("AWS_DEFAULT_REGION")),
    (policies.names_exist, lambda items: pod(items).pop("volumes")),
    (policies.names_exist, lambda items: container(items)["envFrom"].append({"configMapRef": {"name": "gone"}})),
    (policies.names_exist, without("ConfigMap")),
    (policies.tasks_find_theirs, without("PersistentVolumeClaim")),
    (policies.tasks_find_theirs, without("ServiceAccount")),
    (policies.tasks_find_theirs, lambda items: settings(items).pop("UNLEARNING_STORE")),
    (policies.tasks_find_theirs, lambda items: settings(items).update(UNLEARNING_STOER="s3://typo")),
    (policies.selectors_match, lambda items: find(items, "Service", "mlflow")["spec"].update(selector={"app": "x"})),
    (
        policies.selectors_match,
        lambda items: find(items, "Deployment")["spec"]["selector"].update(matchLabels={"x": "y"}),
    ),
    (policies.selectors_match, lambda items: reaching(items, "tasks-to")["podSelector"].update(matchLabels={"x": "y"})),
    (
        policies.selectors_match,
        lambda items: reaching(items, "tasks-to")["egress"][0]["to"][0]["podSelector"].update(matchLabels={"x": "y"}),
    ),
    (policies.nothing_talks_by_default, without("NetworkPolicy", "nothing-by-default")),
    (policies.namespaces_are_restricted, lambda items: find(items, "Namespace")["metadata"].pop("labels")),
    (
        policies.namespaces_are_restricted,
        lambda items: find(items, "Namespace")["metadata"]["labels"].pop("pod-security.kubernetes.io/warn-version"),
    ),
    (policies.namespaces_are_restricted, lambda items: find(items, "Deployment")["metadata"].pop("namespace")),
    (policies.purging_reaches_mlflow, lambda items: settings(items).update(UNLEARNING_MLFLOW_ARTIFACTS="s3://other")),
]


@pytest.mark.parametrize("overlay", overlays())
def test_every_overlay_schedules_with_the_same_words_and_its_own_image(
    rendered: dict[str, list[Object]], overlay: str
) -> None:
    """So that one of them need be tried."""
    called, local = scheduler(rendered[overlay]), scheduler(rendered["local"])
    assert (called["command"], called["args"]) == (local["command"], local["args"])
    assert {"name": "UNLEARNING_IMAGE", "value": called["image"]} in called["env"]
    assert {each["name"] for each in called["env"]} >= {each["name"] for each in local["env"]}


@pytest.mark.slow
def test_what_the_scheduler_calls_makes_the_recurring_run(rendered: dict[str, list[Object]], tmp_path: Path) -> None:
    """Its very arguments, against Kubeflow's API on localhost, twice: the second time nothing changes."""
    called, program = scheduler(rendered["local"]), Path(sys.executable).with_name("unlearn")
    (tmp_path / "token").write_text("right")
    with serving() as kubeflow:
        arguments = [each for each in called["args"] if not each.startswith("--endpoint=")]
        command = [program, *called["command"][1:], *arguments, f"--endpoint={kubeflow.url}", "--json"]
        environment = {each["name"]: each["value"] for each in called["env"]}
        told = os.environ | environment | {"UNLEARNING_KFP_TOKEN_FILE": str(tmp_path / "token")}
        done = [
            json.loads(subprocess.run(command, env=told, capture_output=True, check=True).stdout)["done"]
            for _ in range(2)
        ]
        (made,) = kubeflow.schedules.values()
    assert done == ["created", "unchanged"]
    assert (made.display_name, made.trigger.cron_schedule.cron, made.max_concurrency) == (
        "compliance", "0 0 3 * * *", "1",
    )  # fmt: skip
    images = {
        each["container"]["image"]
        for each in made.pipeline_spec["pipeline_spec"]["deploymentSpec"]["executors"].values()
    }
    assert images == {called["image"]}


@pytest.mark.parametrize(("policy", "change"), FORBIDDEN, ids=lambda value: getattr(value, "__name__", ""))
def test_what_a_policy_forbids_is_caught_by_it(
    rendered: dict[str, list[Object]], policy: policies.Policy, change: Change
) -> None:
    items = copy.deepcopy(rendered["local"])
    change(items)
    assert list(policy(items))


def test_every_policy_is_tried() -> None:
    assert {policy for policy, _ in FORBIDDEN} == set(policies.POLICIES)


@pytest.mark.parametrize(
    "change",
    [
        lambda items: find(items, "Deployment")["spec"].update(replicsa=2),
        lambda items: find(items, "Deployment")["spec"].update(replicas="two"),
        lambda items: find(items, "Service")["spec"]["ports"][0].pop("port"),
    ],
)
def test_what_does_not_fit_a_schema_is_caught(rendered: dict[str, list[Object]], change: Change) -> None:
    items = copy.deepcopy(rendered["local"])
    change(items)
    assert list(against_schemas(items))
