"""Recipes: everything that decides how a model is trained, unlearned and judged, in one YAML.

Names and texts are told without torch; what a recipe holds is in `unlearning.recipes.recipe`.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from unlearning.core.errors import UserError

if TYPE_CHECKING:
    from unlearning.recipes.recipe import Recipe


def names() -> list[str]:
    """The recipes that come with the library."""
    files = resources.files(__package__).iterdir()
    return sorted(entry.name.removesuffix(".yaml") for entry in files if entry.name.endswith(".yaml"))


def default_recipe(dataset: str, paradigm: str) -> str:
    """The shipped recipe for a dataset and a paradigm, such as fashion-mnist-simclr.

    Raises:
        UserError: no such paradigm, or no such recipe.
    """
    known = sorted({each.rpartition("-")[2] for each in names()})
    if paradigm not in known:
        raise UserError(f"paradigm {paradigm!r} is unknown: choose one of {', '.join(known)}")
    name = f"{dataset}-{paradigm}"
    if name not in names():
        raise UserError(f"no recipe {name!r}: choose one of {', '.join(names())}, or give a YAML file")
    return name


def description(name: str) -> str:
    """What a shipped recipe says of itself, without looking at the rest of it."""
    return str(yaml.safe_load(text(name))["description"])


def text(name: str) -> str:
    """The YAML of a shipped recipe, or of a file.

    Raises:
        UserError: unknown, or not readable.
    """
    if name.endswith((".yaml", ".yml")):
        try:
            return Path(name).read_text()
        except OSError as error:
            raise UserError(f"recipe {name}: {error.strerror}; give a readable YAML file") from None
        except UnicodeDecodeError:
            raise UserError(f"recipe {name}: not text in UTF-8; give a readable YAML file") from None
    if name not in names():
        raise UserError(f"recipe {name!r} is unknown: choose one of {', '.join(names())}, or give a YAML file")
    return (resources.files(__package__) / f"{name}.yaml").read_text()


def load(name: str, overrides: str = "") -> Recipe:
    """A shipped recipe by name, or a YAML file by path, with YAML `overrides` laid over it.

    Raises:
        UserError: unknown, unreadable, not YAML, or not a valid recipe.
    """
    from unlearning.recipes.recipe import merge, parse_yaml, validate_recipe

    content = parse_yaml(text(name), f"recipe {name}")
    if overrides:
        content = merge(content, parse_yaml(overrides, "recipe overrides"))
    return validate_recipe(content, name)
