"""docs/lineage.md: what it shows is what the commands print, and its Python gives the same answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unlearning.histories import History

Cli = Callable[..., Any]
DOCUMENT = Path(__file__).parents[3] / "docs" / "lineage.md"
WIDTH = "180"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)


def steady(text: str) -> str:
    """Logged models have random ids, and tables trailing blanks."""
    return "\n".join(line.rstrip() for line in re.sub(r"m-[0-9a-f]{32}", "m-" + 32 * "0", text).splitlines())


@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: block.split("\n")[0].removeprefix("$ unlearn "))
def test_commands_print_what_the_document_shows(
    cli: Cli, at_history: History, monkeypatch: pytest.MonkeyPatch, block: str
) -> None:
    command, _, shown = block.partition("\n")
    monkeypatch.setenv("COLUMNS", WIDTH)
    program, *arguments = command.removeprefix("$ ").split()
    assert program == "unlearn"
    answer = cli(*arguments)
    assert (answer.code, answer.err) == (0, "")
    assert steady(answer.out) == steady(shown)


@pytest.fixture(scope="module")
def said(history: History) -> dict[str, Any]:
    """What the document's Python answers, by the heading it stands under."""
    sections = DOCUMENT.read_text().split("\n## ")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(history.folder)
        names: dict[str, Any] = {}
        found = {}
        for section in sections:
            for code in re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE):
                names.pop("answer", None)
                exec(compile(code, str(DOCUMENT), "exec"), names)  # noqa: S102 - our own document
                if "answer" in names:
                    found[section.split("\n")[0]] = names["answer"]
        return found


def pairs(entries: list[dict[str, Any]], *more: str) -> list[tuple[Any, ...]]:
    return [tuple(each[key] for key in ("model", "version", *more)) for each in entries]


def answers(ask: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """The commands' answers, in the form of the document's."""
    found = ask("serving", "shop-simclr")
    yield "Which version serves", (found["version"], found["since"])
    found = ask("replaced", "shop-simclr", "3")
    told = found["replaced_by"], found["replaced_at"], found["requests"]
    yield "What replaced a version, when, and for whom", told
    steps = ask("ancestors", "shop-simclr", "4")["steps"]
    yield "What a version was made from", [(step["version"], step["snapshot"]) for step in steps]
    found = ask("pending", "R3")
    yield "Who has not honoured a request", sorted(pairs(found["stored"] + found["purged"], "weights"))
    firsts = ask("honoured", "R1")["versions"]
    yield "Who honoured a request first, with its certificate", pairs(firsts, "certificate")
    yield "Who was trained on a snapshot", pairs(ask("trained-on", "be184eb1")["versions"])
    found = ask("audit", "shop-simclr", "3")
    attacks = {each["name"]: each["auc"] for each in found["attacks"]}
    yield "What an audit found", (found["outcome"], attacks, found["limits"])
    weights = ask("artefacts", "shop-simclr", "3")["artefacts"][0]
    yield "What was derived with a version, and what is left", weights["objects"]


def test_the_documents_python_answers_as_the_commands_do(said: dict[str, Any], cli: Cli, at_history: History) -> None:
    def ask(*arguments: str) -> Any:
        return json.loads(cli("lineage", *arguments, "--json").out)

    left = "What was derived with a version, and what is left"
    assert said | {left: len(said[left])} == dict(answers(ask))


def test_every_question_of_the_command_line_is_in_the_document() -> None:
    from unlearning.cli.lineage import app

    text = DOCUMENT.read_text()
    for command in app.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "")
        assert f"unlearn lineage {name} " in text, name
