"""What is put right in compiled pipelines changes nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from kfp import compiler

from pipelines.compile import PIPELINES, load
from pipelines.deduplicate import deduplicate

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


@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_every_task_runs_what_it_ran(texts: dict[str, str], name: str) -> None:
    before, after = ([*ran(text)] for text in (texts[name], deduplicate(texts[name])))
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        assert one == other


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
