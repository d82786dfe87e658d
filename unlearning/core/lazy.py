"""Modules that are imported when something of them is first used.

Importing torch takes seconds, and most tasks of a batch read JSON alone.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """Stands for a module until something of it is used."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(importlib.import_module(self.__name__), name)
        setattr(self, name, found)
        return found


def module(name: str) -> LazyModule:
    """The module of this name, not imported yet."""
    return LazyModule(name)
