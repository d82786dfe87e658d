"""Real runs of both pipelines through kfp.local, each started once and looked at by several tests."""

from __future__ import annotations

import html
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from kfp.local.cache import LocalCache

from pipelines.local import unlearning
from pipelines.local.unlearning import artifacts_of, new_run_id, run_locally
from pipelines.parameters import LocalRun
from tests import margins
from unlearning.audit.escalation import accepted_statement
from unlearning.core.errors import EXIT_NOT_PROMOTED, EXIT_OK, UserError
from unlearning.core.files import read_json, write_json
from unlearning.data import forget_set, snapshots, splits
from unlearning.learning import models
from unlearning.recipes import provenance
from unlearning.registry.client import Registry, Version
from unlearning.reporting import summary
from unlearning.reporting.summary import Summary

UNLEARN = Path(sys.executable).with_name("unlearn")
WIDE = ("--forget-fraction", "0.4", *margins.OPTIONS)
SIMCLR = """\
paradigm:
  name: simclr
  temperature: 0.2
  projector_hidden: [16]
  projection: 8
  augmentation: {crop_min_scale: 0.6, flip: 0.0, brightness: 0.2, contrast: 0.2}
"""
EPOCHS = 600
EVERY = 10
LONG = f"{{training: {{epochs: {EPOCHS}}}, checkpoint_every: {EVERY}}}"
PATIENCE = 240.0
"""Seconds after which something that should happen is taken not to happen."""


@dataclass(frozen=True)
class Finished:
    """A run that came to its end."""

    home: Path
    code: int
    out: str
    err: str

    @property
    def folder(self) -> Path:
        return self.home / "run"

    @cached_property
    def summary(self) -> Summary:
        return summary.load(self.folder / "summary.json")

    @cached_property
    def versions(self) -> list[Version]:
        return Registry(f"sqlite:///{self.home / 'mlflow.db'}").versions("tiny")


def environment(home: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("UNLEARNING_", "MLFLOW_"))}
    return ours | {"UNLEARNING_HOME": str(home), "UNLEARNING_COMMIT": "test", "OMP_NUM_THREADS": "1"}


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    """`unlearn run` in a process group of its own."""
    return subprocess.Popen(
        [UNLEARN, "run", "--run-id", "run", *arguments],
        env=environment(home),
        cwd=home.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(home: Path, *arguments: str) -> Finished:
    process = start(home, *arguments)
    out, err = process.communicate(timeout=2 * PATIENCE)
    return Finished(home, process.returncode, out, err)


def kill_after_the_first_checkpoint(process: subprocess.Popen[str], home: Path) -> None:
    """SIGKILL to the runner and its task as soon as there is something to resume from."""
    try:
        deadline = time.monotonic() + PATIENCE
        while not list(home.glob("checkpoints/*/state.safetensors")):
            assert process.poll() is None, "the run ended before its first checkpoint"
            assert time.monotonic() < deadline, "no checkpoint appeared"
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Path) -> Finished:
    """A supervised run killed during pretraining, then resumed; its margins let any candidate pass."""
    home = tmp_path_factory.mktemp("resumed") / "home"
    arguments = ("--recipe", str(tiny_recipe), "--overrides", LONG, *WIDE)
    kill_after_the_first_checkpoint(start(home, *arguments), home)
    assert not (home / "run" / "summary.json").exists()
    return finish(home, *arguments)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Path) -> Finished:
    """A SimCLR run that forgets too few records to be judged, and leaves that to a person."""
    home = tmp_path_factory.mktemp("stopped") / "home"
    few = ("--forget-fraction", "0.02", "--on-inconclusive", "stop")
    return finish(home, "--recipe", str(tiny_recipe), "--overrides", SIMCLR, *few)


@pytest.fixture(scope="module")
def accepted(stopped: Finished) -> Finished:
    """The same run, gone on with by somebody who accepts what could not be judged."""
    assert stopped.summary
    assert stopped.versions, "read before anything changes"
    parameters = stopped.folder / "run.json"
    write_json(parameters, read_json(parameters, "run") | {"on_inconclusive": "accept"})
    return finish(stopped.home)


@pytest.fixture(scope="module")
def escalated(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Path) -> Finished:
    """A whole class is to be forgotten by a method that changes next to nothing, even where it is escalated, so
    an exact retraining must help.

    To the retrained model the class is strange and its AUC far below that of the candidate.
    """
    home = tmp_path_factory.mktemp("escalated") / "home"
    forget = ("--forget-kind", "class", "--forget-class", "3")
    idle = ("--method", "finetune", "--method-overrides", "{epochs: 1, learning_rate: 1.0e-9}")
    more = "{training: {epochs: 40}, split: {members: 200, holdout: 800}}"
    policy = (*margins.OPTIONS, "--auc-margin", "0.45")
    return finish(home, "--recipe", str(tiny_recipe), "--overrides", more, *forget, *idle, *policy)


@pytest.fixture(scope="module")
def by_references(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Path) -> Finished:
    """A run that retrains nothing, and trains on two processes; its margins let any candidate pass."""
    home = tmp_path_factory.mktemp("by-references") / "home"
    two = ("--processes", "2", "--references", "8", "--compare-with", "references")
    return finish(home, "--recipe", str(tiny_recipe), *WIDE, *two)


@pytest.fixture(scope="module")
def escalated_by_references(by_references: Finished) -> Finished:
    """The same run, gone on with by somebody whose margin nothing can keep: the escalation policy goes to its end."""
    assert by_references.summary
    assert by_references.versions, "read before anything changes"
    parameters = by_references.folder / "run.json"
    strict = {"auc_margin": 0.001, "on_failure": "retrain", "stronger": 0}
    write_json(parameters, read_json(parameters, "run") | strict)
    return finish(by_references.home)


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Path) -> Finished:
    """Overrides so wild that no number stays finite: only exact retraining is left."""
    home = tmp_path_factory.mktemp("diverged") / "home"
    wild = ("--method-overrides", "{optimisation: {learning_rate: 1.0e30}}")
    return finish(home, "--recipe", str(tiny_recipe), *WIDE, *wild)


def test_a_passed_run_ends_well_and_names_what_it_made(resumed: Finished) -> None:
    assert resumed.code == EXIT_OK, resumed.err
    assert "verdict: passed; promoted: unlearned" in resumed.out
    assert "error" not in resumed.err
    assert "lineage: unlearn lineage show tiny" in resumed.out


def test_a_passed_run_leaves_summary_report_and_link(resumed: Finished) -> None:
    found = resumed.summary
    assert (found.run_id, found.paradigm, found.promoted) == ("run", "supervised", "unlearned")
    assert (resumed.home / "latest").resolve() == resumed.folder.resolve()
    assert "</html>" in (resumed.folder / "report.html").read_text()


def test_the_champion_is_the_unlearned_version(resumed: Finished) -> None:
    original, unlearned = resumed.versions
    assert (original.aliases, original.tags.status) == (("superseded",), "superseded")
    assert (unlearned.aliases, unlearned.tags.status) == (("champion",), "serving")
    found = resumed.summary
    assert found.registry.versions == {"original": original.version, "unlearned": unlearned.version}
    assert found.registry.champion == unlearned.version
    assert found.models["original"].digest == original.tags.digest
    assert found.models["unlearned"].digest == unlearned.tags.digest


def test_a_resumed_run_takes_finished_tasks_from_the_cache(resumed: Finished) -> None:
    for task in ("ingest", "split"):
        assert f"· {task}: done before, taken from the cache" in resumed.err
    assert "· pretrain\n" in resumed.err


def test_whatever_the_cache_holds_can_be_taken_from_it(resumed: Finished) -> None:
    """An entry with an output that has no file, such as metrics, is a miss: the training would be done again."""
    cache = LocalCache(str(resumed.folder / "tasks" / ".kfp_cache"))
    keys = [path.stem for path in Path(cache.cache_root).glob("*.json")]
    assert len(keys) >= 7, "ingest, split, pretrain, evaluate, select, unlearn twice"
    assert all(cache.get(key) is not None for key in keys)


def test_a_resumed_training_goes_on_from_its_checkpoint(resumed: Finished) -> None:
    totals = [int(total) for total in re.findall(r"pretrain: \d+/(\d+)  ", resumed.err)]
    assert len(set(totals)) == 1
    assert 0 < totals[0] < EPOCHS
    assert totals[0] % EVERY == 0
    assert not [path for path in (resumed.home / "checkpoints").rglob("*") if path.is_file()]


def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(
    resumed: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unlearning.steps.pretrain import pretrain

    monkeypatch.setenv("UNLEARNING_CHECKPOINTS", str(tmp_path / "checkpoints"))
    (ingested,) = resumed.folder.glob("tasks/pretraining-*/ingest")
    (split,) = resumed.folder.glob("tasks/pretraining-*/split/split")
    result = pretrain(
        snapshot_path=ingested / "snapshot",
        split_path=split,
        recipe_path=ingested / "resolved_recipe",
        seed=0,
        device="cpu",
        model_path=tmp_path / "model",
    )
    assert result.digest == resumed.summary.models["original"].digest
    (served,) = resumed.folder.glob("tasks/pretraining-*/pretrain/model/weights.safetensors")
    assert models.digest(served.parent) == result.digest


def test_the_artifacts_of_a_finished_run_are_those_of_its_summary(resumed: Finished) -> None:
    found, told = artifacts_of(resumed.home / "latest"), resumed.summary
    assert {name: models.digest(path) for name, path in found.models.items()} == {
        name: model.digest for name, model in told.models.items()
    }
    assert snapshots.load(found.snapshot).manifest.digest == told.snapshot.digest
    assert splits.load(found.split).digest == told.split.digest
    assert forget_set.load(found.forget).digest == told.forget.digest


def test_models_that_are_not_there_any_more_are_named(resumed: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    told = resumed.summary
    other = told.models["unlearned"].model_copy(update={"digest": "0" * 64})
    changed = told.model_copy(update={"models": told.models | {"unlearned": other}})
    monkeypatch.setattr(summary, "load", lambda path: changed)
    with pytest.raises(UserError, match=r"the unlearned model of .* is gone: it was purged or moved, run again"):
        artifacts_of(resumed.folder)


def test_a_run_that_is_not_there_or_not_finished_has_no_artifacts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not the folder of a run: give one, or start one with unlearn run"):
        artifacts_of(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"summary\.json does not exist"):
        artifacts_of(tmp_path)


@pytest.mark.slow
def test_a_failed_run_that_stops_says_so_with_its_exit_code(stopped: Finished) -> None:
    assert stopped.code == EXIT_NOT_PROMOTED, stopped.err
    assert "promoted: nothing" in stopped.out
    found = stopped.summary
    assert (found.paradigm, found.promoted, found.accepted) == ("simclr", None, None)
    assert [(attempt.name, attempt.verdict.outcome, attempt.action) for attempt in found.attempts] == [
        ("first", "inconclusive", "person")
    ]
    assert "only 6 forget records were audited" in found.verdict.reasons[0]
    assert (stopped.folder / "report.html").exists()


@pytest.mark.slow
def test_a_failed_candidate_is_on_record_and_the_original_still_serves(stopped: Finished) -> None:
    original, unlearned = stopped.versions
    assert (original.aliases, original.tags.status) == (("champion",), "serving")
    assert (unlearned.aliases, unlearned.tags.status) == ((), "rejected")
    assert unlearned.tags.verdict == "inconclusive"
    assert (unlearned.tags.attempt, unlearned.tags.action, unlearned.tags.accepted) == ("first", "person", "no")
    assert stopped.summary.registry.champion == original.version == "1"


@pytest.mark.slow
def test_what_could_not_be_judged_serves_where_that_is_accepted_and_says_so(accepted: Finished) -> None:
    assert accepted.code == EXIT_OK, accepted.err
    assert "promoted: unlearned, accepted although the audit could not tell" in accepted.out
    found = accepted.summary
    assert (found.verdict.outcome, found.promoted) == ("inconclusive", "unlearned")
    assert found.accepted == accepted_statement(found.verdict.reasons)
    assert found.accepted in html.unescape((accepted.folder / "report.html").read_text())
    original, rejected, serving = accepted.versions
    assert (original.tags.status, rejected.tags.status) == ("superseded", "rejected")
    assert (serving.aliases, serving.tags.status) == (("champion",), "serving")
    assert (serving.tags.verdict, serving.tags.accepted) == ("inconclusive", "yes")
    assert serving.tags.statement == found.accepted
    assert serving.description.startswith(found.accepted)


@pytest.mark.nightly
def test_a_failed_candidate_is_replaced_by_an_exactly_retrained_one(escalated: Finished) -> None:
    assert escalated.code == EXIT_OK, escalated.err
    found = escalated.summary
    assert (found.verdict.outcome, found.promoted, found.accepted) == ("leaks", "retrained", None)
    assert [(attempt.name, attempt.verdict.outcome, attempt.action, attempt.version) for attempt in found.attempts] == [
        ("first", "leaks", "stronger", "2"),
        ("stronger_1", "leaks", "retrain", "3"),
        ("retrained", "passed", "promote", "4"),
    ]
    assert [attempt.settings["epochs"] for attempt in found.attempts] == [1, 2, 40]
    assert found.forget.kind == "class"
    original, *rejected, retrained = escalated.versions
    assert [each.tags.status for each in escalated.versions] == ["superseded", "rejected", "rejected", "serving"]
    assert [each.tags.attempt for each in rejected] == ["first", "stronger_1"]
    assert {each.tags.parent for each in (*rejected, retrained)} == {original.version}
    assert retrained.aliases == ("champion",)
    assert found.registry.versions == {"original": "1", "unlearned": "3", "retrained": "4"}


@pytest.mark.nightly
def test_every_attempt_is_in_mlflow_with_an_audit_of_its_own(escalated: Finished) -> None:
    for attempt, version in zip(escalated.summary.attempts, escalated.versions[1:], strict=True):
        (artifacts,) = (escalated.home / "mlartifacts").glob(f"**/{version.tags.run}/artifacts")
        audited = read_json(artifacts / "audit.json", "audit")
        assert audited["models"]["candidate"]["model"] == version.tags.digest == attempt.digest


@pytest.mark.nightly
def test_the_artifacts_of_an_escalated_run_are_those_of_its_summary(escalated: Finished) -> None:
    found, told = artifacts_of(escalated.folder), escalated.summary
    assert {name: models.digest(path) for name, path in found.models.items()} == {
        name: model.digest for name, model in told.models.items()
    }
    assert models.digest(found.models["unlearned"]) == told.attempts[1].digest


@pytest.mark.nightly
def test_the_retrained_model_that_is_promoted_is_not_its_own_reference(escalated: Finished) -> None:
    assert escalated.versions[-1].tags.digest != escalated.summary.models["retrained"].digest


def weights_of(folder: Path) -> set[str]:
    """Every task of the unlearning pipeline that wrote the weights of a model, references aside."""
    found = (folder / "tasks").glob(f"unlearning-*/**/{models.WEIGHTS_FILE}")
    inside = [path.relative_to(folder / "tasks").parts for path in found]
    return {part[-3] for part in inside if "references" not in part}


@pytest.mark.nightly
def test_a_run_that_compares_with_references_retrains_nothing(by_references: Finished) -> None:
    assert by_references.code == EXIT_OK, by_references.err
    assert weights_of(by_references.folder) == {"resolve", "unlearn"}
    assert "train retrain" not in (by_references.folder / "run.log").read_text()
    found = by_references.summary
    assert (found.verdict.outcome, found.verdict.compared_with, found.promoted) == ("passed", "references", "unlearned")
    assert list(found.models) == ["original", "unlearned"]
    assert {each.reference for each in found.verdict.comparisons} == {"references"}
    assert "lira_online" in {each.attack for each in found.verdict.comparisons}


@pytest.mark.nightly
def test_its_report_shows_no_retrained_model(by_references: Finished) -> None:
    page = (by_references.folder / "report.html").read_text()
    assert "models not trained on the records" in page
    assert "Nothing was retrained to compare with" in page
    for told in ('<th scope="col">retrained</th>', "exactly retrained model", "the time of exact retraining"):
        assert told not in page, told
    found = artifacts_of(by_references.folder)
    assert {name: models.digest(path) for name, path in found.models.items()} == {
        name: model.digest for name, model in by_references.summary.models.items()
    }
    assert {provenance.load(path).processes for path in found.models.values()} == {2}


@pytest.mark.nightly
def test_its_versions_say_what_they_were_compared_with(by_references: Finished) -> None:
    assert [version.tags.compared_with for version in by_references.versions] == ["none", "references"]
    assert "every accuracy is within 0.9 of the original's" in by_references.versions[1].description


@pytest.mark.nightly
def test_exact_retraining_as_last_attempt_is_compared_with_references_too(escalated_by_references: Finished) -> None:
    found = escalated_by_references.summary
    assert found.attempts[-1].name == "retrained", escalated_by_references.err
    assert found.attempts[-1].method == "retrain"
    assert {attempt.verdict.compared_with for attempt in found.attempts} == {"references"}
    assert list(found.models) == ["original", "unlearned"]
    page = (escalated_by_references.folder / "report.html").read_text()
    assert "× the time of exact retraining" in page
    assert '<th scope="col">retrained</th>' not in page


@pytest.mark.nightly
def test_a_method_that_diverges_is_a_failed_attempt_and_the_escalation_goes_on(diverged: Finished) -> None:
    assert diverged.code == EXIT_OK, diverged.err
    assert "verdict: diverged; promoted: retrained" in diverged.out
    assert "tried:   first setting: diverged, then retrain; version none" in diverged.out
    found = diverged.summary
    assert [(attempt.name, attempt.verdict.outcome, attempt.action, attempt.version) for attempt in found.attempts] == [
        ("first", "diverged", "retrain", "none"),
        ("retrained", "passed", "promote", "2"),
    ]
    assert "the loss became nan" in found.verdict.reasons[0]
    assert found.attempts[0].settings["optimisation"]["learning_rate"] == 1e30
    page = html.unescape((diverged.folder / "report.html").read_text())
    assert found.verdict.reasons[0] in page
    assert "The unlearned model diverged" in page


@pytest.mark.nightly
def test_what_diverged_is_no_version_and_nobodys_reference(diverged: Finished) -> None:
    original, retrained = diverged.versions
    assert (original.tags.status, retrained.tags.status) == ("superseded", "serving")
    found = diverged.summary
    assert found.registry.versions == {"original": "1", "retrained": "2"}
    assert found.models["unlearned"].digest == original.tags.digest
    assert found.models["retrained"].digest not in (original.tags.digest, retrained.tags.digest)
    assert models.digest(artifacts_of(diverged.folder).models["unlearned"]) == original.tags.digest


def test_an_interrupted_run_says_how_to_go_on(home: Path, tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(unlearning, "tried_once", lambda pipeline: interrupted)
    monkeypatch.setattr(os, "environ", dict(os.environ))  # tasks inherit it; this process must not
    with pytest.raises(UserError, match="give --run-id mine to resume"):
        run_locally(LocalRun(recipe=str(tiny_recipe)), run_id="mine", quiet=True)
    assert (home / "mine" / "run.json").exists()


@pytest.mark.parametrize("content", [{"surprise": 1}, []])
def test_a_folder_that_holds_no_run_is_refused(home: Path, tiny_recipe: Path, content: object) -> None:
    write_json(home / "mine" / "run.json", content)
    with pytest.raises(UserError, match="does not hold the parameters of a run"):
        run_locally(LocalRun(recipe=str(tiny_recipe)), run_id="mine")


def test_a_run_is_named_after_its_recipe_in_characters_that_a_folder_bears() -> None:
    name = new_run_id(LocalRun(recipe="somewhere/my best recipe.yaml", seed=3))
    assert re.fullmatch(r"\d{8}-\d{6}-my-best-recipe-s3-[0-9a-f]{4}", name)
