"""Steps on several processes, and on several nodes by a Trainer on localhost that really starts them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from tests.pipelines.kubernetes_server import reached
from tests.unlearning.trainer_server import Trainer, conditions
from unlearning.cli.steps import app
from unlearning.cluster import launch, names
from unlearning.cluster.workers import Workers
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.learning import models
from unlearning.recipes import provenance
from unlearning.recipes.recipe import validate_recipe
from unlearning.steps.pretrain import pretrain
from unlearning.steps.retrain_or_none import retrain_or_none
from unlearning.steps.unlearn import unlearn

Chain = dict[str, Path]


@pytest.fixture
def trainer(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trainer]:
    """A Trainer, and a task's pod that may use it."""
    assert chain, "sets the home"
    monkeypatch.setenv("UNLEARNING_CHECKPOINTS", str(tmp_path / "shared"))
    monkeypatch.setenv("UNLEARNING_IMAGE", "unlearning:1")
    for variable, value in {"POD_NAME": "a-pod", "POD_UID": "1-2-3", "POD_NAMESPACE": names.NAMESPACE}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr("unlearning.cluster.trainjob.TrainJobs.follow.__kwdefaults__", {"poll": 0.05, "patience": 5.0})
    with reached(Trainer(tmp_path), tmp_path, monkeypatch) as running:
        yield running


def training(chain: Chain, out: Path) -> dict[str, Any]:
    paths = {"snapshot_path": chain["snapshot"], "split_path": chain["split"], "recipe_path": chain["resolved"]}
    return paths | {"seed": 0, "device": "cpu", "model_path": out}


def forgetting(chain: Chain, out: Path, **changed: Any) -> dict[str, Any]:
    paths = {f"{name}_path": chain[name] for name in ("model", "snapshot", "split", "forget")}
    return paths | {"method": "finetune", "overrides": "", "seed": 3, "device": "cpu", "candidate_path": out} | changed


def weights(path: Path) -> dict[str, torch.Tensor]:
    return models.load(path, torch.device("cpu")).state_dict()


SGD = "{optimisation: {optimiser: sgd}}"
"""Adam makes as much of the rounding of a gradient that should be zero as of any other gradient."""


def plain(chain: Chain, path: Path) -> Path:
    """The recipe, with SGD."""
    recipe = validate_recipe(read_json(chain["resolved"], "recipe"), "recipe")
    changed = recipe.training.model_copy(update={"optimiser": "sgd", "learning_rate": 0.05})
    write_json(path, recipe.model_copy(update={"training": changed}).model_dump(mode="json"))
    return path


def alike(one: Path, other: Path) -> bool:
    """Up to rounding: several processes add in another order."""
    first, second = weights(one), weights(other)
    return all(torch.allclose(first[key], second[key], rtol=1e-3, atol=1e-3) for key in first)


@pytest.mark.parametrize("command", [launch.PRETRAIN, launch.UNLEARN], ids=lambda command: str(command.name))
def test_every_option_is_one_of_the_command_line(command: launch.StepCommand) -> None:
    there = typer.main.get_command(app).commands[command.name]  # type: ignore[attr-defined]
    options = {word for parameter in there.params for word in parameter.opts}
    assert {*command.reads.values(), *command.settings.values(), "--out"} <= options
    assert {parameter.opts[0] for parameter in there.params if parameter.required} <= {*command.reads.values(), "--out"}


def test_a_keyword_that_no_option_stands_for_is_loud(chain: Chain, tmp_path: Path) -> None:
    given = forgetting(chain, tmp_path / "out") | {"colour": "red", "attempt": "first", "keep_diverged": False}
    with pytest.raises(TypeError, match="no option for colour"):
        launch.UNLEARN.line(given, given)


def test_alone_it_is_the_step_itself(chain: Chain, tmp_path: Path) -> None:
    found = pretrain(wanted=Workers(), **training(chain, tmp_path / "model"))
    assert found.digest == models.digest(chain["model"])


@pytest.mark.nightly
def test_two_processes_train_what_one_trains(chain: Chain, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given = {"recipe_path": plain(chain, tmp_path / "recipe.json")}
    found = pretrain(wanted=Workers(processes=2), **training(chain, tmp_path / "two") | given)
    assert found.digest == models.digest(tmp_path / "two")
    assert found.device == "cpu"
    assert found.seconds > 0
    said = capfd.readouterr()
    assert (said.out.count("digest: "), said.err.count("pretrain: 6/6")) == (1, 1), "the first alone speaks"
    assert [path for path in (chain["home"] / "checkpoints").rglob("*") if path.is_file()] == []
    pretrain(wanted=Workers(), **training(chain, tmp_path / "one") | given)
    assert alike(tmp_path / "two", tmp_path / "one")


@pytest.mark.nightly
def test_two_processes_forget_what_one_forgets(chain: Chain, tmp_path: Path) -> None:
    penalty = {"method": "gradient_matching", "overrides": SGD}
    found = unlearn(wanted=Workers(processes=2), **forgetting(chain, tmp_path / "two", **penalty))
    unlearn(wanted=Workers(), **forgetting(chain, tmp_path / "one", **penalty))
    assert found.diverged == ""
    assert alike(tmp_path / "two", tmp_path / "one")
    made = {name: provenance.load(tmp_path / name) for name in ("one", "two")}
    assert (made["one"].processes, made["two"].processes) == (1, 2)
    same = {"seconds": 0, "processes": 1}
    assert made["one"].model_copy(update=same) == made["two"].model_copy(update=same)


@pytest.mark.nightly
def test_a_method_that_diverges_on_two_processes_is_kept_as_it_was(chain: Chain, tmp_path: Path) -> None:
    given = forgetting(chain, tmp_path / "out", overrides="{learning_rate: 1.0e30}", keep_diverged=True)
    found = unlearn(wanted=Workers(processes=2), **given)
    assert found.diverged.startswith("finetune diverged")
    assert found.digest == models.digest(chain["model"])


@pytest.mark.nightly
def test_a_process_that_fails_is_an_error_and_leaves_nothing(
    chain: Chain, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = forgetting(chain, tmp_path / "out", overrides="{colour: red}")
    with pytest.raises(UserError, match=r"^one of 2 processes failed: what it said stands above$"):
        unlearn(wanted=Workers(processes=2), **given)
    assert "colour" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.nightly
def test_two_nodes_come_to_what_two_processes_come_to(trainer: Trainer, chain: Chain, tmp_path: Path) -> None:
    found = pretrain(wanted=Workers(nodes=2), **training(chain, tmp_path / "nodes"))
    here = pretrain(wanted=Workers(processes=2), **training(chain, tmp_path / "processes"))
    assert found.digest == here.digest
    (job,) = trainer.created
    assert job["metadata"]["ownerReferences"] == [{"apiVersion": "v1", "kind": "Pod", "name": "a-pod", "uid": "1-2-3"}]
    assert job["spec"]["trainer"]["image"] == "unlearning:1"
    assert trainer.deleted == [job["metadata"]["name"]]
    assert list((tmp_path / "shared").iterdir()) == [], "what was copied holds data"


def test_exact_retraining_can_be_spread_too(trainer: Trainer, chain: Chain, tmp_path: Path) -> None:
    trainer.starts, trainer.status = False, conditions("Failed", "on purpose")
    paths = {f"{name}_path": chain[name] for name in ("model", "snapshot", "split", "forget")}
    given: dict[str, Any] = paths | {"compare_with": "retrained", "seed": 1, "device": "cpu"}
    with pytest.raises(UserError, match="on purpose"):
        retrain_or_none(**given, wanted=Workers(nodes=2), retrained_path=tmp_path / "retrained")
    (job,) = trainer.created
    arguments = job["spec"]["trainer"]["args"]
    assert arguments[:3] == ["unlearn", "step", "unlearn"]
    assert {"--method=retrain", "--seed=1"} < {*arguments}


def test_nodes_that_fail_leave_nothing(trainer: Trainer, chain: Chain, tmp_path: Path) -> None:
    trainer.starts, trainer.status = False, conditions("Failed", "a node failed")
    with pytest.raises(UserError, match="failed: a node failed; its pods' logs say why"):
        unlearn(wanted=Workers(nodes=2), **forgetting(chain, tmp_path / "out"))
    assert trainer.jobs == {}
    assert list((tmp_path / "shared").iterdir()) == []
    assert not (tmp_path / "out").exists()


def test_nodes_that_see_another_volume_are_found_out(trainer: Trainer, chain: Chain, tmp_path: Path) -> None:
    trainer.starts, trainer.status = False, conditions("Complete", "done")
    with pytest.raises(UserError, match=r"left nothing in .*: is it on a shared volume"):
        pretrain(wanted=Workers(nodes=2), **training(chain, tmp_path / "out"))
    assert trainer.jobs == {}


def test_a_task_that_is_stopped_takes_its_nodes_with_it(trainer: Trainer, chain: Chain, tmp_path: Path) -> None:
    trainer.starts = False

    def stop() -> None:
        while not trainer.created:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises(SystemExit) as caught:
        pretrain(wanted=Workers(nodes=2), **training(chain, tmp_path / "out"))
    stopping.join()
    assert caught.value.code == 128 + signal.SIGTERM
    assert trainer.jobs == {}
    assert list((tmp_path / "shared").iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_a_task_that_was_cut_off_left_is_made_again(trainer: Trainer, chain: Chain, tmp_path: Path) -> None:
    """A pod that is tried again keeps its name: its TrainJob, and the copies, are of nobody any more."""
    trainer.starts, trainer.status = False, conditions("Failed", "on purpose")

    def attempt() -> Any:
        with pytest.raises(UserError, match="on purpose"):
            pretrain(wanted=Workers(nodes=2), **training(chain, tmp_path / "out"))
        return trainer.created[-1]

    job = attempt()
    name = job["metadata"]["name"]
    trainer.jobs[name] = job
    (tmp_path / "shared" / f"trainjob-{name}" / "in").mkdir(parents=True)
    (tmp_path / "shared" / f"trainjob-{name}" / "in" / "0").write_text("half")
    assert attempt() == job
    assert len(trainer.created) == 2
    assert trainer.jobs == {}
    assert list((tmp_path / "shared").iterdir()) == []


@pytest.mark.parametrize("variable", ["UNLEARNING_IMAGE", "POD_NAME", "POD_UID", "POD_NAMESPACE"])
def test_outside_a_pipeline_on_kubernetes_several_nodes_are_refused(
    trainer: Trainer, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv(variable)
    with pytest.raises(UserError, match=f"^{variable} is not set: several nodes need a task of a pipeline"):
        pretrain(wanted=Workers(nodes=2), **training(chain, tmp_path / "out"))
    assert trainer.created == []


def test_gpus_that_nodes_have_are_what_they_train_on(
    trainer: Trainer, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that sees no GPU must not train on its CPU while it holds one."""
    trainer.starts, trainer.status = False, conditions("Failed", "no GPU here")
    wanted = Workers(nodes=2, node_gpus=4, gpu_nodes={"kind": "A100"})
    with pytest.raises(UserError, match="no GPU here"):
        pretrain(wanted=wanted, **training(chain, tmp_path / "out") | {"device": "auto"})
    (job,) = trainer.created
    assert "--device=cuda" in job["spec"]["trainer"]["args"]
    assert job["spec"]["trainer"]["numProcPerNode"] == 4
    assert job["spec"]["trainer"]["resourcesPerNode"]["limits"] == {"nvidia.com/gpu": "4"}


def test_gpus_that_cannot_be_seen_are_an_error_before_anything_starts(chain: Chain, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match="2 GPUs asked for, but none can be seen"):
        pretrain(wanted=Workers(), **training(chain, tmp_path / "out") | {"device": "auto", "gpus": 2})
