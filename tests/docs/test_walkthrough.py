"""The form's fields and the nodes that docs/walkthrough.md names are those of the pipelines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.compile import load
from tests.docs import pages

PAGE = "docs/walkthrough.md"
SECTIONS = {"pretraining": "## 3. Train\n", "unlearning": "## 4. Forget\n"}
IN_THE_BROWSER = {"Pipelines", "Upload pipeline", "Create run", "Recurring Runs"}
"""Words of the Kubeflow Pipelines UI, not ours."""


def section(heading: str) -> str:
    return pages.text_of(PAGE).partition(heading)[2].partition("\n## ")[0]


def nodes(spec: Any) -> Iterator[str]:
    """Names of all tasks, those inside branches and loops too."""
    for dag in (spec.root.dag, *(each.dag for each in spec.components.values())):
        yield from (task.task_info.name for task in dag.tasks.values())


@pytest.mark.parametrize("name", SECTIONS)
def test_every_field_is_a_parameter(name: str) -> None:
    rows = re.findall(r"^\| (`.*?) \|", section(SECTIONS[name]), re.MULTILINE)
    fields = {field for row in rows for field in re.findall(r"`(\w+)`", row)}
    assert len(fields) >= 4
    assert fields <= set(load(name).pipeline_spec.root.input_definitions.parameters)


def test_every_node_is_one_of_a_pipeline() -> None:
    text = section(SECTIONS["unlearning"]) + section("## 5. Read what came of it\n")
    named = set(re.findall(r"\*\*([^*]+)\*\*", text)) - IN_THE_BROWSER
    assert len(named) >= 4
    assert named <= set(nodes(load("unlearning").pipeline_spec))
