"""Compiled pipelines read from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.cluster import packages
from pipelines.compile import compile_all
from unlearning.core.errors import UserError


def test_a_file_is_the_pipeline_that_is_compiled_in_process(tmp_path: Path) -> None:
    for path in compile_all(tmp_path):
        assert packages.read(path).digest() == packages.compiled(path.stem).digest()


@pytest.mark.parametrize("text", ["", "a: 1", "[1]", "{"])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError, match=r"x\.yaml"):
        packages.read(tmp_path / "x.yaml")


def test_an_unknown_pipeline_is_refused() -> None:
    with pytest.raises(UserError, match="there are compliance, pretraining, unlearning"):
        packages.compiled("forgetting")
