"""What is put right in compiled pipelines changes nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import yaml
from kfp import compiler

from components.execute import COMMAND
from pipelines.compile import PIPELINES, load
from pipelines.deduplicate import by_name, deduplicate

pytestmark = pytest.mark.slow

Document = dict[str, Any]
NODES = "gpu_nodes"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """As KFP's compiler leaves them."""
    folder = tmp_path_factory.mktemp("compiled")
    for name in PIPELINES:
        compiler.Compiler().compile(load(name), str(folder / f"{name}.yaml"))
    return {name: (folder / f"{name}.yaml").read_text() for name in PIPELINES}


def ran(text: str) -> Iterator[tuple[str, str, Document, Document, set[str]]]:
    """By an independent walk: where each task stands, its name, container, settings, and the inputs of its DAG."""
    specification, platform = yaml.load_all(text, yaml.CSafeLoader)
    containers = specification["deploymentSpec"]["executors"]
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]

    def walk(where: str, dag: Document) -> Iterator[tuple[str, str, Document, Document, set[str]]]:
        inputs = {*dag.get("inputDefinitions", {}).get("parameters", {})}
        for name, task in sorted(dag["dag"]["tasks"].items()):
            component = specification["components"][task["componentRef"]["name"]]
            if "dag" in component:
                yield from walk(f"{where}/{name}", component)
            else:
                label = component["executorLabel"]
                told = {key: value for key, value in component.items() if key != "executorLabel"}
                yield f"{where}/{name}", str(told), containers[label], settings[label], inputs

    yield from walk("", specification["root"])


def selector(settings: Document) -> str:
    return str(settings.get("nodeSelector", {}).get("nodeSelectorJson", {}).get("componentInputParameter", ""))


def without_source(executor: Document) -> Document:
    """The executor without its command, once the source in it is that of the image's component of its name."""
    container = dict(executor["container"])
    name = container["args"][-1]
    source = inspect.getsource(getattr(import_module(f"components.{name}"), name).python_func)
    assert source.removeprefix("@component\n") in container.pop("command")[-1]
    return executor | {"container": container}


@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_every_task_runs_what_it_ran(texts: dict[str, str], name: str) -> None:
    before, after = ([*ran(text)] for text in (texts[name], deduplicate(texts[name])))
    assert len(before) == len(after)
    for (*one, executor, settings, inputs), (*other, by_its_name, same, those) in zip(before, after, strict=True):
        assert (one, settings, inputs) == (other, same, those)
        container = dict(by_its_name["container"])
        assert container.pop("command") == [*COMMAND]
        assert without_source(executor) == by_its_name | {"container": container}


@pytest.mark.parametrize("arguments", [["--function_to_execute", "nothing"], ["--function_to_execute", "os"], []])
def test_what_the_image_does_not_hold_is_loud(arguments: list[str]) -> None:
    with pytest.raises(KeyError, match="is no component that the image holds"):
        by_name({"container": {"args": arguments, "command": ["sh"]}})


@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_the_labels_of_nodes_reach_every_task_that_asks_for_them(texts: dict[str, str], name: str) -> None:
    asked = 0
    for where, _, container, settings, inputs in ran(deduplicate(texts[name])):
        on_gpu = "accelerator" in container["container"].get("resources", {})
        assert (selector(settings) != "") == on_gpu, where
        if on_gpu:
            assert selector(settings) in inputs, where
            assert selector(settings).removeprefix("pipelinechannel--") == NODES
            asked += 1
    assert asked


@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_nothing_is_said_twice(texts: dict[str, str], name: str) -> None:
    text = deduplicate(texts[name])
    specification, platform = yaml.load_all(text, yaml.CSafeLoader)
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors = [
        str([container, settings[label]]) for label, container in specification["deploymentSpec"]["executors"].items()
    ]
    assert len(executors) == len({*executors})
    assert {*settings} == {*specification["deploymentSpec"]["executors"]}
    plain = [str(each) for each in specification["components"].values() if "executorLabel" in each]
    assert len(plain) == len({*plain})
    assert deduplicate(text) == text
    assert len(text) <= len(texts[name])


def test_the_comment_for_people_stays(texts: dict[str, str]) -> None:
    first = texts["unlearning"].partition("\ncomponents:")[0]
    assert first.startswith("# PIPELINE DEFINITION\n# Name: unlearning")
    assert deduplicate(texts["unlearning"]).startswith(first)


def test_labels_that_reach_no_task_are_loud(texts: dict[str, str]) -> None:
    specification, platform = yaml.load_all(texts["pretraining"], yaml.CSafeLoader)
    specification["root"]["inputDefinitions"]["parameters"].pop(NODES)
    with pytest.raises(KeyError, match="gpu_nodes does not reach a task whose nodes it names"):
        deduplicate(yaml.safe_dump_all([specification, platform]))
