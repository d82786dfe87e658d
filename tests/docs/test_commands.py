"""Every command and every piece of code in the documentation is run, or is in the table of `accounted` with a reason.

The tutorial is run first, on the digits; every other page begins in the folder it leaves behind. A page's commands
run in the order in which a reader meets them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.docs import accounted, pages, workspace
from tests.docs.commands import SHELL, Command, commands, parsed, unknown_options
from tests.docs.pages import Block
from tests.docs.workspace import Result, Runner
from tests.pipelines.kfp_server import Kubeflow, serving
from unlearning import recipes
from unlearning.core.errors import EXIT_BAD_INPUT
from unlearning.core.files import read_json

TUTORIAL = "docs/tutorial.md"
LANGUAGES = ("", "sh", "bash", "console", "python", "yaml", "json", "diff", "text", "mermaid")
IN_A_SHELL = ("unlearn run", "unlearn compliance run")
"""Commands that start processes of their own; those with --help do not."""
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TEN = pytest.mark.timeout(900)


def elsewhere(block: Block) -> bool:
    return (block.page, block.language) in accounted.ELSEWHERE


def to_run(page: str) -> list[Command]:
    return [each for each in commands(page) if each.key not in accounted.NOT_RUN and not elsewhere(each.block)]


ALL = [each for page in pages.pages() for each in commands(page)]
WITH_COMMANDS = [page for page in pages.pages() if to_run(page)]


@pytest.mark.parametrize("page", pages.pages())
def test_every_block_says_what_it_is(page: str) -> None:
    for block in pages.blocks(page):
        assert block.language in LANGUAGES, block.where
        if block.language == "" and not block.of_commands:
            words = [word for line in block.text.splitlines() for word in line.split()[:1]]
            assert not {shutil.which(word) for word in words} - {None}, f"{block.where} looks like commands"


def test_there_are_commands_on_many_pages() -> None:
    assert len(ALL) > 100
    assert len(WITH_COMMANDS) >= 12


def test_the_table_has_nothing_that_no_page_has() -> None:
    keys = {each.key for each in ALL}
    assert [key for key in (*accounted.NOT_RUN, *accounted.ENDS) if key not in keys] == []
    every = {(page, block.language) for page in pages.pages() for block in pages.blocks(page)}
    assert [key for key in (*accounted.ELSEWHERE, *accounted.SAVED_AS) if key not in every] == []
    named = {*accounted.STANDS_FOR, *accounted.EMPTY, *accounted.VARIABLES}
    assert named <= set(pages.pages())
    for page, words in accounted.STANDS_FOR.items():
        said = "".join(each.text for each in commands(page))
        assert [word for word in words if word not in said] == [], page


def test_every_entry_of_the_table_has_a_reason() -> None:
    assert all(len(reason.split()) > 3 for reason in accounted.NOT_RUN.values())
    for (page, _), test in accounted.ELSEWHERE.items():
        assert page.rpartition("/")[2] in (pages.ROOT / test).read_text().replace('" / "', "/"), test


def problem_with(command: Command, folder: Path) -> str | None:
    """What can be found out about a command without running it; None where nothing is wrong."""
    text = command.text.replace("…", "x")
    lines = [text]
    if command.program == "make":
        done = subprocess.run(["make", "-n", *text.split()[1:]], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            return done.stderr
        lines = done.stdout.splitlines()
    if command.program == "kubectl" and (found := re.search(r" -k (\S+)", text)) and shutil.which("kubectl"):
        done = subprocess.run(["kubectl", "kustomize", found[1]], cwd=folder, capture_output=True, text=True)
        return done.stderr if done.returncode else None
    for line in lines:
        if found := re.search(r"(?:^|[ /])unlearn (.*)", line):
            try:
                parsed(Command(command.block, found[1]).words())
            except ValueError as error:
                return str(error)
        if (found := re.search(r"python (?:-W ignore )?-m ([\w.]+)", line)) and not module(found[1]):
            return f"no module {found[1]}"
    return None


def module(name: str) -> bool:
    path = pages.ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists() or name in ("pytest", "mkdocs")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a checkout, in which nothing was run."""
    folder = tmp_path_factory.mktemp("checkout") / "work"
    workspace.make(folder)
    return folder


@pytest.mark.parametrize(
    "command", [each for each in ALL if each.key in accounted.NOT_RUN], ids=lambda command: command.where
)
def test_what_is_not_run_is_right_as_far_as_can_be_seen(command: Command, checkout: Path) -> None:
    assert problem_with(command, checkout) is None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("make nothing", "No rule"),
        ("make run ARGS=--nothing", "--nothing"),
        ("unlearn nothing", "no command"),
        ("torchrun unlearn step pretrain --snapshot x", "step pretrain"),
        ("kubectl apply -k manifests/nowhere", "nowhere"),
    ],
)
def test_what_is_wrong_with_a_command_is_seen(text: str, wrong: str, checkout: Path) -> None:
    if text.startswith("kubectl") and shutil.which("kubectl") is None:
        pytest.skip("kubectl, which renders, is not installed")
    assert wrong in (problem_with(Command(Block("docs/page.md", 1, "sh", text), text), checkout) or "")


def in_sentences() -> Iterator[tuple[str, str]]:
    for page in pages.pages():
        for span in pages.spans(page):
            if span.startswith(("unlearn ", "make ")) and "…" not in span:
                yield page, span


@pytest.mark.parametrize(("page", "span"), sorted(set(in_sentences())))
def test_commands_in_sentences_exist_with_their_options(page: str, span: str) -> None:
    command = Command(Block(page, 0, "", span), span)
    if command.program == "make":
        targets = re.findall(r"^([a-z-]+):", (pages.ROOT / "Makefile").read_text(), re.MULTILINE)
        assert command.words()[1] in targets
        return
    assert unknown_options(command.words()[1:]) == []


def yaml_blocks() -> Iterator[Block]:
    for page in pages.pages():
        yield from (each for each in pages.blocks(page) if each.language == "yaml" and not elsewhere(each))


@pytest.mark.parametrize("block", list(yaml_blocks()), ids=lambda block: block.where)
def test_yaml_is_part_of_a_recipe(block: Block) -> None:
    recipes.load("image-folder-simclr", block.text)


# From here on everything runs.


@dataclass(frozen=True)
class Place:
    """Where pages run, and what the tutorial left."""

    folder: Path
    finished: Path
    runner: Runner
    kubeflow: Kubeflow
    tutorial: list[Result]

    @property
    def words(self) -> Mapping[str, str]:
        """The test's own values for `accounted.STANDS_FOR`."""
        theirs = read_json(self.finished / "asked.json", "request")["records"]
        members = read_json(self.finished / "served" / "split", "split")["members"]
        (certificate,) = (self.finished / "runs/store/certificates/CASE-1").glob("*1.json")
        return {
            "kubeflow": self.kubeflow.url,
            "record": next(each for each in members if each not in theirs),
            "certificate": str(certificate.relative_to(self.finished)),
        }


def filled(text: str, page: str, words: Mapping[str, str]) -> str:
    """A command with what stands for the names that a reader replaces."""
    for name, value in accounted.STANDS_FOR.get(page, {}).items():
        text = text.replace(name, value.format(**words))
    return text


def step(command: Command, text: str) -> dict[str, Any]:
    """How the runner is to run it."""
    if command.block.language == "python":
        return {"python": text}
    if text.startswith("export "):
        name, _, value = text.removeprefix("export ").partition("=")
        return {"set": {name: value}}
    if command.program == "kubectl" and shutil.which("kubectl") is None:
        return {"shell": "true"}  # tests/manifests/ skips as well
    if text.startswith(accounted.DRY):
        return {"shell": f"{text} --dry-run=client --validate=false -o name"}
    quiet = re.sub(r"'[^']*'", "", text)
    alone = command.program == "unlearn" and not SHELL.search(quiet)
    if alone and ("--help" in text or not text.startswith(IN_A_SHELL)):
        return {"unlearn": Command(command.block, text).words()[1:]}
    return {"shell": text}


def code_of(command: Command) -> int:
    return accounted.ENDS.get(command.key, EXIT_BAD_INPUT if command.shown.startswith("error: ") else 0)


def prepare(page: str, folder: Path) -> None:
    """What the page asks its reader to have."""
    for block in pages.blocks(page):
        if name := accounted.SAVED_AS.get((page, block.language)):
            (folder / name).write_text(block.text)
    if "object-store.env" in pages.text_of(page):
        (folder / "object-store.env").write_text("AWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\n")
    if page == "docs/your-images.md":
        workspace.make_pictures(folder)


def run(page: str, folder: Path, runner: Runner, words: Mapping[str, str]) -> list[Result]:
    """The page's commands, one after the other; fails at the first that does not end as it should."""
    prepare(page, folder)
    found = to_run(page)
    steps = [(step(each, filled(each.text, page, words)), code_of(each)) for each in found]
    given = {"KUBECONFIG": str(folder / "kubeconfig"), "UNLEARNING_COMMIT": "test", "UNLEARNING_KFP_TOKEN": "right"}
    given |= {name: value.format(**words) for name, value in accounted.VARIABLES.get(page, {}).items()}
    results = runner.run(folder, given, steps)
    for command, result, (did, code) in zip(found, results, steps, strict=False):
        assert result.code == code, f"{command.where}\n{did}\n{result.out[-3000:]}{result.err[-3000:]}"
    assert len(results) == len(found)
    return results


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The tutorial, run once; what it leaves is what all other pages begin with."""
    root = tmp_path_factory.mktemp("pages")
    folder, finished = root / "work", root / "finished"
    workspace.make(folder)
    with workspace.running() as runner, serving() as kubeflow:
        results = run(TUTORIAL, folder, runner, {})
        workspace.keep(folder, finished)
        yield Place(folder, finished, runner, kubeflow, results)


@pytest.mark.nightly
@TEN
def test_the_tutorial_does_what_it_says(place: Place) -> None:
    said = {each.text: result for each, result in zip(to_run(TUTORIAL), place.tutorial, strict=True)}
    made = next(result.out for text, result in said.items() if text.startswith("make run"))
    (block,) = (each for each in pages.blocks(TUTORIAL) if each.language == "text")
    assert labels(block.text) == labels(made), made
    shown = [result.out for text, result in said.items() if text == "unlearn requests show CASE-1"]
    assert "status: fulfilled" in shown[-1]
    verified = next(result.out for text, result in said.items() if text.startswith("unlearn verify"))
    assert "VERIFIED: request CASE-1" in verified
    assert list((place.finished / "runs/store/certificates/CASE-1").glob("*.html"))


@pytest.mark.nightly
@TEN
@pytest.mark.parametrize("page", [page for page in WITH_COMMANDS if page != TUTORIAL])
def test_the_commands_of_the_page_run(page: str, place: Place) -> None:
    workspace.restore(place.folder, None if page in accounted.EMPTY else place.finished)
    for held in (place.kubeflow.runs, place.kubeflow.schedules, place.kubeflow.experiments):
        held.clear()
    results = run(page, place.folder, place.runner, place.words)
    for command, result in zip(to_run(page), results, strict=True):
        if command.shown:
            assert_shown(command, result.out + result.err)


def labels(text: str) -> list[str]:
    """What the last lines of a run begin with; outcomes, and so their number, may differ from machine to machine."""
    found = re.findall(r"^(verdict|tried|report|numbers|lineage): ", text, re.MULTILINE)
    return [each for each, before in zip(found, ["", *found], strict=False) if each != before]


def like(line: str) -> str:
    """A pattern for a shown line: ids, sizes and times differ, and … stands for anything."""
    wild = {"id": UUID, "size": r"\d+", "any": ".*", "gap": r"\s+"}
    differs = re.compile(rf"(?P<id>{UUID})|(?P<size>\d+(?= (?:GiB|ms)\b))|(?P<any>…)|(?P<gap>\s+)|(?P<same>.)")
    found = differs.finditer(line.strip())
    return "".join(wild.get(each.lastgroup or "", re.escape(each.group())) for each in found)


def assert_shown(command: Command, said: str) -> None:
    """The page shows what the command prints."""
    lines = [line for line in said.splitlines() if line.strip()]
    shown = [line for line in command.shown.splitlines() if line.strip()]
    assert len(lines) == len(shown), f"{command.where} prints\n{said}"
    for line, expected in zip(lines, shown, strict=True):
        start = next((each for each in accounted.VARIES if expected.startswith(each)), None)
        assert line.startswith(start) if start else re.fullmatch(like(expected), line.strip()), f"{line}\n{expected}"


def test_what_is_shown_is_compared() -> None:
    block = Block("docs/page.md", 1, "console", "")
    command = Command(block, "unlearn doctor", "ok      folders  …/runs: 58 GiB free\n")
    assert_shown(command, "ok folders /here/runs: 7 GiB free\n")
    with pytest.raises(AssertionError):
        assert_shown(command, "failed folders /here/runs: 7 GiB free\n")
    with pytest.raises(AssertionError):
        assert_shown(command, "ok folders /here/runs: 7 GiB free\nmore\n")


def test_json_of_a_page_is_json() -> None:
    found = [each for page in pages.pages() for each in pages.blocks(page) if each.language == "json"]
    assert len(found) >= 2
    assert all(json.loads(each.text) for each in found)
