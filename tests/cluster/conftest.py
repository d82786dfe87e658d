"""The cluster under test, or a word why there is none."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from unlearning.core.errors import UserError

if TYPE_CHECKING:
    from tests.cluster.flow import Flow

FACTS = pytest.StashKey[dict[str, Any]]()
"""What was measured, by run."""
FACTS_FILE = Path("build/test-cluster.json")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The suite is not even read where a choice of tests leaves it out."""
    chosen = str(config.getoption("markexpr"))
    left_out = chosen and not re.search(r"(?<!not )\bcluster\b", chosen)
    return True if left_out and collection_path.name == "test_suite.py" else None


@pytest.fixture(scope="session")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    # Imported here: what a cluster needs is not needed to collect the others.
    from tests.cluster import access
    from tests.cluster.flow import opened

    if lacking := access.missing(os.environ):
        pytest.skip(access.sentence(lacking))
    folder = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch:
        try:
            with opened(os.environ, folder) as found:
                ours = {"UNLEARNING_HOME": str(folder / "home"), "UNLEARNING_DATA": str(folder / "data")}
                for name, value in (found.place.settings | ours).items():
                    patch.setenv(name, value)
                yield found
        except UserError as error:
            pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def facts(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Sizes and times of this session, written where they are found again."""
    found: dict[str, Any] = {}
    request.config.stash[FACTS] = found
    yield found
    if found:
        FACTS_FILE.parent.mkdir(exist_ok=True)
        FACTS_FILE.write_text(json.dumps(found, indent=2) + "\n")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell what was measured."""
    for name, fact in config.stash.get(FACTS, {}).items():
        terminalreporter.write_line(f"{name}: {', '.join(f'{key} {value}' for key, value in fact.items())}")
