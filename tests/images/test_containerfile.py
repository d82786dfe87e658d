"""The Containerfile keeps its promises; each check is shown to find what breaks its promise."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "images/Containerfile").read_text()
LABELS = ("title", "description", "licenses", "version", "revision", "created")


def instructions(text: str) -> list[tuple[str, str]]:
    """Keyword and arguments of every instruction, lines joined."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ").splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def problems(text: str) -> Iterator[str]:
    """What breaks a promise about the image that the last stage makes."""
    all_of_it = instructions(text)
    last = all_of_it[max(number for number, (word, _) in enumerate(all_of_it) if word == "FROM") :]
    bases = [rest for word, rest in all_of_it if word == "ARG" and rest.startswith("BASE=")]
    if any(base.endswith(":latest") or ":" not in base for base in bases):
        yield "base without a fixed tag"
    if [rest for word, rest in last if word == "USER"] != ["10001:10001"]:
        yield "not the user 10001"
    if any(word in {"RUN", "ADD"} for word, _ in last):
        yield "the last stage makes something itself"
    if [rest for word, rest in last if word == "COPY"] != ["--from=build /opt/unlearning /opt/unlearning"]:
        yield "the result holds more than the library"
    labels = " ".join(rest for word, rest in last if word == "LABEL")
    yield from (f"no label {name}" for name in LABELS if f"org.opencontainers.image.{name}=" not in labels)
    if not any(word == "HEALTHCHECK" and "CMD [" in rest for word, rest in last):
        yield "no health check"
    runs = " && ".join(rest for word, rest in all_of_it if word == "RUN")
    for command in re.split(r"&&", runs):
        if re.search(r"\bpip\b.* (install|wheel) ", command) and not re.search("--require-hashes|--no-index", command):
            yield "installs without hashes"
        if re.search(r"\b(apt-get|curl|wget|git)\b", command):
            yield "fetches past the lock"


def test_the_promises_are_kept() -> None:
    assert list(problems(TEXT)) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("python:3.11-slim-bookworm", "python:latest", "base without a fixed tag"),
        ("python:3.11-slim-bookworm", "python", "base without a fixed tag"),
        ("USER 10001:10001", "USER worker", "not the user 10001"),
        ("USER 10001:10001", "", "not the user 10001"),
        ("USER 10001:10001", "USER 10001:10001\nUSER 0", "not the user 10001"),
        ("USER 10001:10001", "RUN true", "the last stage makes something itself"),
        ("WORKDIR /tmp", "COPY --from=build /opt/tools /opt/tools", "the result holds more than the library"),
        ("org.opencontainers.image.revision", "revision", "no label revision"),
        ("HEALTHCHECK", "#", "no health check"),
        ("--require-hashes -r images/requirements", "-r images/requirements", "installs without hashes"),
        ("--require-hashes -r images/tools", "-r images/tools", "installs without hashes"),
        (" && python3 -m venv /opt/tools", " && apt-get install gcc", "fetches past the lock"),
    ],
)
def test_a_broken_promise_is_found(old: str, new: str, problem: str) -> None:
    assert old in TEXT
    assert problem in list(problems(TEXT.replace(old, new)))


def patterns() -> list[str]:
    return (ROOT / ".dockerignore").read_text().split()


def test_the_build_context_is_named_piece_by_piece() -> None:
    assert patterns()[0] == "*"
    wanted = {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "unlearning",
        "components",
        "pipelines",
        "images",
        "images/*.lock",
    }
    assert {pattern[1:] for pattern in patterns() if pattern.startswith("!")} == wanted
    assert {"**/*.pem", "**/.env", "images/*"} <= {*patterns()}


def test_every_file_that_is_copied_is_there_and_in_the_context() -> None:
    sources = [
        name
        for word, rest in instructions(TEXT)
        if word == "COPY" and "--from" not in rest
        for name in rest.split()[:-1]
    ]
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in sources:
        assert f"!{name}" in patterns()
        assert re.search("^" + name.replace(".", r"\.").replace("*", "[^/]*") + r"($|/)", listed, re.MULTILINE)
