from __future__ import annotations

from pathlib import Path

import pytest

from unlearning.registry import Version
from unlearning.steps.promote import Evidence
from unlearning.steps.register import register

Chain = dict[str, Path]


@pytest.fixture
def parent(chain: Chain, request: pytest.FixtureRequest) -> Version:
    """The original, registered as version 1 and champion of a model of this test alone."""
    return register(
        model_path=chain["model"],
        split_path=chain["split"],
        evaluation_path=chain["before"],
        model_name=request.node.name.partition("[")[0],
        run_name="first",
    )


@pytest.fixture
def evidence(chain: Chain) -> dict[str, Path]:
    """What `Evidence` takes, for a candidate that passed."""
    named = {f"{name}_path": chain[name] for name in ("candidate", "forget", "audit", "evaluation")}
    return named | {"verdict_path": chain["passed"]}


@pytest.fixture
def failed(evidence: dict[str, Path], chain: Chain) -> Evidence:
    """The same candidate, judged by margins that it cannot keep."""
    return Evidence(**evidence | {"verdict_path": chain["failed"]})
