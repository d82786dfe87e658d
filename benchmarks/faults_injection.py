"""Faults in the store and in the registry of one process, which is thrown away afterwards."""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import mlflow
from mlflow.exceptions import MlflowException

from unlearning.core.errors import UserError
from unlearning.storage.local import LocalStore

STORE_WRITES = ("create", "put_file", "delete", "purge")
STORE_READS = ("read", "exists", "list", "iterate", "measure", "get_folder")
REGISTRY_WRITES = (
    "create_registered_model", "set_model_version_tag", "set_registered_model_alias", "delete_registered_model_alias",
    "update_model_version", "update_registered_model", "log_inputs", "log_model_artifact",
)  # fmt: skip
REGISTRY_READS = (
    "search_model_versions", "search_registered_models", "get_registered_model", "get_experiment_by_name",
    "list_artifacts", "download_artifacts", "get_logged_model", "search_logged_models",
)  # fmt: skip
MLFLOW_WRITES = ("register_model", "set_tags", "log_params", "log_metrics", "log_artifact")

Call = Callable[[], Any]


class Fault(Protocol):
    """What happens instead of an operation, or around it."""

    def __call__(self, operation: str, call: Call, *, writes: bool) -> Any:
        """Do the operation, or not."""


def on_store(fault: Fault) -> None:
    """Every operation of the store goes through the fault."""
    _wrap(LocalStore, STORE_WRITES, fault, writes=True)
    _wrap(LocalStore, STORE_READS, fault, writes=False)


def on_registry(fault: Fault) -> None:
    """Every call to MLflow goes through the fault."""
    _wrap(mlflow.MlflowClient, REGISTRY_WRITES, fault, writes=True)
    _wrap(mlflow.MlflowClient, REGISTRY_READS, fault, writes=False)
    _wrap(mlflow, MLFLOW_WRITES, fault, writes=True)
    _wrap(mlflow.pyfunc, ("log_model",), fault, writes=True)


def _wrap(holder: Any, names: tuple[str, ...], fault: Fault, *, writes: bool) -> None:
    for name in names:
        real = getattr(holder, name)

        @functools.wraps(real)
        def wrapped(*given: Any, _real: Any = real, _name: str = name, **named: Any) -> Any:
            return fault(_name, functools.partial(_real, *given, **named), writes=writes)

        setattr(holder, name, wrapped)


class Dies:
    """The process ends, without any farewell, right before or right after its n-th write.

    Args:
        number: counted from 1; 0 for never.
        count: file for what was written, one line each; None for nowhere.
    """

    def __init__(self, number: int, *, before: bool = False, count: Path | None = None) -> None:
        self.number, self.before, self.count = number, before, count
        self.done = 0

    def __call__(self, operation: str, call: Call, *, writes: bool) -> Any:
        if not writes:
            return call()
        self.done += 1
        mine = self.done == self.number
        if mine and self.before:
            os._exit(9)
        found = call()
        if mine:
            os._exit(9)
        if self.count is not None:
            with self.count.open("a") as handle:
                handle.write(f"{operation}\n")
        return found


class Flaky:
    """Some operations of the store fail: before they have an effect, or after, so that the answer is lost."""

    def __init__(self, rate: float, seed: int) -> None:
        self.rate, self.draw = rate, random.Random(seed)  # noqa: S311 - not for secrets

    def __call__(self, operation: str, call: Call, *, writes: bool) -> Any:
        if self.draw.random() >= self.rate:
            return call()
        if writes and self.draw.random() < 0.5:
            call()
            raise UserError(f"the answer to {operation} was lost: try again")
        reason = self.draw.choice(("timed out", "500 Internal Server Error"))
        raise UserError(f"{operation}: {reason}: try again")


class Down:
    """MLflow answers nothing from its n-th call on."""

    def __init__(self, number: int, count: Path | None = None) -> None:
        self.number, self.count = number, count
        self.done = 0

    def __call__(self, operation: str, call: Call, *, writes: bool) -> Any:
        self.done += 1
        if self.number and self.done >= self.number:
            raise MlflowException("connection refused")
        if self.count is not None:
            with self.count.open("a") as handle:
                handle.write(f"{operation}\n")
        return call()
