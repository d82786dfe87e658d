"""Registering a candidate twice: whole, and killed at every write to MLflow or the store."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pytest

from benchmarks.faults_injection import MLFLOW_WRITES, REGISTRY_WRITES, STORE_WRITES
from components.conclude import conclude
from components.register import register
from tests.components.test_components import Chain, conclude_outputs, inputs_of, inspection, judged_in, policies
from unlearning.core.settings import from_environment
from unlearning.registry import promotion
from unlearning.registry.client import Registry
from unlearning.registry.promotion import LOCK_SECONDS
from unlearning.storage.lease import lock
from unlearning.storage.local import LocalStore

__all__ = ["inspection"]

WRITES: dict[Any, tuple[str, ...]] = {
    LocalStore: STORE_WRITES,
    mlflow.MlflowClient: REGISTRY_WRITES,
    mlflow: MLFLOW_WRITES,
    mlflow.pyfunc: ("log_model",),
}
MOST = 200
"""Writes of one registration are fewer."""


class KilledError(BaseException):
    """The process ends here."""


@contextmanager
def killed_at(number: int, *, before: bool) -> Iterator[list[str]]:
    """Inside, the n-th write is the last thing that happens, done or not; yields the names of the writes."""
    done: list[str] = []

    def counting(real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def write(*given: Any, **named: Any) -> Any:
            done.append(name)
            if before and len(done) == number:
                raise KilledError
            answer = real(*given, **named)
            if not before and len(done) == number:
                raise KilledError
            return answer

        return write

    with pytest.MonkeyPatch.context() as patch:
        for holder, names in WRITES.items():
            for name in names:
                patch.setattr(holder, name, counting(getattr(holder, name), name))
        yield done


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(
    ("verdict", "action", "follows", "status"),
    [("passed", "promote", "none", "serving"), ("failed", "retrain", "retrained", "rejected")],
)
def test_wherever_it_is_killed_another_attempt_leaves_one_version(
    chain: Chain,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    inspection: Path,
    verdict: str,
    action: str,
    follows: str,
    status: str,
    before: bool,
) -> None:
    later = 0.0
    # Whoever died in possession of a lock has it until its lease ends, for which the next attempt waits.
    monkeypatch.setattr(promotion, "lock", functools.partial(lock, now=lambda: time.time() + later))
    registry = Registry(from_environment().tracking_uri)
    original = inputs_of(chain, "model", "split", "references", evaluation="before")
    data = inputs_of(chain, "candidate", "retrained", "snapshot", "split", "forget", original="model")
    judged = judged_in(tmp_path / "judged", chain, verdict, inspection)
    for number in range(1, MOST):
        name = f"{action}-{before}-{number}"
        register.python_func(**original, registered={"model_name": name, "run_name": name, "kfp_run": ""})
        told = {"model_name": name, "run_name": f"{name}-unlearned", "batch": "", "parent": "1"}
        given: dict[str, Any] = {"action": action, "attempt": "first", "policy": policies(), "registered": told}
        out = conclude_outputs(tmp_path / name / "first")
        with killed_at(number, before=before) as done:
            try:
                answer = conclude.python_func(**data, judged=judged, **given, **out)
            except KilledError:
                answer = ""
        later += 2 * LOCK_SECONDS
        for again in ("second", "third"):  # where it was killed, and whole once more
            out = conclude_outputs(tmp_path / name / again)
            assert conclude.python_func(**data, judged=judged, **given, **out) == follows, done
        found = registry.versions(name)
        assert [each.version for each in found] == ["1", "2"], done
        assert found[1].tags.status == status, done
        assert registry.resolve(name).version == ("2" if status == "serving" else "1"), done
        attempts = json.loads((tmp_path / name / "third/attempts/attempts.json").read_text())
        assert [(each["version"], each["action"]) for each in attempts] == [("2", action)]
        assert (tmp_path / name / "third/summary").exists() == (follows == "none")
        if answer and len(done) < number:  # it ended by itself, and not because somebody swallowed the kill
            assert number > 8
            return
    raise AssertionError(f"more than {MOST} writes")
