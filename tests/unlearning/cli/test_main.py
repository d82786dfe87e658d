from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from pipelines.local import unlearning
from pipelines.parameters import LocalRun
from unlearning import __version__, recipes
from unlearning.audit import inspection_results
from unlearning.audit.inspection_results import InspectionResults
from unlearning.cli.main import COMMANDS, application
from unlearning.core.errors import EXIT_NOT_PROMOTED, EXIT_OK
from unlearning.data import splits
from unlearning.learning import models
from unlearning.methods import METHODS
from unlearning.reporting import summary
from unlearning.reporting.summary import Summary

Cli = Callable[..., Any]
Chain = dict[str, Path]
Make = Callable[..., Summary]


@pytest.fixture
def refused(cli: Cli, home: Path, tiny_recipe: Path) -> Callable[..., str]:
    """Runs with bad input and returns the one line it is told in; no run may be left behind."""

    def call(*arguments: str) -> str:
        given = () if arguments[0] in ("--dataset", "--paradigm", "--recipe") else ("--recipe", str(tiny_recipe))
        answer = cli("run", "--quiet", *given, *arguments)
        assert (answer.code, answer.out) == (2, "")
        assert not home.is_dir() or list(home.iterdir()) == []
        return str(answer.error)

    return call


def test_help_lists_the_commands(cli: Cli) -> None:
    shown = cli("--help")
    assert shown.code == 0
    for command in ("run", "report", "figures", "recipes", "methods", "step", "lineage", "keys", "verify"):
        assert f" {command} " in shown.out
    assert "3 finished but nothing was promoted" in " ".join(shown.out.split())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--paradigm", "hypnosis"), "paradigm 'hypnosis' is unknown: choose one of"),
        (("--dataset", "nowhere"), "no recipe 'nowhere-simclr': choose one of"),
        (("--recipe", "nothing"), "recipe 'nothing' is unknown: choose one of"),
        (("--recipe", "nothing.yaml"), "recipe nothing.yaml: No such file"),
        (("--method", "amnesia"), "method 'amnesia' is unknown: choose one of"),
        (("--method-overrides", "strength: 3"), "strength: Extra inputs are not permitted"),
        (("--method", "retrain", "--method-overrides", "epochs: 3"), "has no settings of its own"),
        (("--overrides", "training: {epoch: 3}"), "training.epoch: Extra inputs are not permitted"),
        (("--overrides", "training: {epochs: 0}"), "training.epochs: Input should be greater than 0"),
        (("--overrides", "{"), "recipe overrides is not YAML"),
        (("--overrides", "split: {members: 5000}"), "the split needs 5500 distinct records"),
        (("--overrides", "data: {source: nowhere}"), "unknown data source 'nowhere'"),
        (("--on-failure", "pray"), "on_failure 'pray' is unknown: choose retrain or stop"),
        (("--on-inconclusive", "it's"), "is unknown: choose retrain, stop, accept, accept_retrained or qualified"),
        (("--stronger", "3"), "stronger 3 is not possible: input should be less than or equal to 2"),
        (("--device", "abacus"), "device 'abacus'"),
        (("--compare-with", "hope"), "compare_with 'hope' is unknown: choose retrained or references"),
        (("--compare-with", "references"), "needs some: give --references 16, or --compare-with retrained"),
        (("--unlearned-references", "8"), "unlearned_references 8: the original has 0 references"),
        (("--compare-with", "references", "--forget-kind", "class"), "cannot be compared with references"),
        (("--auc-margin", "0.7"), "auc_margin"),
        (("--utility-margin", "0"), "utility_margin"),
        (
            ("--forget-kind", "somebody"),
            "forget_kind 'somebody' is unknown: choose random, class, cluster, records or batch",
        ),
        (("--forget-kind", "records"), "the forget set is empty"),
        (("--forget-kind", "records", "--forget-ids", "[]"), "the forget set is empty"),
        (("--forget-kind", "records", "--forget-ids", "['a']"), "forget ids are not valid JSON"),
        (("--forget-kind", "records", "--forget-ids", "[1]"), "forget ids must be strings"),
        (("--forget-kind", "class"), "class '' is unknown: choose one of 0, 1"),
        (("--forget-fraction", "0"), "forget_fraction 0.0 is not possible"),
        (("--forget-fraction", "nan"), "forget_fraction nan is not possible"),
        (("--forget-fraction", "0.9999"), "every member would be forgotten"),
        (("--run-id", "../elsewhere"), "run id '../elsewhere' cannot be used"),
        (("--run-id", "latest"), "run id 'latest' cannot be used"),
        (("--run-id", "store"), "run id 'store' cannot be used"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    refused: Callable[..., str], arguments: tuple[str, ...], problem: str
) -> None:
    assert problem in refused(*arguments)


def test_non_members_cannot_be_forgotten(refused: Callable[..., str], finished_chain: Chain) -> None:
    split = splits.load(finished_chain["split"])
    ids = json.dumps([split.members[0], split.test[0]])
    problem = refused("--forget-kind", "records", "--forget-ids", ids)
    assert f"1 of 2 records to forget are not members of split {split.digest[:12]}" in problem


def test_not_everybody_can_be_forgotten(refused: Callable[..., str], finished_chain: Chain) -> None:
    everybody = json.dumps(splits.load(finished_chain["split"]).members)
    assert "every member would be forgotten" in refused("--forget-kind", "records", "--forget-ids", everybody)


def test_a_model_name_that_mlflow_cannot_search_for_is_refused(cli: Cli, home: Path, tiny_recipe: Path) -> None:
    answer = cli("run", "--quiet", "--recipe", tiny_recipe, "--overrides", "name: it's")
    assert answer.code == 2
    assert "holds a quote, slash or colon" in answer.error
    assert not list(home.rglob("run.json"))


@pytest.mark.parametrize("below", ["a file", "a file system of the kernel"])
def test_an_unwritable_home_is_refused(
    cli: Cli, home: Path, tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    folder = tiny_recipe / "home" if below == "a file" else Path("/proc/home")
    monkeypatch.setenv("UNLEARNING_HOME", str(folder))
    answer = cli("run", "--quiet", "--recipe", tiny_recipe)
    assert answer.code == 2
    assert f"cannot write {folder}" in answer.error
    assert "UNLEARNING_HOME" in answer.error


def test_an_unreachable_mlflow_is_told_soon_and_before_training(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # pragma: allowlist nextline secret
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:secret@127.0.0.1:9")
    begun = time.monotonic()
    problem = refused("--run-id", "mine")
    assert time.monotonic() - begun < 15
    assert problem.startswith("MLflow at http://127.0.0.1:9: ")
    assert "check MLFLOW_TRACKING_URI" in problem
    assert "secret" not in problem


@pytest.mark.slow
def test_the_installed_command_answers_bad_input_with_one_line(tmp_path: Path, tiny_recipe: Path) -> None:
    """A process of its own, so that what libraries print while they are imported would show."""
    unlearn = str(Path(sys.executable).with_name("unlearn"))
    command = [unlearn, "run", "--recipe", str(tiny_recipe), "--forget-kind", "records"]
    environment = os.environ | {"UNLEARNING_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (2, "")
    starting, refused = done.stderr.splitlines()
    assert starting.startswith("starting: "), "somebody who waits sees that something happens"
    assert refused == "error: the forget set is empty: name at least one member to forget"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("made", "code", "last"),
    [
        (("passed",), EXIT_OK, "verdict: passed; promoted: unlearned"),
        (("leaks", "retrained", "passed"), EXIT_OK, "verdict: leaks; promoted: retrained"),
        (("inconclusive", None), EXIT_NOT_PROMOTED, "verdict: inconclusive; promoted: nothing"),
        (
            ("inconclusive", "unlearned"),
            EXIT_OK,
            "verdict: inconclusive; promoted: unlearned, accepted although the audit could not tell",
        ),
    ],
)
def test_the_exit_code_says_whether_anything_was_promoted(
    cli: Cli,
    make_summary: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    made: tuple[Any, ...],
    code: int,
    last: str,
) -> None:
    finished = make_summary(*made)
    monkeypatch.setattr(unlearning, "run_locally", lambda *_, **__: (tmp_path, finished))
    answer = cli("run", "--dataset", "digits")
    assert answer.code == code
    assert last in answer.out.splitlines()
    tried = [line for line in answer.out.splitlines() if line.startswith("tried: ")]
    assert len(tried) == len(finished.attempts)
    assert all(attempt.verdict.outcome in line for attempt, line in zip(finished.attempts, tried, strict=True))
    scripted = cli("run", "--dataset", "digits", "--json")
    assert scripted.code == code
    assert Summary.model_validate_json(scripted.out) == finished


def test_the_options_reach_the_run(
    cli: Cli, make_summary: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def remember(run: LocalRun, **how: Any) -> tuple[Path, Summary]:
        seen.extend([run, how])
        return tmp_path, make_summary()

    monkeypatch.setattr(unlearning, "run_locally", remember)
    given = ("--paradigm", "supervised", "--seed", 3, "--forget-kind", "class", "--forget-class", "7", "--quiet")
    escalation = ("--stronger", 2, "--on-failure", "stop", "--on-inconclusive", "accept")
    erasure = ("--erased", "drop", "--include-near-duplicates")
    assert cli("run", "--dataset", "digits", *given, *escalation, *erasure, "--run-id", "mine").code == EXIT_OK
    run, how = seen
    wanted = LocalRun(recipe="digits-supervised", seed=3, forget_kind="class", forget_class="7")
    told = {"stronger": 2, "on_failure": "stop", "on_inconclusive": "accept"}
    assert run == wanted.model_copy(update=told | {"erased": "drop", "include_near_duplicates": True})
    assert how == {"run_id": "mine", "quiet": True}


@pytest.fixture
def finished(make_summary: Make, home: Path) -> Summary:
    """The latest run, as `latest` in the home points at it."""
    made = make_summary()
    summary.save(made, home / "mine" / "summary.json")
    (home / "latest").symlink_to("mine")
    return made


@pytest.mark.slow
def test_report_draws_the_latest_run_again(cli: Cli, finished: Summary, home: Path) -> None:
    answer = cli("report")
    assert answer.code == EXIT_OK
    assert "unlearned" in answer.out
    assert "</html>" in (home / "mine" / "report.html").read_text()


def test_report_takes_any_folder_and_prints_json(cli: Cli, finished: Summary, home: Path) -> None:
    answer = cli("report", home / "mine", "--json")
    assert Summary.model_validate_json(answer.out) == finished


def test_report_without_a_run_is_told_in_one_line(cli: Cli, home: Path) -> None:
    answer = cli("report")
    assert answer.code == 2
    assert "summary.json does not exist" in answer.error
    assert not home.exists()


@pytest.fixture
def drawable(finished_chain: Chain, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a finished run, with the artifacts of the chain."""
    names = {"original": "model", "unlearned": "candidate", "retrained": "retrained"}
    found = unlearning.RunArtifacts(
        models={name: finished_chain[key] for name, key in names.items()},
        snapshot=finished_chain["snapshot"],
        split=finished_chain["split"],
        forget=finished_chain["forget"],
    )
    folder = home / "mine"
    folder.mkdir(parents=True)
    (home / "latest").symlink_to("mine")
    monkeypatch.setattr(unlearning, "artifacts_of", lambda asked: {folder.resolve(): found}[asked.resolve()])
    return folder


def test_figures_are_drawn_into_the_latest_run(cli: Cli, drawable: Path) -> None:
    answer = cli("figures", "--device", "cpu", "--json")
    assert answer.code == EXIT_OK, answer.err
    paths = {name: Path(path) for name, path in json.loads(answer.out).items()}
    assert {"page", "numbers", "losses", "input-gradients", "embedding", "probabilities"} <= set(paths)
    assert all(path.resolve().parent == (drawable / "figures").resolve() for path in paths.values())
    assert "</html>" in paths["page"].read_text()


def test_figures_without_a_trace_go_where_they_are_asked_to(cli: Cli, drawable: Path, tmp_path: Path) -> None:
    answer = cli("figures", drawable, "--no-trace", "--output", tmp_path / "elsewhere")
    assert answer.code == EXIT_OK, answer.err
    assert f"page: {tmp_path / 'elsewhere' / 'figures.html'}" in answer.out.splitlines()
    assert not (tmp_path / "elsewhere" / "probabilities.svg").exists()
    assert not (drawable / "figures").exists()


def test_figures_of_no_run_are_told_in_one_line(cli: Cli, home: Path, tmp_path: Path) -> None:
    answer = cli("figures")
    assert answer.code == 2
    assert "is not the folder of a run: give one, or start one with unlearn run" in answer.error
    assert not home.exists()
    answer = cli("figures", tmp_path)
    assert answer.code == 2
    assert "summary.json does not exist" in answer.error


@pytest.mark.slow
def test_report_shows_figures_that_lie_in_the_folder_of_the_run(
    cli: Cli, finished: Summary, home: Path, make_evidence: Callable[..., InspectionResults]
) -> None:
    inspection_results.save(make_evidence(), home / "mine" / "figures" / "evidence.json")
    assert cli("report").code == EXIT_OK
    assert "Input gradients before and after" in (home / "mine" / "report.html").read_text()
    stale = make_evidence().model_copy(update={"digests": {}})
    inspection_results.save(stale, home / "mine" / "figures" / "evidence.json")
    answer = cli("report")
    assert answer.code == 2
    assert "of other models than those of run" in answer.error


def test_recipes_and_methods_are_listed(cli: Cli) -> None:
    found = json.loads(cli("recipes", "--json").out)
    assert list(found) == recipes.names()
    assert all(description.strip() for description in found.values())
    assert set(json.loads(cli("methods", "--json").out)) == set(METHODS)
    assert "digits-simclr: " in cli("recipes").out
    assert "retrain: nothing more" in cli("methods").out


def test_the_version_is_printed(cli: Cli) -> None:
    assert (cli("--version").out, cli("--version").code) == (f"unlearn {__version__}\n", 0)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("rnu",), "No such command 'rnu'. Did you mean 'run'?: see unlearn --help"),
        (("run", "--sed", "3"), "No such option: --sed"),
        (("run", "--seed", "x"), "Invalid value for '--seed'"),
        (("verify",), "Missing argument 'file': see unlearn verify --help"),
        (("requests", "add"), "Missing option '--id'"),
        (("report", "--images", "-1"), "Invalid value for '--images'"),
    ],
)
def test_a_command_line_that_is_none_is_told_in_one_line(cli: Cli, arguments: tuple[str, ...], problem: str) -> None:
    answer = cli(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert problem in answer.error
    assert "--help" in answer.error


def commands(group: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every command of the tree that does something."""
    found: dict[tuple[str, ...], Any] = {}
    for name, command in group.commands.items():
        nested = getattr(command, "commands", None)
        found |= commands(command, (*path, name)) if nested else {(*path, name): command}
    return found


NAMED = commands(typer.main.get_command(application()))


@pytest.mark.parametrize("path", NAMED, ids=" ".join)
def test_every_command_prints_json_when_asked_and_says_what_it_does(path: tuple[str, ...]) -> None:
    command = NAMED[path]
    assert command.help
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--json" in options
    assert all(parameter.help for parameter in command.params if parameter.name != "help")


def test_help_groups_the_commands_by_what_they_are_for(cli: Cli) -> None:
    shown = cli("--help").out
    titles = ["Try and look", "Honour erasure requests", "On a cluster", "What came from what", "By hand"]
    places = [shown.index(title) for title in titles]
    assert places == sorted(places)


def test_commands_stand_in_one_order_whichever_of_them_are_imported() -> None:
    orders = []
    for called in (None, "", "lineage"):
        group = typer.main.get_group(application(called))
        orders.append(group.list_commands(typer.Context(group)))
    assert orders == [[each.name for each in COMMANDS]] * 3


def test_runs_are_compared_on_one_page(cli: Cli, finished: Summary, home: Path, tmp_path: Path) -> None:
    page = tmp_path / "out" / "page.html"
    answer = cli("compare", "--output", page, "--json")
    assert answer.code == EXIT_OK, answer.err
    assert len(json.loads(answer.out)["entries"]) == len(finished.attempts)
    assert "</html>" in page.read_text()
    (tmp_path / "saved.json").write_text(answer.out)
    again = cli("compare", tmp_path / "saved.json", "--output", tmp_path / "again.html")
    assert f"{len(finished.attempts)} candidates: " in again.out
    assert (tmp_path / "again.html").read_text() == page.read_text()


def test_nothing_to_compare_is_told_in_one_line(cli: Cli, home: Path) -> None:
    answer = cli("compare")
    assert answer.code == 2
    assert "no run to compare" in answer.error


@pytest.mark.slow
def test_images_are_on_the_page_only_when_asked_for(
    cli: Cli, drawable: Path, make_summary: Make, finished_chain: Chain
) -> None:
    names = {"original": "model", "unlearned": "candidate", "retrained": "retrained"}
    digests = {name: models.digest(finished_chain[key]) for name, key in names.items()}
    made = make_summary()
    shown = {name: model.model_copy(update={"digest": digests[name]}) for name, model in made.models.items()}
    summary.save(made.model_copy(update={"models": shown}), drawable / "summary.json")
    refused = cli("report", "--images", "2")
    assert "has no evidence to show images beside: measure it with unlearn figures" in refused.error
    assert cli("figures", "--no-trace", "--device", "cpu").code == EXIT_OK
    assert cli("report").code == EXIT_OK
    plain = (drawable / "report.html").read_text()
    assert "<img" not in plain
    assert "no record ids and no images" in plain
    assert cli("report", "--images", "2").code == EXIT_OK
    asked = (drawable / "report.html").read_text()
    assert asked.count("<img") == 2 * (1 + 3 * 5)
    assert "personal data" in asked
    assert "no images" not in asked
