"""`python -m manifests.check FOLDER`: render every overlay, hold it against Kubernetes' schemas and our policies."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import kubernetes_validate
import typer
import yaml

from manifests.objects import Object, name_of
from manifests.policies import POLICIES
from manifests.trainer_schema import against_trainer
from unlearning.cluster.names import TRAINER_GROUP

OVERLAYS = Path(__file__).parent / "overlays"
KUBERNETES = "1.32"
"""Version whose published schemas objects must fit."""


def overlays() -> list[str]:
    """Names of all overlays."""
    return sorted(path.parent.name for path in OVERLAYS.glob("*/kustomization.yaml"))


def render(overlay: str) -> str:
    """YAML of an overlay, as `kubectl apply -k` would send it."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise FileNotFoundError("kubectl")
    done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [kubectl, "kustomize", str(OVERLAYS / overlay)], capture_output=True, text=True, check=True
    )
    return done.stdout


def parse(text: str) -> list[Object]:
    """All objects of a stream of YAML documents."""
    return [item for item in yaml.safe_load_all(text) if item]


def against_schemas(items: Sequence[Object]) -> Iterator[str]:
    """What does not fit the published schemas; unknown fields do not."""
    for item in items:
        if item["apiVersion"].startswith(f"{TRAINER_GROUP}/"):
            yield from against_trainer(item)
            continue
        try:
            kubernetes_validate.validate(item, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{name_of(item)}: {error.message}"


def against_policies(items: Sequence[Object]) -> Iterator[str]:
    """What our policies forbid."""
    for policy in POLICIES:
        yield from policy(items)


def main(folder: Annotated[Path, typer.Argument(help="Where the rendered YAML goes.")]) -> None:
    """Render and check every overlay."""
    if shutil.which("kubectl") is None:
        typer.echo("error: kubectl not found: install it to render the manifests", err=True)
        raise typer.Exit(2)
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for overlay in overlays():
        text = render(overlay)
        (folder / f"{overlay}.yaml").write_text(text)
        items = parse(text)
        problems = [*against_schemas(items), *against_policies(items)]
        failed |= bool(problems)
        typer.echo(f"{overlay}: {len(items)} objects, {len(POLICIES)} policies, {len(problems)} problems")
        for problem in problems:
            typer.echo(f"  {problem}", err=True)
    if failed:
        raise typer.Exit(3)


if __name__ == "__main__":
    typer.run(main)
