"""`unlearn lineage …`: what came from what, which version serves, and whether it holds a record."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from unlearning import settings
from unlearning.cli.output import Json, show
from unlearning.errors import UserError

app = typer.Typer(help="From the original to the unlearned model.", no_args_is_help=True)


@app.callback()
def lineage() -> None:
    """From the original to the unlearned model."""


@app.command("show")
def show_lineage(
    model_name: Annotated[str, typer.Argument(help="Registered model, such as fashion-mnist-simclr.")],
    json: Json = False,
) -> None:
    """Every version of a model under the one it was made from."""
    # Imported here: MLflow takes a second, and the other commands do without it.
    from unlearning.cli.lineage_tree import tree
    from unlearning.registry import Registry

    registry = Registry(settings.from_environment().tracking_uri)
    versions = registry.versions(model_name)
    if not versions:
        raise UserError(f"model {model_name!r} is not in the registry at {registry.shown_uri}: pretrain it first")
    if json:
        show([version.model_dump() for version in versions], True)
    else:
        Console().print(tree(model_name, versions))
