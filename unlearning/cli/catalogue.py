"""`unlearn recipes` and `methods`: what there is to choose from, told without importing any of it."""

from __future__ import annotations

from unlearning.cli.output import Json, show


def list_recipes(json: Json = False) -> None:
    """The recipes that come with the library."""
    from unlearning import recipes

    found = {name: recipes.description(name) for name in recipes.names()}
    show(found, json)


def list_methods(json: Json = False) -> None:
    """The unlearning methods, and the data each may look at beside the retain set."""
    from unlearning.methods import METHODS

    found = {name: ", ".join(sorted(method.sees)) or "nothing more" for name, method in METHODS.items()}
    show(found, json)
