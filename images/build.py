"""`python -m images.build`: build the image with docker, podman or buildah, and write its bill of materials."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from unlearning.core.errors import EXIT_BAD_INPUT, UserError

ROOT = Path(__file__).parents[1]
ENGINES = ("docker", "podman", "buildah")
SBOM = "/opt/unlearning/sbom.cdx.json"


class Variant(StrEnum):
    """What torch brings with it."""

    CUDA = "cuda"
    CPU = "cpu"


@dataclass(frozen=True)
class Source:
    """What is built: recorded in the image's labels, and in its tag."""

    version: str
    commit: str
    """Forty hexadecimal digits, and `-dirty` where files differ from that commit."""
    created: str
    """The commit's date, ISO 8601: the same whenever it is built."""
    epoch: int
    """The same in seconds since 1970."""

    def tag(self, variant: Variant) -> str:
        """`unlearning:<version>-<12 digits of the commit>`; the CPU variant says so, a dirty tree too."""
        commit, *dirty = self.commit.split("-")
        suffix = ["cpu"] if variant is Variant.CPU else []
        return "unlearning:" + "-".join([self.version, commit[:12], *suffix, *dirty])


def output(*command: str, cwd: Path | None = None) -> str:
    """What a command prints; it fails loudly. No shell is involved."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return done.stdout.strip()


def find_source(root: Path, dirty: bool) -> Source:
    """Version and commit of a checkout.

    Raises:
        UserError: it is no checkout, or something is not committed and `dirty` does not allow that.
    """
    try:
        changed = bool(output("git", "status", "--porcelain", cwd=root))
        commit, created, epoch = output("git", "log", "-1", "--format=%H %cI %ct", cwd=root).split()
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"{root} is no git checkout with a commit: an image is named after its commit") from error
    if changed and not dirty:
        raise UserError(f"{root} has changes that are not committed: commit them, or give --dirty (DIRTY=1) to try out")
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    return Source(version, commit + "-dirty" * changed, created, int(epoch))


def find_engine(wanted: str | None) -> str:
    """The first engine that answers: a docker client without its daemon does not.

    Raises:
        UserError: none does.
    """
    for engine in [wanted] if wanted else ENGINES:
        if shutil.which(engine):
            asked = subprocess.run([engine, "version"], capture_output=True, check=False)  # noqa: S603
            if asked.returncode == 0:
                return engine
    raise UserError(
        f"no image engine answers (tried {wanted or ', '.join(ENGINES)}): install buildah, or give ENGINE=…"
    )


def build_command(
    engine: str, source: Source, variant: Variant, base: str | None, flags: Sequence[str], root: Path = ROOT
) -> list[str]:
    """The engine's arguments. Docker's image format keeps the health check, which the OCI format has no field for."""
    arguments = {
        "VARIANT": variant.value,
        "VERSION": source.version,
        "COMMIT": source.commit,
        "CREATED": source.created,
    }
    if base:
        arguments["BASE"] = base
    reproducible = [] if engine == "docker" else ["--format", "docker", "--timestamp", str(source.epoch)]
    pairs = [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
    containerfile = str(root / "images" / "Containerfile")
    return [
        engine, "build", "--file", containerfile, "--tag", source.tag(variant), *reproducible, *pairs, *flags, str(root)
    ]  # fmt: skip


def copy_sbom(engine: str, tag: str, target: Path) -> None:
    """Take the bill of materials out of an image without running it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if engine == "buildah":
        container = output("buildah", "from", "--pull-never", tag)
        try:
            shutil.copyfile(output("buildah", "mount", container) + SBOM, target)
        finally:
            output("buildah", "rm", container)
        return
    container = output(engine, "create", tag)
    try:
        output(engine, "cp", f"{container}:{SBOM}", str(target))
    finally:
        output(engine, "rm", container)


def main(
    flags: Annotated[list[str] | None, typer.Argument(help="Flags for the engine, after --.")] = None,
    base: Annotated[str | None, typer.Option(help="Base image: Python 3.11 or 3.12 with venv.")] = None,
    variant: Annotated[Variant, typer.Option(help="What torch brings with it.")] = Variant.CUDA,
    engine: Annotated[str | None, typer.Option(help="docker, podman or buildah; the first that answers.")] = None,
    dirty: Annotated[bool, typer.Option("--dirty", help="Build changes that are not committed.")] = False,
    sbom: Annotated[Path, typer.Option(help="Where the bill of materials goes.")] = Path("build/sbom.cdx.json"),
) -> None:
    """Build the image of the library at this commit."""
    try:
        source = find_source(ROOT, dirty)
        found = find_engine(engine)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    command = build_command(found, source, variant, base, flags or [])
    if subprocess.run(command, check=False).returncode:  # noqa: S603 - arguments, no shell
        typer.echo(f"error: {found} could not build the image: see above", err=True)
        raise typer.Exit(1)
    copy_sbom(found, source.tag(variant), sbom)
    typer.echo(f"{source.tag(variant)}, bill of materials in {sbom}")


if __name__ == "__main__":
    typer.run(main)
