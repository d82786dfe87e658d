"""`unlearn lineage …`: what came from what, which version serves, and whether it holds a record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, RenderableType

from unlearning.cli import lineage_text as text
from unlearning.cli.output import Json, path_text, show
from unlearning.core.errors import UserError
from unlearning.core.files import write_text
from unlearning.lineage import queries as sources
from unlearning.lineage import requests
from unlearning.registry import history
from unlearning.registry.overview import overview
from unlearning.registry.tags import Tags
from unlearning.registry.versions import Version

if TYPE_CHECKING:
    # See `lineage_sources`.
    from unlearning.registry.client import Registry

app = typer.Typer(help="From the original to the unlearned model.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(help="Registered model, such as fashion-mnist-simclr.")]
Number = Annotated[str, typer.Argument(metavar="VERSION", help="Number or alias, such as 3 or champion.")]
Request = Annotated[str, typer.Argument(help="Id of the request.")]


@app.callback()
def lineage() -> None:
    """From the original to the unlearned model. docs/lineage.md has an example of every question."""


def _answer(found: Any, json: bool, shown: RenderableType) -> None:
    if json:
        show(found, True)
    else:
        Console().print(shown)


def _version(model: str, wanted: str) -> tuple[Registry, Version, list[Version]]:
    registry = sources.registry()
    versions = sources.versions_of(registry, model)
    return registry, history.of(versions, model, wanted), versions


@app.command("show")
def show_lineage(model: Model, json: Json = False) -> None:
    """Every version of a model under the one it was made from."""
    versions = sources.versions_of(sources.registry(), model)
    _answer([version.model_dump() for version in versions], json, text.tree(model, versions))


@app.command()
def graph(
    model: Model,
    output: Annotated[
        Path | None, typer.Option(help="File ending in .svg or .mmd; left out, Mermaid is printed.")
    ] = None,
    json: Json = False,
) -> None:
    """Draw every version below the one it was made from: as SVG, or as text for Mermaid."""
    # Imported here: only drawing needs what figures are drawn with.
    from unlearning.reporting.figures import lineage as drawing

    if output is not None and output.suffix not in (".svg", ".mmd"):
        raise UserError(f"cannot draw {output}: give a file that ends in .svg or .mmd")
    versions = overview(sources.versions_of(sources.registry(), model))
    drawn = drawing.graph if output is not None and output.suffix == ".svg" else drawing.mermaid
    if output is not None:
        write_text(output, drawn(model, versions))
        show({"graph": path_text(output)}, json)
    elif json:
        show([each.model_dump() for each in versions], True)
    else:
        print(drawn(model, versions), end="")


@app.command()
def serving(model: Model, json: Json = False) -> None:
    """Which version serves, since when, and what it replaced."""
    found = history.serving(model, sources.versions_of(sources.registry(), model))
    _answer(found, json, text.serving(found))


@app.command()
def replaced(model: Model, version: Number, json: Json = False) -> None:
    """What replaced a version, when, and for which requests."""
    _, wanted, versions = _version(model, version)
    found = history.replaced(wanted, versions)
    _answer(found, json, text.replaced(found))


@app.command()
def ancestors(model: Model, version: Number, json: Json = False) -> None:
    """Everything a version was made from, down to the snapshot its original was trained on."""
    _, wanted, versions = _version(model, version)
    found = history.ancestors(wanted, versions)
    _answer(found, json, text.ancestors(found))


@app.command()
def pending(request: Request, json: Json = False) -> None:
    """Which versions have not honoured a request, and whether their weights still exist."""
    registry = sources.registry()
    concern, held = sources.concern(registry, request), sources.holders(registry, request)
    names = {*concern.models, *(name for name, _ in held or ())}
    found = requests.pending(request, concern, sources.versions_of_all(registry, names), held)
    _answer(found, json, text.pending(found))


@app.command()
def honoured(request: Request, json: Json = False) -> None:
    """Which version of each model was the first to honour a request, with its certificate."""
    registry = sources.registry()
    concern = sources.concern(registry, request)
    found = requests.first_honoured(request, sources.versions_of_all(registry, concern.models))
    _answer(found, json, text.honoured(found))


@app.command("trained-on")
def trained_on(
    snapshot: Annotated[str, typer.Argument(help="Digest of the snapshot, or its first 8 digits or more.")],
    json: Json = False,
) -> None:
    """Which versions were trained on a snapshot or made from one that was, and which forgot part of it since."""
    registry = sources.registry()
    digest = sources.snapshot_digest(registry, snapshot)
    holding = [each for key in ("snapshot", "from_snapshot") for each in registry.search(Tags(**{key: digest}))]
    if not holding:
        sources.require_snapshot(digest)
    found = requests.trained_on(digest, sources.versions_of_all(registry, (each.name for each in holding)))
    _answer(found, json, text.trained_on(found))


@app.command()
def audit(model: Model, version: Number, json: Json = False) -> None:
    """The audit of a version: verdict, attacks with intervals, limits."""
    registry, wanted, _ = _version(model, version)
    found = sources.audit_of(registry, wanted)
    _answer(found, json, text.audited(found))


@app.command()
def artefacts(model: Model, version: Number, json: Json = False) -> None:
    """What was derived with a version, and whether it is live, withdrawn or purged: looked for, not believed."""
    registry, wanted, _ = _version(model, version)
    found = sources.artefacts_of(registry, wanted)
    _answer(found, json, text.artefacts(found))
