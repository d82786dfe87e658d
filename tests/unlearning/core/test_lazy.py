from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

from unlearning.core import lazy

WITHOUT_TORCH = ("tombstones", "check", "collect", "fulfil", "certify", "purge", "reject", "report")
"""Steps that read and write, and compute nothing: on a cluster each starts a Python of its own."""


def test_a_module_is_imported_when_something_of_it_is_used() -> None:
    code = (
        "import sys; from unlearning.core import lazy; found = lazy.module('colorsys');"
        "assert 'colorsys' not in sys.modules; print(found.rgb_to_hls(0, 0, 0)); assert 'colorsys' in sys.modules"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert answer.stdout == "(0.0, 0.0, 0.0)\n"


def test_it_stands_for_the_module() -> None:
    import json

    found = lazy.module("json")
    assert isinstance(found, ModuleType)
    assert found.dumps is json.dumps
    assert found.dumps is json.dumps, "the second time too"


def test_what_is_not_there_is_an_error_where_it_is_used() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        lazy.module("json").nothing  # noqa: B018
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        lazy.module("no_such_module").anything  # noqa: B018


def test_steps_that_compute_nothing_do_not_load_torch() -> None:
    modules = ", ".join(f"unlearning.steps.{name}" for name in WITHOUT_TORCH)
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
