"""What `import unlearning` gives a researcher."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import unlearning

EXAMPLE = Path(__file__).parents[2] / "examples" / "researcher.py"
HEAVY = {"torch", "numpy", "scipy", "mlflow", "kfp", "boto3", "pydantic"}


def test_the_names_are_these_and_every_one_is_there() -> None:
    assert set(unlearning.__all__) == set(unlearning._PLACES)
    assert unlearning.__all__ == sorted(
        unlearning.__all__, key=lambda name: (not name.isupper(), name.lower() == name, name)
    )
    for name, (module, original) in unlearning._PLACES.items():
        found = getattr(unlearning, name)
        assert found is getattr(sys.modules[f"unlearning.{module}"], original)
        assert name in dir(unlearning)


def test_another_name_is_an_error_that_says_so() -> None:
    with pytest.raises(AttributeError, match="module 'unlearning' has no attribute 'amnesia'"):
        unlearning.amnesia  # noqa: B018


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    program = f"import sys, unlearning; sys.exit(bool({HEAVY!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_example_needs_nothing_else() -> None:
    """But what it takes apart further."""
    imported = re.findall(r"^(?:from|import) (unlearning.*)$", EXAMPLE.read_text(), flags=re.MULTILINE)
    assert imported == ["unlearning as ul"]
