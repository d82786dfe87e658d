from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.margins import WIDE
from unlearning.audit.policy import Policy
from unlearning.registry.candidate import CandidateEvidence
from unlearning.registry.client import Version
from unlearning.steps.audit import audit
from unlearning.steps.decide import decide
from unlearning.steps.evaluate import evaluate
from unlearning.steps.figures import figures
from unlearning.steps.promote import evidence_at
from unlearning.steps.register import register
from unlearning.steps.retrain_or_none import retrain_or_none
from unlearning.steps.unlearn import unlearn

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


@pytest.fixture(scope="session")
def drawn(finished_chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Evidence of the figures, of the chain's models but for those given: `drawn(candidate=..., retrained=...)`."""
    data: dict[str, Any] = {f"{name}_path": finished_chain[name] for name in ("snapshot", "split", "forget")}

    @cache
    def measure(candidate: Path = finished_chain["candidate"], retrained: Path = finished_chain["retrained"]) -> Path:
        folder = tmp_path_factory.mktemp("drawn")
        made: dict[str, Any] = {"original_path": finished_chain["model"], "candidate_path": candidate}
        written: dict[str, Any] = {"evidence_path": folder / "evidence.json", "page_path": folder / "figures.html"}
        figures(**data, **made, **written, retrained_path=retrained, device="cpu")
        return folder / "evidence.json"

    return measure


@pytest.fixture(scope="session")
def finished_by_references(finished_chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The same candidate, audited and evaluated where nothing was retrained, and a verdict with wide margins."""
    at, folder = finished_chain, tmp_path_factory.mktemp("by-references")
    made = {name: folder / name for name in ("retrained", "audit", "evaluation", "passed")}
    data: dict[str, Any] = {f"{name}_path": at[name] for name in ("snapshot", "split", "forget")}
    retrain_or_none(
        **data,
        model_path=at["model"],
        compare_with="references",
        seed=0,
        device="cpu",
        retrained_path=made["retrained"],
    )
    models = {"original": at["model"], "candidate": at["candidate"], "retrained": made["retrained"]}
    paths: dict[str, Any] = {f"{name}_path": path for name, path in models.items()}
    audit(**data, **paths, references_path=at["references"], seed=0, device="cpu", audit_path=made["audit"])
    evaluate(**data, model_paths=models, device="cpu", evaluation_path=made["evaluation"])
    margins: dict[str, Any] = {"policy": Policy(**WIDE), "method": "gradient_matching"}
    decide(**margins, audit_path=made["audit"], evaluation_path=made["evaluation"], verdict_path=made["passed"])
    return made


@pytest.fixture
def by_references(chain: Chain, finished_by_references: Chain) -> Chain:
    """What the steps made where nothing was retrained: `retrained`, `audit`, `evaluation` and `passed`."""
    assert chain, "sets the home"
    return finished_by_references


@pytest.fixture(scope="session")
def diverged_chain(finished_chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """What the steps leave of a method that diverges, judged by margins that any model passes."""
    folder = tmp_path_factory.mktemp("diverged")
    at = finished_chain | {name: folder / name for name in ("candidate", "audit", "evaluation", "diverged")}
    data: dict[str, Any] = {f"{name}_path": at[name] for name in ("snapshot", "split", "forget")}
    unlearn(
        **data,
        model_path=at["model"],
        method="gradient_matching",
        overrides="{optimisation: {learning_rate: 1.0e30}}",
        seed=0,
        device="cpu",
        keep_diverged=True,
        candidate_path=at["candidate"],
    )
    compared = {name: at[name] for name in ("candidate", "retrained")}
    paths: dict[str, Any] = {f"{name}_path": at[name] for name in (*compared, "references")}
    audit(**data, **paths, original_path=at["model"], seed=0, device="cpu", audit_path=at["audit"])
    everybody = {"original": at["model"]} | compared
    evaluate(**data, model_paths=everybody, device="cpu", evaluation_path=at["evaluation"])
    margins = {"policy": Policy(**WIDE)}
    given: dict[str, Any] = {"audit_path": at["audit"], "evaluation_path": at["evaluation"], **margins}
    decide(**given, method="gradient_matching", verdict_path=at["diverged"])
    return at


@pytest.fixture
def diverged(diverged_chain: Chain, evidence: dict[str, Path]) -> dict[str, Path]:
    """What `Evidence` takes, for a candidate whose method diverged."""
    changed = {f"{name}_path": diverged_chain[name] for name in ("candidate", "audit", "evaluation")}
    return evidence | changed | {"verdict_path": diverged_chain["diverged"]}


@pytest.fixture
def failed(evidence: dict[str, Path], chain: Chain) -> CandidateEvidence:
    """The same candidate, judged by margins that it cannot keep."""
    return evidence_at(**evidence | {"verdict_path": chain["failed"]})


@pytest.fixture
def checkpoints(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the checkpoints of this test alone."""
    monkeypatch.setenv("UNLEARNING_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return tmp_path / "checkpoints"
