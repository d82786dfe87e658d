"""Compiled pipelines, with nothing said twice.

KFP's compiler writes executors and components once for every use. Those of every attempt are the same, so half of
what it writes goes. It also writes the source of a component into its container, which the image holds anyway: there
the container names the component. And it has a trap (version 2.17): Kubernetes settings that name a parameter are
looked up among the inputs of the DAG that a task stands in, where a branch calls it `pipelinechannel--…`; executors of
pipelines inside others may be merged under the name of one place. Such a name is an error here, not on the cluster.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from typing import Any

import yaml

import components
from components.execute import COMMAND
from unlearning.core.files import canonical_json

Document = dict[str, Any]

FUNCTION = "--function_to_execute"
COMPONENTS = frozenset(module.name for module in pkgutil.iter_modules(components.__path__))
"""Modules of the image, each with the component of its name."""


def deduplicate(text: str) -> str:
    """A compiled pipeline, its comment included, put right; the same text gives the same text."""
    comment = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    specification, platform = yaml.load_all(text, yaml.CSafeLoader)
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]
    executors, components = specification["deploymentSpec"]["executors"], specification["components"]
    kept = _Kept(executors, settings["executors"])
    for dag in _dags(specification):
        inputs = dag.get("inputDefinitions", {}).get("parameters", {})
        for task in dag["dag"]["tasks"].values():
            task["componentRef"]["name"] = kept.component(task["componentRef"]["name"], components, inputs)
    inner = {name: each for name, each in components.items() if "dag" in each}
    specification["components"] = inner | kept.components
    specification["deploymentSpec"]["executors"], settings["executors"] = kept.executors, kept.settings
    documents = (yaml.dump(each, Dumper=yaml.CSafeDumper, sort_keys=True) for each in (specification, platform))
    return comment + "---\n".join(documents)


def _dags(specification: Document) -> Iterator[Document]:
    yield specification["root"]
    yield from (each for each in specification["components"].values() if "dag" in each)


class _Kept:
    """Executors and components, each once."""

    def __init__(self, executors: Document, settings: Document) -> None:
        self.given, self.given_settings = executors, settings
        self.executors: Document = {}
        self.settings: Document = {}
        self.components: Document = {}
        self._names: dict[str, str] = {}

    def component(self, name: str, components: Document, inputs: Document) -> str:
        """The name of the component that a task runs which stands in a DAG with these inputs."""
        found = components[name]
        if "dag" in found:
            return name
        found = found | {"executorLabel": self._executor(found["executorLabel"], inputs)}
        kept = self._name(found, name)
        self.components[kept] = found
        return kept

    def _executor(self, label: str, inputs: Document) -> str:
        container, settings = by_name(self.given[label]), _reached(self.given_settings[label], inputs)
        kept = self._name([container, settings], label)
        self.executors[kept], self.settings[kept] = container, settings
        return kept

    def _name(self, content: Any, wanted: str) -> str:
        """What is the same has the first name that was wanted for it."""
        return self._names.setdefault(canonical_json(content), wanted)


def by_name(executor: Document) -> Document:
    """The executor, its component run by name from the image instead of from source that stands in its command.

    Raises:
        KeyError: it does not run a component of ours.
    """
    container = executor["container"]
    arguments = container["args"]
    name = arguments[arguments.index(FUNCTION) + 1] if FUNCTION in arguments else ""
    if name not in COMPONENTS:
        raise KeyError(f"{name!r} is no component that the image holds")
    return executor | {"container": container | {"command": [*COMMAND]}}


def _reached(settings: Document, inputs: Document) -> Document:
    """The settings.

    Raises:
        KeyError: they name a parameter that the DAG does not have.
    """
    selector = settings.get("nodeSelector", {}).get("nodeSelectorJson", {})
    named = selector.get("componentInputParameter")
    if named is not None and named not in inputs:
        raise KeyError(f"{named} does not reach a task whose nodes it names")
    return settings
