"""Unlearning step by step, as the pipeline does it, on tiny models: for tests of what comes after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.margins import WIDE
from unlearning.audit.policy import Policy
from unlearning.core.config import checked
from unlearning.registry.client import Version
from unlearning.steps.audit import audit
from unlearning.steps.decide import decide
from unlearning.steps.evaluate import evaluate
from unlearning.steps.promote import evidence_at, promote
from unlearning.steps.resolve import resolve
from unlearning.steps.select import select
from unlearning.steps.unlearn import unlearn

OUTPUTS = ("model", "snapshot", "split", "references", "forgotten_before")


def resolved(name: str, version: str, at: Path) -> dict[str, Any]:
    paths: dict[str, Any] = {f"{output}_path": at / output for output in OUTPUTS}
    resolve(model_name=name, version=version, **paths)
    return {f"{output}_path": at / output for output in OUTPUTS[:3]}


RANDOM: dict[str, Any] = {"kind": "random", "fraction": 0.33, "class_name": "", "ids": ""}


def forgotten_again(
    given: dict[str, Any], at: Path, *, seed: int = 7, chosen: dict[str, Any] = RANDOM
) -> dict[str, Path]:
    """Evidence of a candidate that forgot a third of what is left; its margins let it pass.

    Args:
        chosen: what it forgets instead, see `select`.
    """
    data = {name: given[name] for name in ("snapshot_path", "split_path")}
    select(**data, **chosen, seed=seed, forget_path=at / "forget")
    paths = {"model_path": given["model_path"], "forget_path": at / "forget"}
    for name, offset in (("candidate", 0), ("retrained", 1)):
        unlearn(
            **data, **paths, method="retrain", overrides="", seed=seed + offset, device="cpu", candidate_path=at / name
        )
    audit(
        **data,
        original_path=given["model_path"],
        candidate_path=at / "candidate",
        retrained_path=at / "retrained",
        references_path=at / "references",
        forgotten_before_path=at / "forgotten_before",
        forget_path=at / "forget",
        seed=0,
        device="cpu",
        audit_path=at / "audit",
    )
    evaluate(
        **data,
        model_paths={"original": given["model_path"], "candidate": at / "candidate", "retrained": at / "retrained"},
        forget_path=at / "forget",
        device="cpu",
        evaluation_path=at / "evaluation",
    )
    measured: dict[str, Any] = {"audit_path": at / "audit", "evaluation_path": at / "evaluation"}
    decide(**measured, policy=Policy(**WIDE), method="retrain", verdict_path=at / "verdict")
    return measured | {
        "candidate_path": at / "candidate",
        "forget_path": at / "forget",
        "verdict_path": at / "verdict",
    }


def honoured(batch: str, model: str, at: Path, *, on_inconclusive: str = "accept") -> Version:
    """What the unlearning pipeline does for a batch: the model's next version."""
    given = resolved(model, "champion", at)
    chosen = RANDOM | {"kind": "batch", "batch": batch, "model_name": model}
    found = forgotten_again(given, at, chosen=chosen)
    return promote(
        evidence_at(**found),
        model_name=model,
        parent="champion",
        run_name=batch,
        batch=batch,
        policy=checked(Policy, {"on_inconclusive": on_inconclusive}),
    )
