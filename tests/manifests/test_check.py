"""Every overlay fits, and every policy catches what it forbids."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.utils.quantity import parse_quantity

from manifests import policies
from manifests.check import against_policies, against_schemas, overlays, parse, render
from manifests.objects import Object, labels_of, pods
from tests.pipelines.kfp_server import serving
from unlearning.cluster import names

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which renders, is not installed")
Change = Callable[[list[Object]], None]


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Object]]:
    return {overlay: parse(render(overlay)) for overlay in overlays()}


OWN = ("gpu", "local", "multi-node", "production")
"""Overlays with a namespace for nothing else."""

SHARED = {"single-user": names.KUBEFLOW, "profile": names.NAMESPACE}
"""Overlays for a namespace that others made and use, and its name."""


def test_there_is_an_overlay_for_each_kind_of_namespace() -> None:
    assert overlays() == sorted((*OWN, *SHARED))


def test_the_documentation_counts_objects_and_policies_as_they_are(rendered: dict[str, list[Object]]) -> None:
    page = (Path(__file__).parents[2] / "docs/deploying.md").read_text(encoding="utf-8")
    counted = re.findall(r"\| `([\w-]+)`: [^|]*\| (\d+) \|$", page, re.MULTILINE)
    assert {name: int(count) for name, count in counted} == {name: len(items) for name, items in rendered.items()}
    assert f"there are {len(policies.POLICIES)} policies" in page


@pytest.mark.parametrize("overlay", overlays())
def test_every_overlay_fits_the_schemas_and_the_policies(rendered: dict[str, list[Object]], overlay: str) -> None:
    assert list(against_schemas(rendered[overlay])) == []
    assert list(against_policies(rendered[overlay])) == []


@pytest.mark.parametrize("overlay", overlays())
def test_every_overlay_is_in_one_namespace(rendered: dict[str, list[Object]], overlay: str) -> None:
    wanted = SHARED.get(overlay, names.NAMESPACE)
    assert {item["metadata"].get("namespace", names.NAMESPACE) for item in rendered[overlay]} == {wanted}
    subjects = [each for item in rendered[overlay] for each in item.get("subjects", [])]
    assert {each["namespace"] for each in subjects} == {wanted}


@pytest.mark.parametrize("overlay", SHARED)
def test_a_shared_namespace_gets_all_but_what_acts_on_others(rendered: dict[str, list[Object]], overlay: str) -> None:
    """The objects of `local`, save the namespace and its limits; network rules select pods with a label of ours."""
    ours = {(item["kind"], item["metadata"]["name"]) for item in rendered["local"] if item["kind"] != "NetworkPolicy"}
    theirs = {(item["kind"], item["metadata"]["name"]) for item in rendered[overlay] if item["kind"] != "NetworkPolicy"}
    assert ours - theirs == {("Namespace", "unlearning"), ("LimitRange", "unlearning")}
    assert theirs <= ours
    rules = [item["spec"]["podSelector"] for item in rendered[overlay] if item["kind"] == "NetworkPolicy"]
    assert rules
    assert all(set(each.get("matchLabels", {})) & set(names.TASK) for each in rules)


@pytest.mark.parametrize("overlay", OWN)
def test_both_kinds_let_ours_reach_the_same(rendered: dict[str, list[Object]], overlay: str) -> None:
    """What is denied to ours and allowed again is the same in a namespace of its own and in that of others."""

    def rules(items: list[Object], everybody: Object) -> list[Object]:
        specs = [item["spec"] for item in items if item["kind"] == "NetworkPolicy"]
        chosen = [{**spec, "podSelector": {}} for spec in specs if spec["podSelector"] == everybody]
        return sorted(chosen, key=str)

    own = rules(rendered[overlay], {})
    assert len(own) == 3
    for shared in SHARED:
        assert rules(rendered[shared], {"matchLabels": names.PART}) == own


def test_istio_puts_no_proxy_beside_ours_in_a_profile(rendered: dict[str, list[Object]]) -> None:
    labels = {name: labels_of(pod) for name, pod in pods(rendered["profile"])}
    assert {name.split("/")[0] for name in labels} == {"Deployment", "StatefulSet", "CronJob"}
    assert {each["sidecar.istio.io/inject"] for each in labels.values()} == {"false"}


def test_kfps_object_store_lets_the_namespace_in(rendered: dict[str, list[Object]]) -> None:
    """KFP's NetworkPolicy of its store: from its own namespace, and from those with the label of profiles."""
    labels = find(rendered["local"], "Namespace")["metadata"]["labels"]
    assert labels["app.kubernetes.io/part-of"] == "kubeflow-profile"
    assert SHARED["single-user"] == "kubeflow"


@pytest.mark.parametrize("overlay", OWN)
def test_what_asks_for_nothing_gets_little(rendered: dict[str, list[Object]], overlay: str) -> None:
    """Four pods of tasks, each with Argo's two containers beside its own, leave nine tenths of two cores and 4 GiB."""
    (limit,) = find(rendered[overlay], "LimitRange")["spec"]["limits"]
    wanted = {name: parse_quantity(value) for name, value in limit["defaultRequest"].items()}
    most = {name: parse_quantity(value) for name, value in limit["default"].items()}
    assert set(wanted) == {"cpu", "memory"}
    assert set(most) == {"memory"}, "a limit of cores would refuse a task that asks for more"
    assert most["memory"] >= wanted["memory"]
    # Containers that start one after another (init) count once, with those that run beside the task (wait).
    assert 4 * wanted["cpu"] <= Decimal("0.1") * 2
    assert 4 * wanted["memory"] <= Decimal("0.1") * 4 * 1024**3


@pytest.mark.parametrize("overlay", overlays())
def test_kfp_reaches_the_bucket_of_the_settings(rendered: dict[str, list[Object]], overlay: str) -> None:
    """By the fields that its launcher's source reads, written down here once more: others it would leave unread."""
    data = {item["metadata"]["name"]: item["data"] for item in rendered[overlay] if item["kind"] == "ConfigMap"}
    launcher, told = data[names.LAUNCHER], data[names.SETTINGS]
    assert set(launcher) == {"defaultPipelineRoot", "providers"}
    assert launcher["defaultPipelineRoot"] == told["UNLEARNING_PIPELINE_ROOT"]
    providers = yaml.safe_load(launcher["providers"])
    assert set(providers) == {"s3"}  # the scheme of the root: `minio` and `gs` are the others
    assert set(providers["s3"]) == {"default"}  # beside `overrides`
    place = providers["s3"]["default"]
    assert {key: type(value) for key, value in place.items()} == {
        "endpoint": str, "region": str, "disableSSL": bool, "credentials": dict,
    }  # fmt: skip
    assert place["credentials"] == {
        "fromEnv": False,
        "secretRef": {
            # pragma: allowlist nextline secret
            "secretName": "unlearning-object-store",
            "accessKeyKey": "AWS_ACCESS_KEY_ID",
            # pragma: allowlist nextline secret
            "secretKeyKey": "AWS_SECRET_ACCESS_KEY",
        },
    }
    assert place["region"] == told["AWS_DEFAULT_REGION"]
    scheme = "http" if place["disableSSL"] else "https"
    assert f"{scheme}://{place['endpoint']}" == told.get("AWS_ENDPOINT_URL", "https://s3.amazonaws.com")
    rules = find(rendered[overlay], "Role", "runner")["rules"]
    assert any("configmaps" in each["resources"] and names.LAUNCHER in each["resourceNames"] for each in rules)
    assert any("secrets" in each["resources"] and names.OBJECT_STORE in each["resourceNames"] for each in rules)


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
    return find(items, "ConfigMap", names.SETTINGS)["data"]


def providing(items: list[Object], **changes: Any) -> None:
    """Change fields of the providers in KFP's ConfigMap."""
    data = find(items, "ConfigMap", names.LAUNCHER)["data"]
    providers = yaml.safe_load(data["providers"])
    providers["s3"]["default"].update(changes)
    data["providers"] = yaml.safe_dump(providers)


def shared(kind: str, name: str = "") -> Change:
    """A namespace of others, in which one object of our own namespace's is left."""

    def change(items: list[Object]) -> None:
        kept = find(items, kind, name)
        mine = ("Namespace", "LimitRange", "ResourceQuota", "NetworkPolicy")
        items[:] = [each for each in items if each is kept or each["kind"] not in mine]

    return change


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
    (policies.names_exist, without("ConfigMap", names.SETTINGS)),
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
    (policies.nothing_talks_by_default, without("Namespace")),
    (policies.neighbours_are_left_alone, shared("LimitRange")),
    (policies.neighbours_are_left_alone, shared("NetworkPolicy", "nothing-by-default")),
    (policies.neighbours_are_left_alone, shared("NetworkPolicy", "all-to-https")),
    (policies.namespaces_are_restricted, lambda items: find(items, "Namespace")["metadata"].pop("labels")),
    (
        policies.namespaces_are_restricted,
        lambda items: find(items, "Namespace")["metadata"]["labels"].pop("pod-security.kubernetes.io/warn-version"),
    ),
    (policies.namespaces_are_restricted, lambda items: find(items, "Deployment")["metadata"].pop("namespace")),
    (policies.purging_reaches_mlflow, lambda items: settings(items).update(UNLEARNING_MLFLOW_ARTIFACTS="s3://other")),
    (policies.artifacts_go_where_settings_say, without("ConfigMap", names.LAUNCHER)),
    (
        policies.artifacts_go_where_settings_say,
        lambda items: settings(items).update(UNLEARNING_PIPELINE_ROOT="s3://x/y"),
    ),
    (policies.artifacts_go_where_settings_say, lambda items: settings(items).pop("AWS_ENDPOINT_URL")),
    (policies.artifacts_go_where_settings_say, lambda items: providing(items, disableSSL=False)),
    (policies.artifacts_go_where_settings_say, lambda items: providing(items, endpiont="typo")),
    (policies.artifacts_go_where_settings_say, lambda items: providing(items, credentials={"fromEnv": False})),
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
@pytest.mark.parametrize("several", [False, True])
def test_what_the_scheduler_calls_makes_the_recurring_run(
    rendered: dict[str, list[Object]], tmp_path: Path, several: bool
) -> None:
    """Its very arguments, against Kubeflow's API on localhost, twice: the second time nothing changes."""
    called, program = scheduler(rendered["local"]), Path(sys.executable).with_name("unlearn")
    (tmp_path / "token").write_text("right")
    with serving() as kubeflow:
        kubeflow.several_users = several
        assert "--namespace=$(POD_NAMESPACE)" in called["args"]
        arguments = [each.replace("$(POD_NAMESPACE)", "unlearning") for each in called["args"]]
        arguments = [each for each in arguments if not each.startswith("--endpoint=")]
        command = [program, *called["command"][1:], *arguments, f"--endpoint={kubeflow.url}", "--json"]
        environment = {each["name"]: each["value"] for each in called["env"] if "value" in each}
        told = os.environ | environment | {"UNLEARNING_KFP_TOKEN_FILE": str(tmp_path / "token")}
        done = [
            json.loads(subprocess.run(command, env=told, capture_output=True, check=True).stdout)["done"]
            for _ in range(2)
        ]
        (made,) = kubeflow.schedules.values()
        (experiment,) = kubeflow.experiments.values()
    assert experiment.namespace == ("unlearning" if several else None)
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
