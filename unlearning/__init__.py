"""Make trained encoders forget, and audit that they did. Works without a cluster.

What a researcher needs is here by name, and is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlearning.audit.accuracy import evaluate
    from unlearning.audit.attacks import ATTACKS, attack_all
    from unlearning.audit.audit import audit as audit_models
    from unlearning.audit.results import Audit, Verdict
    from unlearning.audit.signals import measure_signals
    from unlearning.audit.verdict import VerdictConfig, decide
    from unlearning.core.errors import UserError
    from unlearning.core.seeding import generator, initialisation
    from unlearning.data.forget_set import ForgetSet
    from unlearning.data.forget_set import select as select_forget_set
    from unlearning.data.records import Records
    from unlearning.data.snapshots import Snapshot
    from unlearning.data.snapshots import build as build_snapshot
    from unlearning.data.sources import SOURCES, open_source
    from unlearning.data.splits import Split, SplitConfig, make_split
    from unlearning.learning.models import Model
    from unlearning.learning.models import load as load_model
    from unlearning.learning.models import save as save_model
    from unlearning.learning.paradigms import PARADIGMS, Paradigm, make_paradigm
    from unlearning.learning.training import TrainingConfig, train
    from unlearning.methods import METHODS, Method
    from unlearning.recipes import load as load_recipe
    from unlearning.recipes.recipe import Recipe

__version__ = "0.1.0"

_HERE = {
    "core.errors": ("UserError",),
    "core.seeding": ("generator", "initialisation"),
    "data.records": ("Records",),
    "data.snapshots": ("Snapshot", "build as build_snapshot"),
    "data.sources": ("SOURCES", "open_source"),
    "data.splits": ("Split", "SplitConfig", "make_split"),
    "data.forget_set": ("ForgetSet", "select as select_forget_set"),
    "learning.models": ("Model", "load as load_model", "save as save_model"),
    "learning.paradigms": ("PARADIGMS", "Paradigm", "make_paradigm"),
    "learning.training": ("TrainingConfig", "train"),
    "methods": ("METHODS", "Method"),
    "audit.signals": ("measure_signals",),
    "audit.attacks": ("ATTACKS", "attack_all"),
    "audit.audit": ("audit as audit_models",),
    "audit.results": ("Audit", "Verdict"),
    "audit.verdict": ("VerdictConfig", "decide"),
    "audit.accuracy": ("evaluate",),
    "recipes": ("load as load_recipe",),
    "recipes.recipe": ("Recipe",),
}
"""The names, by the module below this package that has them."""

_PLACES = {
    name.rpartition(" as ")[2]: (module, name.partition(" as ")[0]) for module, names in _HERE.items() for name in names
}

__all__ = [
    "ATTACKS",
    "METHODS",
    "PARADIGMS",
    "SOURCES",
    "Audit",
    "ForgetSet",
    "Method",
    "Model",
    "Paradigm",
    "Recipe",
    "Records",
    "Snapshot",
    "Split",
    "SplitConfig",
    "TrainingConfig",
    "UserError",
    "Verdict",
    "VerdictConfig",
    "attack_all",
    "audit_models",
    "build_snapshot",
    "decide",
    "evaluate",
    "generator",
    "initialisation",
    "load_model",
    "load_recipe",
    "make_paradigm",
    "make_split",
    "measure_signals",
    "open_source",
    "save_model",
    "select_forget_set",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, found = _PLACES[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), found)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
