"""A request for three records, honoured by a method that was qualified for so few, without any training again."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import forked, margins
from tests.conftest import set_home
from tests.pipelines.local.test_compliance import FIRST, MODEL, PATIENCE, UNLEARN, Answer, Scenario, prepare
from unlearning.core import settings
from unlearning.data import splits
from unlearning.registry.client import Registry, Version
from unlearning.steps import references

SIZE, SETS = 3, 10


def unlearn(scenario: Scenario, *arguments: object) -> Answer:
    """A command that runs a pipeline, in a process of its own."""
    done = subprocess.run(
        [str(UNLEARN), *map(str, arguments)],
        env=scenario.environment(),
        cwd=scenario.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def with_references(scenario: Scenario) -> None:
    at = scenario.folder / "original"
    data: dict[str, Any] = {f"{name}_path": at / name for name in ("model", "snapshot", "split")}
    part = at / "part"
    references.make(**data, count=8, numbers=range(8), device="cpu", references_path=part)
    references.gather(parts=[part], references_path=at / "references")


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Path) -> Iterator[Scenario]:
    folder = tmp_path_factory.mktemp("qualified")
    with forked.commands() as fork, pytest.MonkeyPatch.context() as patch:
        found = Scenario(folder, {}, fork)
        found.recipe.write_text(tiny_recipe.read_text())
        prepare(found)
        set_home(patch, found.home)
        with_references(found)
        qualified = ("qualify", "--model-name", MODEL, "--method", "finetune", "--sizes", SIZE, "--sets", SETS)
        found.batches["qualify"] = unlearn(found, *qualified, *margins.OPTIONS, "--run-id", "fit", "--json")
        found.batches["shown"] = found.run("lineage", "show", MODEL)
        ids = splits.load(folder / "original" / "split").members[:SIZE]
        found.ids = {FIRST: ids}
        found.ask((FIRST, ids))
        policy = ("--method", "finetune", "--on-inconclusive", "qualified", "--compare-with", "references")
        found.batch("few", *policy, "--grace-days", 0)
        yield found


def versions(scenario: Scenario) -> list[Version]:
    return Registry(settings.from_environment().tracking_uri).versions(MODEL)


def test_the_method_is_qualified_and_the_original_shows_it(scenario: Scenario) -> None:
    (found,) = scenario.batches["qualify"].json
    assert (found["outcome"], found["size"], found["sets"]) == ("qualified", SIZE, SETS), found["reasons"]
    assert f"finetune for 3 records: qualified: {SETS} sets of 3" in scenario.batches["shown"].out.replace("\n", " ")
    assert (scenario.home / "fit" / "qualifications.json").exists()


def test_the_request_is_honoured_without_training_again(scenario: Scenario) -> None:
    (told,) = scenario.batches["few"].json["requests"]
    assert (told["request"]["status"], told["request"]["certified"]) == ("fulfilled", True)
    original, serving = versions(scenario)
    assert (serving.tags.kind, serving.tags.method, serving.tags.attempt) == ("unlearned", "finetune", "first")
    assert (serving.aliases, serving.tags.accepted, serving.tags.verdict) == (("champion",), "yes", "inconclusive")
    assert serving.tags.qualified_by.startswith(f"qualified: {SETS} sets of 3, ")
    assert serving.tags.statement.startswith("Accepted by qualification: the audit could not tell")
    assert f"{SETS} simulated sets of 3" in serving.tags.statement
    assert original.tags.qualified_by == "none"
    page = next(scenario.home.glob("few/tasks/**/page")).read_text()
    assert "Accepted by qualification" in page


def test_the_certificate_says_exactly_that(scenario: Scenario) -> None:
    (told,) = scenario.batches["few"].json["requests"]
    path = scenario.home / "store" / told["certificate"]
    keyring = scenario.home / "keys" / "keyring.json"
    assert scenario.run("verify", path, "--keyring", keyring, alone=True).code == 0
    payload = json.loads(base64.b64decode(json.loads(path.read_text())["payload"]))["predicate"]
    (model,) = payload["models"]
    assert (model["how"], model["made"]["method"], model["forgotten"]["records"]) == ("accepted", "finetune", SIZE)
    (found,) = model["qualifications"]
    assert (found["size"], found["sets"], found["references"]) == (SIZE, SETS, 8)
    assert {each["name"] for each in found["attacks"]} == {each["name"] for each in model["audit"]["attacks"]}
    assert model["audit"]["statement"].startswith("Accepted by qualification")
    assert any("simulated sets holds for these records" in each for each in payload["not_claimed"])
    page = path.with_suffix(".html").read_text()
    assert "serves by qualification" in page
    assert f"{SETS} simulated sets of 3 records" in page


def test_what_the_original_was_qualified_by_is_purged_with_it(scenario: Scenario) -> None:
    left = [path for path in (scenario.home / "store").rglob("*") if path.is_file()]
    assert not [path for path in left if {"qualifications", "references"} & set(path.parts)]
    assert not [*scenario.home.rglob("forgotten-sets.json")], "what models showed of single records"
    assert not [*scenario.home.rglob("checkpoints/qualification-*")]
