"""`unlearn lineage …`: what came from what, which version serves, and whether it holds a record."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.tree import Tree

from unlearning import settings
from unlearning.cli.output import Json, show
from unlearning.errors import UserError
from unlearning.ladder import RUNGS, described
from unlearning.registry import Registry, Version

app = typer.Typer(help="From the original to the unlearned model.", no_args_is_help=True)


@app.callback()
def lineage() -> None:
    """From the original to the unlearned model."""


_RUNGS: dict[str, str] = {rung: f" ({described(rung)})" for rung in RUNGS if rung != "first"}


def _label(version: Version) -> str:
    tags = version.tags
    aliases = f" [{', '.join(version.aliases)}]" if version.aliases else ""
    if "kind" not in tags:
        return f"version {version.version}{aliases}: registered by something else"
    verdict = "" if tags["verdict"] == "none" else f", verdict {tags['verdict']}"
    # Versions from before there was a choice were compared with the retrained model, and those from before there was
    # a ladder have no rung.
    compared = tags.get("compared_with", "retrained")
    gap = f", largest AUC gap {tags['largest_auc_gap']} to {compared}" if "largest_auc_gap" in tags else ""
    made = f"{tags['kind']} by {tags['method']}{_RUNGS.get(tags.get('rung', ''), '')}"
    accepted = ", accepted all the same" if tags.get("accepted") == "yes" else ""
    return f"version {version.version}{aliases}: {made}, {tags['status']}{verdict}{accepted}{gap}"


def _tree(name: str, versions: list[Version]) -> Tree:
    root = Tree(name)
    nodes: dict[str, Tree] = {}
    for version in versions:
        parent = nodes.get(version.tags.get("parent", ""), root)
        nodes[version.version] = parent.add(_label(version).replace("[", r"\["))
    return root


@app.command("show")
def show_lineage(
    model_name: Annotated[str, typer.Argument(help="Registered model, such as fashion-mnist-simclr.")],
    json: Json = False,
) -> None:
    """Every version of a model under the one it was made from."""
    registry = Registry(settings.from_environment().tracking_uri)
    versions = registry.versions(model_name)
    if not versions:
        raise UserError(f"model {model_name!r} is not in the registry at {registry.shown_uri}: pretrain it first")
    if json:
        show([version.model_dump() for version in versions], True)
    else:
        Console().print(_tree(model_name, versions))
