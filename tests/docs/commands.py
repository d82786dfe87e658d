"""The commands of a page, in the order in which a reader comes to them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from tests.docs.pages import Block, blocks
from unlearning.cli.main import application

SHELL = re.compile(r"[|<>;&(){}*~`]|\$\(|^\w+=")
"""What a shell alone understands."""
PRINTS = re.compile(r"It prints `([^`]+)`")
"""After a block of Python."""


@dataclass(frozen=True)
class Command:
    """Something to type, and what the page shows of its output."""

    block: Block
    text: str
    shown: str = ""

    @property
    def where(self) -> str:
        return f"{self.block.where}: {self.text.splitlines()[0]}"

    @property
    def key(self) -> tuple[str, str]:
        """By which the table knows it."""
        return self.block.page, self.text

    @property
    def program(self) -> str:
        """Its first word, after variables."""
        words = [word for word in self.text.split() if not re.match(r"^\w+=", word)]
        return words[0] if words else ""

    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)


def commands(page: str) -> Iterator[Command]:
    """Commands and Python of the page, one after the other."""
    for block in blocks(page):
        if block.language == "python":
            printed = PRINTS.match(block.after)
            yield Command(block, block.text, printed[1] if printed else "")
        elif block.of_commands:
            yield from _of(block)


def _of(block: Block) -> Iterator[Command]:
    if block.language == "bash":  # one script
        yield Command(block, block.text)
        return
    if block.text.lstrip().startswith("$ "):
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            text, _, shown = part.partition("\n")
            yield Command(block, text.strip(), shown)
        return
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
        text = without_comment(line).strip()
        if text:
            yield Command(block, text)


def without_comment(line: str) -> str:
    """The line up to a # that begins a word outside of quotes."""
    quote = ""
    for place, each in enumerate(line):
        if quote:
            quote = "" if each == quote else quote
        elif each in "'\"":
            quote = each
        elif each == "#" and (place == 0 or line[place - 1].isspace()):
            return line[:place]
    return line


def _found(arguments: list[str]) -> tuple[Any, str, list[str]]:
    """The command that arguments name, its path, and the arguments it gets.

    Raises:
        ValueError: there is no such command.
    """
    command: Any = typer.main.get_command(application())
    name, rest = "unlearn", list(arguments)
    while (below := getattr(command, "commands", None)) and rest and not rest[0].startswith("-"):
        if rest[0] not in below:
            raise ValueError(f"{name} has no command {rest[0]!r}")
        command, name, rest = below[rest[0]], f"{name} {rest[0]}", rest[1:]
    return command, name, rest


def parsed(arguments: list[str]) -> str:
    """Read arguments with the real command line, and run nothing; returns the command that they name.

    Raises:
        ValueError: no such command or option, a value that it does not take, or one that is missing.
    """
    command, name, rest = _found(arguments)
    if "--help" in rest or getattr(command, "commands", None):
        return name
    try:
        command.make_context(name, rest)
    except Exception as error:
        raise ValueError(f"{name}: {getattr(error, 'message', '') or type(error).__name__}") from None
    return name


def unknown_options(arguments: list[str]) -> list[str]:
    """Options that the command does not have; values may be missing, or be words for the reader.

    Raises:
        ValueError: there is no such command.
    """
    command, _, rest = _found(arguments)
    known = {"--help", *(option for each in command.params for option in (*each.opts, *each.secondary_opts))}
    return [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known]
