"""Whatever a task of a local run fails with, the local user reads its one line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.base import component
from pipelines.form import pipeline
from pipelines.local import fork_server_launch
from pipelines.local.runner import running
from unlearning.core import errors
from unlearning.core.config import Config
from unlearning.core.errors import UserError


def subclasses(kind: type[UserError]) -> list[type[UserError]]:
    return [kind, *(below for each in kind.__subclasses__() for below in subclasses(each))]


EVERY = sorted(each.__name__ for each in subclasses(UserError) if each.__module__ == errors.__name__)


@component
def fail(name: str) -> None:
    """Raises what it is told to."""
    from unlearning.core import errors

    raise getattr(errors, name)(f"it's {name}:\n do   this instead")


@component
def stumble() -> None:
    """A programming error."""
    import unlearning.core.errors  # noqa: F401

    raise KeyError("digest")


class Asked(Config):
    """Which error."""

    name: str = "UserError"
    """Its name."""


@pipeline(name="failing", description="One task, which fails.", form={"named": Asked})
def failing(named: dict[str, Any]) -> None:
    fail(name=named["name"])


@pipeline(name="stumbling", description="One task, which fails.", form={})
def stumbling() -> None:
    stumble()


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    with fork_server_launch.tasks():
        yield


def test_every_error_for_people_is_in_the_one_tree() -> None:
    assert {each.__module__ for each in subclasses(UserError)} == {errors.__name__}


@pytest.mark.parametrize("name", EVERY)
def test_the_one_line_reaches_the_user(server: None, home: Path, name: str) -> None:
    folder = home / "run"
    folder.mkdir(parents=True)
    with pytest.raises(UserError) as caught, running(folder, quiet=True):
        failing(name=name)
    assert str(caught.value) == f"it's {name}: do this instead"


def test_without_the_server_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / "run"
    folder.mkdir(parents=True)
    with pytest.raises(UserError, match=r"^it's UserError: do this instead$"), running(folder, quiet=True):
        failing()


def test_a_programming_error_is_not_passed_off_as_the_users(server: None, home: Path) -> None:
    folder = home / "run"
    folder.mkdir(parents=True)
    (folder / "error.txt").write_text("of a run before")
    with pytest.raises(UserError, match=r"the task's output is at the end of .*run\.log"), running(folder, quiet=True):
        stumbling()
    assert "KeyError: 'digest'" in (folder / "run.log").read_text()
