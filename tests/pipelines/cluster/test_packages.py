"""Compiled pipelines read from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.cluster import packages
from pipelines.compile import compile_all
from unlearning.core.errors import UserError


@pytest.mark.slow
def test_a_file_is_the_pipeline_that_is_compiled_in_process(tmp_path: Path) -> None:
    for path in compile_all(tmp_path):
        assert packages.read(path).digest() == packages.compiled(path.stem).digest()


@pytest.mark.parametrize("text", ["", "a: 1", "[1]", "{"])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError, match=r"x\.yaml"):
        packages.read(tmp_path / "x.yaml")


def test_an_unknown_pipeline_is_refused() -> None:
    with pytest.raises(UserError, match="there are compliance, pretraining, qualification, unlearning"):
        packages.compiled("forgetting")


@pytest.fixture(scope="module")
def unlearning() -> packages.Package:
    return packages.compiled("unlearning")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("stronger", "7", "stronger 7 is not possible: input should be less than or equal to 2"),
        ("on_failure", "pray", "on_failure 'pray' is unknown: choose retrain or stop"),
        ("method", "amnesia", "method 'amnesia' is unknown: choose one of gradient_matching, "),
        ("forget_fraction", "1.5", "forget_fraction 1.5 is not possible"),
        ("gpus", "-1", "gpus '-1' is not possible: give a whole number"),
    ],
)
def test_a_value_without_a_meaning_is_refused_before_anything_is_sent(
    unlearning: packages.Package, name: str, value: str, problem: str
) -> None:
    with pytest.raises(UserError) as refused:
        packages.checked(unlearning, {name: value}, {})
    assert str(refused.value).startswith(problem)
