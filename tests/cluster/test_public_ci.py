"""The workflow of the public CI cannot be run here: what it names must exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import access
from unlearning.cluster import names

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def text() -> str:
    return (ROOT / ".github/workflows/cluster.yml").read_text()


@pytest.fixture(scope="module")
def workflow(text: str) -> Any:
    return yaml.safe_load(text)


def test_it_says_first_that_it_was_not_run(text: str) -> None:
    assert text.startswith("# NOT RUN YET")


def test_it_gives_the_suite_all_that_it_needs(workflow: Any, text: str) -> None:
    given = {*workflow["env"], *re.findall(r'echo "(\w+)=.*>> "\$GITHUB_ENV"', text)}
    assert set(access.REQUIRED) <= given


def test_overlay_and_targets_exist(workflow: Any, text: str) -> None:
    assert (ROOT / "manifests/overlays" / workflow["env"]["OVERLAY"] / "kustomization.yaml").exists()
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^ +make ([a-z-]+)", text, re.MULTILINE))
    assert targets == {"images", "test-cluster"}
    assert all(f"\n{target}:" in makefile for target in targets)


def test_it_makes_the_secrets_that_tasks_and_servers_read(text: str) -> None:
    made = set(re.findall(r"^ +secret (unlearning-[a-z-]+)", text, re.MULTILINE))
    assert made == {names.OBJECT_STORE, names.SIGNING_KEY, "unlearning-postgres"}
    assert all(f"{key}=" in text for key in names.OBJECT_STORE_KEYS)
    assert f"--from-file={Path(names.SIGNING_FILE).name}" in text


def test_it_runs_the_release_of_kubeflow_that_we_compile_for(workflow: Any) -> None:
    assert f"kfp=={workflow['env']['KFP_VERSION']}" in (ROOT / "pyproject.toml").read_text()
