"""A whole compliance batch, step by step as the pipeline does it, with a clock of its own."""

from __future__ import annotations

import inspect
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.faults_world import ACCEPTING, World
from unlearning.audit.escalation import SERVING, AttemptName
from unlearning.audit.policy import Policy
from unlearning.compliance.retention.purge import purge
from unlearning.core.config import checked
from unlearning.core.errors import UserError
from unlearning.core.files import new_folder, sha256_json
from unlearning.steps.audit import audit
from unlearning.steps.certify import certify
from unlearning.steps.collect import collect
from unlearning.steps.decide import decide
from unlearning.steps.evaluate import evaluate
from unlearning.steps.fulfil import fulfil, release
from unlearning.steps.promote import evidence_at, promote
from unlearning.steps.reject import reject
from unlearning.steps.resolve import resolve
from unlearning.steps.select import select
from unlearning.steps.unlearn import unlearn
from unlearning.storage.lease import lock

LEASE = timedelta(hours=1)
GRACE_DAYS = 0
"""So that the batch that fulfils a request also purges what held its records."""

METHODS: dict[AttemptName, str] = {"first": "gradient_matching", "retrained": "retrain"}
"""Wide: what is tried here are the faults, not the models."""

Paths = dict[str, Any]
MARGINS: Paths = {"auc_margin": 0.49, "utility_margin": 0.9, "record_margin": 0.99, "memory_margin": 0.99}


class Clock:
    """The real time, and so much later or earlier."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def __call__(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.seconds)

    def install(self) -> None:
        """Let locks go by this clock too, in this whole process."""
        defaults = inspect.unwrap(lock).__kwdefaults__
        assert "now" in defaults
        defaults["now"] = lambda: time.time() + self.seconds


Reached = Callable[[str], None]
"""Told the name of every step of a batch when it is done."""


def run(world: World, batch: str, clock: Clock, reached: Reached = lambda step: None) -> None:
    """One batch to its end, and the release of what is left whatever happened, as the pipeline's exit handler does.

    Args:
        reached: called after each step.

    Raises:
        UserError: a step failed.
    """
    clock.install()
    (world.folder / "work").mkdir(exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=world.folder / "work") as scratch:
            result = collect(batch=batch, now=clock(), lease_hours=LEASE / timedelta(hours=1), grace_days=GRACE_DAYS)
            reached("collect")
            for model in result.left:
                _honour(world, batch, model, Path(scratch) / model, reached)
                fulfil(batch=batch, model=model, now=clock(), grace_days=GRACE_DAYS)
                reached(f"fulfil {model}")
            _certify(world, clock)
            reached("certify")
            purge(now=clock(), grace_days=GRACE_DAYS)
            reached("purge")
            _certify(world, clock)
            reached("certify what was purged")
    except UserError:
        with suppress(UserError):
            release(batch=batch, now=clock(), grace_days=GRACE_DAYS)
        raise
    release(batch=batch, now=clock(), grace_days=GRACE_DAYS)
    reached("release")


def _certify(world: World, clock: Clock) -> None:
    for each in certify(now=clock(), key=world.key, grace_days=GRACE_DAYS).skipped:
        print(f"{each.request} is not certified: {each.why}", flush=True)


def _honour(world: World, batch: str, model: str, at: Path, reached: Reached) -> None:
    """Make candidates for one model as the escalation policy says."""
    paths: Paths = {f"{name}_path": at / name for name in ("model", "snapshot", "split", "references")}
    parent = resolve(model_name=model, version="champion", **paths)
    reached(f"resolve {model}")
    data: Paths = {name: paths[name] for name in ("snapshot_path", "split_path")}
    forget = at / "forget"
    chosen: dict[str, Any] = {"kind": "batch", "fraction": 0.2, "class_name": "", "ids": "", "seed": 0}
    names: Paths = {"batch": batch, "model_name": model}
    found = select(**data, **chosen, **names, model_path=paths["model_path"], device="cpu", forget_path=forget)
    reached(f"select {model}")
    given: Paths = {"model_name": model, "parent": parent.version, "run_name": batch, "batch": batch}
    for attempt in METHODS:
        (at / attempt).mkdir()
        identity = sha256_json([parent.digest, found.digest, attempt])
        made = _evidence(world.made, identity, paths | {"forget_path": forget}, attempt)
        policy = checked(Policy, {**MARGINS, "on_inconclusive": ACCEPTING[model], "stronger": 0})
        verdict = at / attempt / "verdict"
        measured: dict[str, Any] = {f"{name}_path": made / name for name in ("audit", "evaluation")}
        action = decide(
            **measured, policy=policy, method=METHODS["first"], attempt=attempt, verdict_path=verdict
        ).action
        reached(f"decide {model} {attempt}")
        evidence = evidence_at(**measured, candidate_path=made / "candidate", forget_path=forget, verdict_path=verdict)
        if action in SERVING:
            promote(evidence, **given, policy=policy)
            reached(f"promote {model}")
            return
        reject(evidence, **given, action=action)
        reached(f"reject {model} {attempt}")


def _evidence(kept: Path, identity: str, paths: Paths, attempt: AttemptName) -> Path:
    """An attempt's candidate, audit and evaluation, made once: they follow from the model and the forget set."""
    if (kept / identity).exists():
        return kept / identity
    with tempfile.TemporaryDirectory() as scratch:
        at, data = Path(scratch), {name: paths[name] for name in ("snapshot_path", "split_path", "forget_path")}
        candidates = {"candidate": (METHODS[attempt], 0), "retrained": ("retrain", 1)}
        for name, (method, seed) in candidates.items():
            made: dict[str, Any] = {"method": method, "overrides": "", "seed": seed, "device": "cpu"}
            made["attempt"] = attempt if name == "candidate" else "first"
            unlearn(**data, **made, model_path=paths["model_path"], candidate_path=at / name)
        models = {"original": paths["model_path"], "candidate": at / "candidate", "retrained": at / "retrained"}
        named: dict[str, Any] = {f"{name}_path": path for name, path in models.items()}
        named |= {"references_path": paths["references_path"], "seed": 0, "device": "cpu"}
        audit(**data, **named, audit_path=at / "audit")
        evaluate(**data, model_paths=models, device="cpu", evaluation_path=at / "evaluation")
        with new_folder(kept / identity) as staging:
            shutil.copytree(at, staging, dirs_exist_ok=True)
    return kept / identity
