from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from components.base import IMAGE
from components.execute import COMMAND
from pipelines.compile import PIPELINES, compile_all
from unlearning.audit.escalation import ATTEMPTS, NO_ATTEMPT, escalation_level, next_attempt
from unlearning.cluster import names as cluster_names

Document = dict[str, Any]
GPUS = "pipelinechannel--gpus"
PLATFORMS = "platforms"
"""Where the second document is kept: what is Kubernetes' own."""

SIGNING_VARIABLE = "UNLEARNING_SIGNING_KEY_FILE"
ON_GPU = {"pretrain", "references", "select", "retrain_or_none", "unlearn", "judge", "evaluate", "forget_sets"}
CACHED = {
    "pretraining": {
        "tombstones": False,
        "ingest": True,
        "split": True,
        "pretrain": True,
        "plan_references": True,
        "references": True,
        "gather_references": False,
        "evaluate": True,
        "register": False,
    },
    "qualification": {"resolve": False, "plan_sets": True, "forget_sets": True, "qualify": False},
    "unlearning": {
        "resolve": False,
        "select": True,
        "retrain_or_none": True,
        "unlearn": True,
        "judge": False,
        "conclude": False,
    },
}
CACHED["compliance"] = CACHED["unlearning"] | dict.fromkeys(
    ("batch_name", "collect", "fulfil", "certify", "purge", "release"), False
)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {path.stem: path for path in compile_all(tmp_path_factory.mktemp("compiled"))}


@pytest.fixture(params=sorted(PIPELINES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def documents(compiled: dict[str, Path]) -> dict[str, Document]:
    """Parsed once: half a megabyte of YAML takes a second. Tests read them and never change them."""
    return {name: parsed(path) for name, path in compiled.items()}


def parsed(path: Path) -> Document:
    content, platforms = yaml.load_all(path.read_text(), yaml.CSafeLoader)
    assert isinstance(content, dict)
    return content | {PLATFORMS: platforms["platforms"]}


def specification(document: Document) -> Document:
    return {key: value for key, value in document.items() if key != PLATFORMS}


def kubernetes_settings(document: Document) -> Iterator[tuple[str, Document]]:
    """The component's name, and what Kubernetes is told of it."""
    settings = document[PLATFORMS]["kubernetes"]["deploymentSpec"]["executors"]
    for label, executor in document["deploymentSpec"]["executors"].items():
        yield function_of(executor), settings[label]


@pytest.fixture
def document(documents: dict[str, Document], name: str) -> Document:
    return documents[name]


def dags(document: Document) -> Iterator[tuple[str, Document]]:
    """Every component that is a DAG, the root first."""
    yield "root", document["root"]
    for name, component in document["components"].items():
        if "dag" in component:
            yield name, component


def tasks(document: Document) -> Iterator[tuple[str, Document, Document]]:
    """The component's name, the task and the DAG it is in, of every task that runs a container."""
    for _, dag in dags(document):
        for task in dag["dag"]["tasks"].values():
            component = document["components"][task["componentRef"]["name"]]
            if "executorLabel" in component:
                executor = document["deploymentSpec"]["executors"][component["executorLabel"]]
                yield function_of(executor), task, dag


def function_of(executor: Document) -> str:
    arguments = executor["container"]["args"]
    return str(arguments[arguments.index("--function_to_execute") + 1])


def executors(document: Document) -> Iterator[tuple[str, Document]]:
    for executor in document["deploymentSpec"]["executors"].values():
        yield function_of(executor), executor["container"]


@pytest.mark.slow
def test_the_same_sources_give_the_same_bytes(compiled: dict[str, Path], name: str, tmp_path: Path) -> None:
    again = {path.stem: path for path in compile_all(tmp_path)}
    assert again[name].read_bytes() == compiled[name].read_bytes()


def test_kubeflow_accepts_the_document(document: Document) -> None:
    read = json_format.ParseDict(specification(document), pipeline_spec_pb2.PipelineSpec())
    assert read.pipeline_info.name in PIPELINES
    assert read.pipeline_info.description


def test_every_parameter_is_described_and_has_a_default(document: Document) -> None:
    parameters = document["root"]["inputDefinitions"]["parameters"]
    assert {"device", "gpus", "seed"} <= set(parameters)
    assert {"run_name", "batch", "sets"} & set(parameters), "what names the work; a qualification registers nothing"
    for parameter, definition in parameters.items():
        assert definition["description"].strip(), parameter
        assert "defaultValue" in definition, parameter


def test_every_image_is_ours(document: Document) -> None:
    assert {container["image"] for _, container in executors(document)} == {IMAGE}


def test_the_tasks_that_compute_ask_for_the_gpus_of_the_parameter(document: Document) -> None:
    found = set()
    for function, container in executors(document):
        accelerator = container.get("resources", {}).get("accelerator")
        if function in ON_GPU:
            assert accelerator["resourceCount"] == "{{$.inputs.parameters['" + GPUS + "']}}", function
            assert accelerator["resourceType"] == "nvidia.com/gpu"
            found.add(function)
        else:
            assert accelerator is None, function
    assert found


def test_the_number_of_gpus_reaches_every_task_that_asks_for_it(document: Document) -> None:
    """KFP's compiler hands a parameter that only a limit names to no nested DAG."""
    for function, task, dag in tasks(document):
        if function not in ON_GPU:
            continue
        source = task["inputs"]["parameters"][GPUS]["componentInputParameter"]
        assert source in dag["inputDefinitions"]["parameters"], function
        assert source == ("gpus" if "gpus" in dag["inputDefinitions"]["parameters"] else GPUS)
        handed = task["inputs"]["parameters"]["hardware"]["runtimeValue"]["constant"]
        assert handed["gpus"] == "{{$.inputs.parameters['" + GPUS + "']}}", "what the limit refers to"


AMOUNTS = {"resourceCpuRequest": "cpus", "resourceMemoryRequest": "memory", "resourceMemoryLimit": "memory"}


def test_every_task_asks_for_cores_and_memory_those_that_compute_by_parameters(document: Document) -> None:
    """And what they ask for reaches them: KFP resolves it among the task's inputs."""
    asked = {function: container["resources"] for function, container in executors(document)}
    for function, resources in asked.items():
        told = {name: resources[name] for name in AMOUNTS}
        channels = {name: "{{$.inputs.parameters['pipelinechannel--" + each + "']}}" for name, each in AMOUNTS.items()}
        fixed = {"resourceCpuRequest": "100m", "resourceMemoryRequest": "1Gi", "resourceMemoryLimit": "8Gi"}
        assert told == (channels if function in ON_GPU else fixed), function
        assert "resourceCpuLimit" not in resources, "cores that are free may be used"
    for function, task, dag in tasks(document):
        for name in ("cpus", "memory") if function in ON_GPU else ():
            source = task["inputs"]["parameters"][f"pipelinechannel--{name}"]["componentInputParameter"]
            assert source.removeprefix("pipelinechannel--") == name
            assert source in dag["inputDefinitions"]["parameters"], function


def accelerators_of(count: object) -> dict[str, str]:
    """What KFP's driver makes of a resolved limit (2.17): it reads text, and takes any other type for none."""
    return {"nvidia.com/gpu": count} if isinstance(count, str) and count not in ("", "0") else {}


@pytest.mark.parametrize(("asked", "got"), [("0", {}), ("1", {"nvidia.com/gpu": "1"}), ("8", {"nvidia.com/gpu": "8"})])
def test_as_the_driver_reads_it_the_limit_is_what_was_asked_for(
    document: Document, asked: str, got: dict[str, str]
) -> None:
    """The form, and every DAG on the way down to the task, hand the number on as text."""
    definition = document["root"]["inputDefinitions"]["parameters"]["gpus"]
    assert definition["parameterType"] == "STRING"
    assert accelerators_of(definition["defaultValue"]) == {}
    for _, dag in dags(document):
        for name, each in dag.get("inputDefinitions", {}).get("parameters", {}).items():
            if name in ("gpus", GPUS):
                assert each["parameterType"] == "STRING", name
    assert accelerators_of(asked) == got
    assert accelerators_of(1) == {}, "why it is text"


def test_nothing_that_must_be_there_follows_from_the_runs_display_name(document: Document) -> None:
    """It is empty in recurring runs, and nobody holds it unique."""
    text = str(document)
    assert "pipeline_job_name" not in text
    assert "{{$.pipeline_job_uuid}}" in text


def test_every_nested_dag_hands_the_number_of_gpus_on(document: Document) -> None:
    for _, dag in dags(document):
        for name, task in dag["dag"]["tasks"].items():
            inner = document["components"][task["componentRef"]["name"]]
            wanted = inner.get("inputDefinitions", {}).get("parameters", {})
            if GPUS in wanted:
                source = task["inputs"]["parameters"][GPUS]["componentInputParameter"]
                assert source in (GPUS, "gpus")
                assert source in dag["inputDefinitions"]["parameters"], name


def test_what_reads_the_world_or_judges_always_runs(document: Document, name: str) -> None:
    cached: dict[str, set[bool]] = {}
    for function, task, _ in tasks(document):
        cached.setdefault(function, set()).add(task["cachingOptions"].get("enableCache", False))
    assert cached == {function: {wanted} for function, wanted in CACHED[name].items()}


def test_every_task_has_a_name_for_people(document: Document) -> None:
    for function, task, _ in tasks(document):
        assert task["taskInfo"]["name"] not in ("", function)


def test_conditions_compare_with_a_closed_vocabulary(document: Document, name: str) -> None:
    """A local run pastes values into the condition: nothing but outcomes and on_failure may stand there."""
    conditions = [
        task["triggerPolicy"]["condition"]
        for _, dag in dags(document)
        for task in dag["dag"]["tasks"].values()
        if "condition" in task.get("triggerPolicy", {})
    ]
    quoted = {text for condition in conditions for text in re.findall(r"'([^']*)'", condition)}
    if name in ("pretraining", "qualification"):
        assert quoted == set()
        return
    values = {text for text in quoted if not text.startswith("pipelinechannel--")}
    inputs = {text.removeprefix("pipelinechannel--") for text in quoted - values}
    assert values == {NO_ATTEMPT}
    assert NO_ATTEMPT not in ATTEMPTS
    assert inputs == {"conclude-Output", "conclude-2-Output", "conclude-3-Output"}


def holds(condition: str, values: dict[str, str]) -> bool:
    """A condition of KFP: one comparison."""
    found = re.fullmatch(r"inputs\.parameter_values\['pipelinechannel--([\w-]+)'\] != '(\w+)'", condition)
    assert found, condition
    return values[found[1]] != found[2]


def names_run(document: Document, follows: list[str]) -> list[str]:
    """Names of the tasks that run when the attempts return these, one after the other."""
    left, names = list(follows), []

    def visit(dag: Document, values: dict[str, str]) -> None:
        inside = dag["dag"]["tasks"]
        concluded = [name for name in inside if re.fullmatch(r"conclude(-\d+)?", name)]
        values = values | {f"{name}-Output": left.pop(0) for name in concluded}
        for task in inside.values():
            component = document["components"][task["componentRef"]["name"]]
            if not holds(task["triggerPolicy"]["condition"], values) if "triggerPolicy" in task else False:
                continue
            if "dag" in component:
                visit(component, values)
            else:
                names.append(task["taskInfo"]["name"])

    visit(document["root"], {})
    assert not left, "every attempt was made"
    return names


ONCE = ["Resolve model version", "Select forget set", "Retrain as reference, or none"]
EACH = ["Unlearn", "Audit, evaluate and decide", "Register and report"]


def escalations() -> Iterator[list[str]]:
    """Every way through the escalation policy, as the actions that are decided on."""

    def go_on(attempt: str, path: list[str]) -> Iterator[list[str]]:
        yield from ([*path, end] for end in ("promote", "accept", "person"))
        if attempt != "retrained":
            yield from go_on("retrained", [*path, "retrain"])
        if attempt in ("first", "stronger_1"):
            yield from go_on("stronger_1" if attempt == "first" else "stronger_2", [*path, "stronger"])

    return go_on("first", [])


@pytest.mark.parametrize("actions", list(escalations()), ids="-".join)
def test_every_way_through_the_policy_makes_each_attempt_once(
    documents: dict[str, Document], actions: list[str]
) -> None:
    attempt, follows = "first", []
    for action in actions:
        attempt = next_attempt(action, attempt)  # type: ignore[arg-type]
        follows.append(attempt)
    again = [f"{name}, attempt {number}" for number in range(2, len(actions) + 1) for name in EACH]
    assert sorted(names_run(documents["unlearning"], follows)) == sorted(ONCE + EACH + again)


def test_there_is_an_attempt_for_every_way_through_the_policy() -> None:
    """As many nested attempts as the longest way has: every escalated setting, then exact retraining."""
    assert max(len(way) for way in escalations()) == len(ATTEMPTS)
    assert max(escalation_level(name) for name in ATTEMPTS) == len(ATTEMPTS) - 2


def test_a_container_names_its_component_and_carries_no_source(document: Document) -> None:
    for function, container in executors(document):
        assert container["command"] == [*COMMAND], function
        assert container["args"] == ["--executor_input", "{{$}}", "--function_to_execute", function]


def test_what_is_read_from_a_source_is_cached_by_the_tombstones_of_now(documents: dict[str, Document]) -> None:
    inside = documents["pretraining"]["root"]["dag"]["tasks"]
    given = inside["ingest"]["inputs"]["parameters"]["tombstones"]
    assert given == {"taskOutputParameter": {"outputParameterKey": "Output", "producerTask": "tombstones"}}


def test_nothing_is_done_before_the_parameters_were_looked_at(documents: dict[str, Document]) -> None:
    inside = documents["unlearning"]["root"]["dag"]["tasks"]
    assert [name for name, task in inside.items() if not task.get("dependentTasks")] == ["resolve"]
    assert "accelerator" not in str(dict(executors(documents["unlearning"]))["resolve"]), "nobody waits for a GPU first"


def test_what_is_judged_and_registered_is_the_candidate_of_the_same_attempt(documents: dict[str, Document]) -> None:
    """`conclude-2` registers what `judge-2` judged, which `unlearn-2` made."""
    looked = 0
    for _, dag in dags(documents["unlearning"]):
        for name, task in dag["dag"]["tasks"].items():
            found = re.fullmatch(r"(judge|conclude)((?:-\d+)?)", name)
            if found is None:
                continue
            given = task["inputs"]["artifacts"]
            assert given["candidate"]["taskOutputArtifact"]["producerTask"] == f"unlearn{found[2]}"
            if found[1] == "conclude":
                assert given["judged"]["taskOutputArtifact"]["producerTask"] == f"judge{found[2]}"
                action = task["inputs"]["parameters"]["action"]["taskOutputParameter"]
                assert action == {"outputParameterKey": "Output", "producerTask": f"judge{found[2]}"}
            looked += 1
    assert looked == 2 * len(ATTEMPTS)


def test_kubeflow_accepts_the_kubernetes_settings(document: Document) -> None:
    for _, settings in kubernetes_settings(document):
        json_format.ParseDict(settings, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


def test_every_task_gets_the_settings_and_the_object_store(document: Document) -> None:
    for function, settings in kubernetes_settings(document):
        given = {
            pair["envVar"]: source["optional"] for source in settings["configMapAsEnv"] for pair in source["keyToEnv"]
        }
        assert set(given) - {SIGNING_VARIABLE} == set(cluster_names.SETTINGS_KEYS), function
        assert {name for name, optional in given.items() if optional} == {"AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL"}
        assert {source["configMapName"] for source in settings["configMapAsEnv"]} == {cluster_names.SETTINGS}
        (secret,) = settings["secretAsEnv"]
        assert secret["secretName"] == cluster_names.OBJECT_STORE
        assert not secret["optional"]
        assert [pair["envVar"] for pair in secret["keyToEnv"]] == list(cluster_names.OBJECT_STORE_KEYS)
        assert [mount["mountPath"] for mount in settings["pvcMount"]] == [cluster_names.CACHE_PATH]


def test_only_the_tasks_that_certify_or_look_whether_they_can_see_the_key(documents: dict[str, Document]) -> None:
    seeing = []
    for document in documents.values():
        for function, settings in kubernetes_settings(document):
            volumes = {volume["secretName"]: volume["mountPath"] for volume in settings.get("secretAsVolume", [])}
            told = SIGNING_VARIABLE in str(settings)
            assert (
                (function in ("certify", "batch_name"))
                == told
                == (volumes == {cluster_names.SIGNING_KEY: cluster_names.SIGNING_PATH})
            )
            seeing += [function] if volumes else []
    assert {*seeing} == {"certify", "batch_name"}


def test_no_task_runs_as_root(document: Document) -> None:
    for _, settings in kubernetes_settings(document):
        context = settings["securityContext"]
        assert context["runAsNonRoot"] is True
        assert int(context["runAsUser"]) == int(context["runAsGroup"]) > 0


def test_tasks_that_may_have_a_gpu_are_let_onto_its_nodes_and_have_time_and_shared_memory(document: Document) -> None:
    for function, settings in kubernetes_settings(document):
        tolerated = [each["key"] for each in settings.get("tolerations", [])]
        assert tolerated == (["nvidia.com/gpu"] if function in ON_GPU else [])
        seconds = int(settings["activeDeadlineSeconds"])
        assert seconds == (7 * 24 * 3600 if function in ON_GPU else 6 * 3600)
        mounts = [(each["mountPath"], each["medium"]) for each in settings.get("emptyDirMounts", [])]
        assert mounts == ([("/dev/shm", "Memory")] if function in ON_GPU else [])  # noqa: S108


def test_only_what_may_come_from_the_cache_is_tried_again(document: Document, name: str) -> None:
    for function, task, _ in tasks(document):
        again = task.get("retryPolicy")
        assert (again is not None) == CACHED[name][function], function
        assert again is None or (again["maxRetryCount"], again["backoffFactor"]) == (2, 2.0)


def test_what_is_tried_again_may_be_so_for_as_long_as_a_task_may_take(document: Document) -> None:
    """The backend counts from the start of the first attempt."""
    stopped = {name: int(settings["activeDeadlineSeconds"]) for name, settings in kubernetes_settings(document)}
    tried = {function: task["retryPolicy"] for function, task, _ in tasks(document) if "retryPolicy" in task}
    assert {name: each["backoffMaxDuration"] for name, each in tried.items()} == {
        name: f"{stopped[name]}s" for name in tried
    }


TRAINING = {"pretrain", "unlearn", "retrain_or_none"}
SPREAD = {"nodes", "node_gpus", "processes", "gpu_nodes"}


def test_tasks_that_train_are_told_how_many_train_and_know_their_pod_and_image(document: Document) -> None:
    for function, settings in kubernetes_settings(document):
        told = {each["name"]: each["fieldPath"] for each in settings.get("fieldPathAsEnv", [])}
        assert told == (cluster_names.OWN_POD if function in TRAINING else {}), function
    for function, container in executors(document):
        given = {each["name"]: each["value"] for each in container.get("env", [])}
        assert given == ({"UNLEARNING_IMAGE": IMAGE} if function in TRAINING else {}), function
    for function, task, dag in tasks(document):
        given = task.get("inputs", {}).get("parameters", {})
        handed = given.get("hardware", {}).get("runtimeValue", {}).get("constant", {})
        assert set(handed) >= SPREAD if function in TRAINING else not SPREAD & set(handed), function
        for name in SPREAD & set(handed):
            channel = f"pipelinechannel--{name}"
            assert handed[name] == "{{$.inputs.parameters['" + channel + "']}}"
            source = given[channel]["componentInputParameter"]
            assert source.removeprefix("pipelinechannel--") == name
            assert source in dag["inputDefinitions"]["parameters"]


def test_pods_of_a_run_that_ended_are_deleted_in_time(document: Document) -> None:
    config = document[PLATFORMS]["kubernetes"]["pipelineConfig"]
    assert (config["resourceTtlOnSuccess"], config["resourceTtlOnFailure"]) == (7 * 24 * 3600, 30 * 24 * 3600)
