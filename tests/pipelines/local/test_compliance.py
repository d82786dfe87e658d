"""Three generations of one model through kfp.local: trained, then two compliance batches, then purged.

The same scenario on this machine alone, and with store and registry as on a cluster: PostgreSQL behind MLflow's server,
S3 behind both, which keeps every version of an object. Each is lived through once and looked at by all tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests import forked, margins, services
from tests.conftest import set_home
from tests.unlearning.erasures import found_in
from unlearning.core.files import write_json
from unlearning.data import snapshots, splits
from unlearning.learning import models
from unlearning.steps import evaluate, ingest, pretrain, register, split

UNLEARN = Path(sys.executable).with_name("unlearn")
PATIENCE = 600.0
RECEIVED = "2026-01-02T03:04:05Z"
MODEL = "tiny"
SERVICES = bool(os.environ.get(services.REQUIRED))
FIRST, SECOND, UNHELD = "CASE-1", "CASE-2", "CASE-3"


@dataclass(frozen=True)
class Answer:
    """What a command gave."""

    code: int
    out: str
    err: str

    @cached_property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass
class Scenario:
    """Where it happens, and what it left."""

    folder: Path
    services: Mapping[str, str]
    """How the services are reached; nothing where it all happens in a folder."""
    fork: forked.Run
    """For commands that run no pipeline."""
    ids: dict[str, tuple[str, ...]] = field(default_factory=dict)
    secrets: dict[str, bytes] = field(default_factory=dict)
    """What a purge must find, by name."""
    snapshots: dict[str, str] = field(default_factory=dict)
    batches: dict[str, Answer] = field(default_factory=dict)
    before: dict[str, list[str]] = field(default_factory=dict)
    """Where the secrets were at first."""

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def recipe(self) -> Path:
        return self.folder / "tiny.yaml"

    @property
    def settings(self) -> dict[str, str]:
        ours = {"UNLEARNING_HOME": str(self.home), "UNLEARNING_COMMIT": "test", "OMP_NUM_THREADS": "1"}
        return {**self.services, **ours}

    def environment(self, *, alone: bool = False) -> dict[str, str]:
        others = ("UNLEARNING_", "MLFLOW_", "AWS_")
        ours = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        return ours | ({} if alone else self.settings)

    def run(self, *arguments: object, alone: bool = False) -> Answer:
        """An `unlearn` command that runs no pipeline; `alone` sees neither settings nor services."""
        done = self.fork([*map(str, arguments)], self.environment(alone=alone), self.folder)
        return Answer(done.returncode, done.stdout, done.stderr)

    def honour(self, batch: str, *arguments: object) -> Answer:
        """A compliance batch, in a process of its own."""
        given = ("--run-id", batch, "--json", *margins.OPTIONS, *map(str, arguments))
        done = subprocess.run(
            [str(UNLEARN), "compliance", "run", *given],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def ask(self, *requests: tuple[str, tuple[str, ...]]) -> None:
        asked = [{"id": name, "records": ids, "received": RECEIVED} for name, ids in requests]
        write_json(self.folder / "asked.json", asked)
        answer = self.run("requests", "import", self.folder / "asked.json")
        assert answer.code == 0, answer.err

    def batch(self, name: str, *arguments: object) -> None:
        self.batches[name] = self.honour(name, *arguments)

    def lineage(self, *arguments: object) -> Any:
        return self.run("lineage", *arguments, "--json").json

    def contents(self) -> dict[str, bytes]:
        """Every file below the home, what the services logged, and every version of every object in the bucket."""
        paths = [*self.home.rglob("*"), *self.folder.glob("*.log")]
        files = {str(path): path.read_bytes() for path in paths if path.is_file()}
        if not self.services:
            return files
        client = services.client(self.services)
        pages = client.get_paginator("list_object_versions").paginate(Bucket=services.BUCKET)
        versions = [each for page in pages for each in page.get("Versions", ())]
        for each in sorted(versions, key=lambda each: bool(each["IsLatest"])):
            which = {"Bucket": services.BUCKET, "Key": each["Key"], "VersionId": each["VersionId"]}
            name = f"s3://{each['Key']}" if each["IsLatest"] else f"{each['VersionId']} of s3://{each['Key']}"
            files[name] = client.get_object(**which)["Body"].read()
        return files

    def found(self) -> dict[str, list[str]]:
        """Where the secrets are."""
        return found_in(self.contents(), self.secrets)


def train(scenario: Scenario) -> None:
    """A version that serves, made by the steps in this process: without a task's seconds of imports for each."""
    at = {name: scenario.folder / "original" / name for name in ("snapshot", "split", "resolved", "model", "before")}
    data: dict[str, Any] = {"snapshot_path": at["snapshot"], "split_path": at["split"]}
    ingest.ingest(
        recipe=str(scenario.recipe), overrides="", seed=0, snapshot_path=at["snapshot"], recipe_path=at["resolved"]
    )
    split.split(snapshot_path=at["snapshot"], recipe_path=at["resolved"], seed=0, split_path=at["split"])
    pretrain.pretrain(**data, recipe_path=at["resolved"], seed=0, device="cpu", model_path=at["model"])
    original = {"original": at["model"]}
    evaluate.evaluate(**data, model_paths=original, forget_path=None, device="cpu", evaluation_path=at["before"])
    register.register(
        model_path=at["model"],
        split_path=at["split"],
        evaluation_path=at["before"],
        model_name=MODEL,
        run_name="made",
    )
    members, snapshot = splits.load(at["split"]).members, snapshots.load(at["snapshot"])
    scenario.snapshots["1"] = snapshot.manifest.digest
    scenario.ids = {FIRST: members[:60], SECOND: members[60:120]}
    for name, ids in scenario.ids.items():
        scenario.secrets |= {
            f"record {number} of {name}": image.numpy().tobytes()
            for number, image in enumerate(snapshot.rows(ids).images)
        }
    scenario.secrets["weights of version 1"] = layer(at["model"])


def layer(folder: Path) -> bytes:
    """The largest layer of a model, as its bytes stand in a file."""
    tensors = load_file(folder / models.WEIGHTS_FILE).values()
    return max(tensors, key=lambda tensor: tensor.numel()).numpy().tobytes()


def prepare(scenario: Scenario) -> None:
    """Train a model in the scenario's home."""
    with pytest.MonkeyPatch.context() as patch:
        # Tests before this one may have handed settings down to tasks of their own.
        set_home(patch, scenario.home)
        for name in ("UNLEARNING_MLFLOW_ARTIFACTS", *services.FOREIGN):
            patch.delenv(name, raising=False)
        for name, value in scenario.settings.items():
            patch.setenv(name, value)
        train(scenario)


def live(scenario: Scenario) -> None:
    """Train; ask, honour and purge at once; ask and honour again."""
    prepare(scenario)
    scenario.ask((FIRST, scenario.ids[FIRST]), (UNHELD, ("0" * 64,)))
    scenario.before = scenario.found()
    scenario.batch("batch-1", "--grace-days", 0)
    (made,) = scenario.home.glob(f"batch-1/tasks/**/candidate/{models.WEIGHTS_FILE}")
    scenario.secrets["weights of version 2"] = layer(made.parent)
    scenario.ask((SECOND, scenario.ids[SECOND]))
    scenario.batch("batch-2")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("embedded", marks=pytest.mark.skipif(SERVICES, reason="the same with services is there")),
        pytest.param("services", marks=pytest.mark.slow),
    ],
)
def test_one_batch_honours_one_request_and_certifies_it(
    kind: str, tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Path
) -> None:
    """What the longer scenario below looks into, once."""
    folder = tmp_path_factory.mktemp("one-batch")
    around = services.running(folder) if kind == "services" else nullcontext()
    with around as running, forked.commands() as fork:
        scenario = Scenario(folder, running.environment if running else {}, fork)
        scenario.recipe.write_text(tiny_recipe.read_text())
        prepare(scenario)
        scenario.ask((FIRST, scenario.ids[FIRST]))
        scenario.batch("batch-1", "--grace-days", 0)
        (told,) = scenario.batches["batch-1"].json["requests"]
        assert (told["request"]["status"], told["request"]["certified"]) == ("fulfilled", True)
        (content,) = [content for path, content in scenario.contents().items() if path.endswith(told["certificate"])]
        certificate = folder / "certificate"
        certificate.write_bytes(content)
        keyring = scenario.home / "keys" / "keyring.json"
        assert scenario.run("verify", certificate, "--keyring", keyring, alone=True).code == 0
        assert scenario.run("ledger", "verify").code == 0
        left = scenario.found()
        assert [name for name in left if SECOND not in name] == [], "the grace period was none"


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("embedded", marks=pytest.mark.nightly),
        pytest.param("services", marks=pytest.mark.nightly),
    ],
)
def scenario(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Path
) -> Iterator[Scenario]:
    folder = tmp_path_factory.mktemp(str(request.param))
    around = services.running(folder) if request.param == "services" else nullcontext()
    with around as running, forked.commands() as fork:
        scenario = Scenario(folder, running.environment if running else {}, fork)
        scenario.recipe.write_text(tiny_recipe.read_text())
        live(scenario)
        yield scenario


def test_every_request_is_honoured_and_certified(scenario: Scenario) -> None:
    for batch, request in (("batch-1", FIRST), ("batch-2", SECOND)):
        (told,) = scenario.batches[batch].json["requests"]
        assert (told["request"]["id"], told["request"]["status"], told["request"]["certified"]) == (
            request, "fulfilled", True,
        )  # fmt: skip
        assert told["request"]["models"] == {MODEL: "fulfilled"}
        assert told["certificate"]


def test_a_request_for_what_nobody_has_is_told_so(scenario: Scenario) -> None:
    assert scenario.run("requests", "show", UNHELD, "--json").json["status"] == "nothing_found"


def test_three_generations_each_without_what_was_asked_for(scenario: Scenario) -> None:
    first, second, third = scenario.lineage("show", MODEL)
    assert [each["tags"]["kind"] for each in (first, second, third)] == ["original", "unlearned", "unlearned"]
    assert [each["tags"]["parent"] for each in (first, second, third)] == ["none", "1", "2"]
    assert third["aliases"] == ["champion"]
    contents, gone = scenario.contents(), set()
    for each, request in ((second, FIRST), (third, SECOND)):
        gone |= {*scenario.ids[request]}
        (split,) = [
            json.loads(content) for path, content in contents.items() if path.endswith(f"{each['tags']['split']}.json")
        ]
        assert len(split["members"]) == 300 - len(gone)
        assert not gone & {*split["members"], *split["calibration"], *split["holdout"], *split["test"]}


def test_which_version_serves_and_what_it_replaced(scenario: Scenario) -> None:
    serving = scenario.lineage("serving", MODEL)
    assert (serving["version"], serving["replaced"], serving["requests"]) == ("3", "2", [FIRST, SECOND])
    for version, successor, batch, request in (("1", "2", "batch-1", FIRST), ("2", "3", "batch-2", SECOND)):
        told = scenario.lineage("replaced", MODEL, version)
        assert (told["replaced_by"], told["batch"], told["requests"]) == (successor, batch, [request])


def test_what_it_was_made_from(scenario: Scenario) -> None:
    told = scenario.lineage("ancestors", MODEL, "champion")
    assert [each["version"] for each in told["steps"]] == ["3", "2", "1"]
    assert all(each["parent_matches"] for each in told["steps"])
    assert told["snapshots"][-1] == scenario.snapshots["1"]
    related = scenario.lineage("trained-on", scenario.snapshots["1"])["versions"]
    assert [(each["version"], each["relation"]) for each in related] == [
        ("1", "trained"), ("2", "descended"), ("3", "descended"),
    ]  # fmt: skip


def test_who_has_not_honoured_a_request_and_who_did_first(scenario: Scenario) -> None:
    first, second = scenario.lineage("pending", FIRST), scenario.lineage("pending", SECOND)
    assert ([each["version"] for each in first["stored"]], [each["version"] for each in first["purged"]]) == ([], ["1"])
    assert [each["version"] for each in second["stored"]] == ["2"]
    for request, version in ((FIRST, "2"), (SECOND, "3")):
        (told,) = scenario.lineage("honoured", request)["versions"]
        assert (told["version"], told["serves"], told["still"]) == (version, "3", True)
        assert told["certificate"].startswith(f"certificates/{request}/")


def test_every_promoted_version_has_an_audit_that_passed(scenario: Scenario) -> None:
    for version in ("2", "3"):
        assert scenario.lineage("audit", MODEL, version)["outcome"] == "passed"


def test_what_is_left_of_each_version(scenario: Scenario) -> None:
    states = {
        version: {each["kind"]: each["state"] for each in scenario.lineage("artefacts", MODEL, version)["artefacts"]}
        for version in ("1", "2", "3")
    }
    assert [states[version]["weights"] for version in ("1", "2", "3")] == ["purged", "withdrawn", "live"]
    assert states["1"]["snapshot"] == "purged"


def test_certificates_are_verified_without_any_service(scenario: Scenario) -> None:
    keyring = scenario.home / "keys" / "keyring.json"
    for request in (FIRST, SECOND):
        found = {path: content for path, content in scenario.contents().items() if f"certificates/{request}/" in path}
        certificates = [content for path, content in found.items() if path.endswith(".json")]
        assert certificates
        for content in certificates:
            path = scenario.folder / "certificate"
            path.write_bytes(content)
            assert scenario.run("verify", path, "--keyring", keyring, alone=True).code == 0
            path.write_bytes(content.replace(request.encode(), b"CASE-9", 1) + b" ")
            assert scenario.run("verify", path, "--keyring", keyring, alone=True).code == 3


def test_the_ledger_verifies(scenario: Scenario) -> None:
    assert scenario.run("ledger", "verify").code == 0


def test_what_was_purged_is_nowhere_and_what_was_not_is_found(scenario: Scenario) -> None:
    """The bytes of every erased record and of the old weights, looked for in every file and object there is."""
    assert scenario.before.keys() == scenario.secrets.keys() - {"weights of version 2"}, "they are found where they are"
    left = {*scenario.found()}
    asked_first = {name for name in scenario.secrets if name.endswith(f"of {FIRST}")}
    assert len(asked_first) == len(scenario.ids[FIRST])
    assert not left & (asked_first | {"weights of version 1"})
    assert "weights of version 2" in left, "its days of grace are not over"


def test_a_batch_that_is_run_again_changes_nothing(scenario: Scenario) -> None:
    def written() -> dict[str, bytes]:
        return {
            path: content
            for path, content in scenario.contents().items()
            if "store/ledger/" in path or "store/certif" in path
        }

    before = written()
    again = scenario.honour("batch-2")
    assert again.json["requests"] == scenario.batches["batch-2"].json["requests"]
    assert written() == before
    assert scenario.lineage("serving", MODEL)["version"] == "3"


def test_credentials_are_in_no_file_object_or_log(scenario: Scenario) -> None:
    if not scenario.services:
        pytest.skip("there are none")
    secrets = {name: value.encode() for name, value in services.CREDENTIALS.items()}
    assert found_in({"here": b"x" + secrets["AWS_ACCESS_KEY_ID"]}, secrets), "the search finds one"
    assert found_in(scenario.contents(), secrets) == {}
    told = "".join(answer.out + answer.err for answer in scenario.batches.values())
    assert not any(value in told for value in services.CREDENTIALS.values())
