"""`unlearn doctor`: what would fail a run, before it is started."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlearning.cli.cluster import CaFile, PackageFile, Parameters, ParametersFile, TokenFile, Url, texts_of, values_of
from unlearning.cli.output import Json, show
from unlearning.cluster import names
from unlearning.core.errors import EXIT_PROBLEMS, UserError

if TYPE_CHECKING:
    from pipelines.cluster.client import Endpoint
    from pipelines.cluster.doctor.findings import Check, Finding
    from unlearning.cluster.client import Node
    from unlearning.cluster.workers import Workers
    from unlearning.core.settings import Settings


def doctor(
    pipeline: Annotated[
        str, typer.Argument(help="Of which the parameters and the image are looked at too, such as pretraining.")
    ] = "",
    param: Parameters = None,
    params_file: ParametersFile = None,
    package: PackageFile = None,
    endpoint: Url = "",
    namespace: Annotated[
        str,
        typer.Option(
            help=f"Where the runs are; {names.KUBEFLOW} if left out where Kubeflow has a single user, "
            f"else {names.NAMESPACE}.",
            show_default=False,
        ),
    ] = "",
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs that one task is to get.")] = 0,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes that are to train one model together.")] = 1,
    node_gpus: Annotated[int, typer.Option(min=0, help="GPUs that each of several nodes is to get.")] = 0,
    context: Annotated[str, typer.Option(help="Context of the kubeconfig; the current one if left out.")] = "",
    kubernetes: Annotated[bool, typer.Option("--kubernetes/--no-kubernetes", help="Look at the cluster.")] = True,
    keyring: Annotated[Path | None, typer.Option(help="Keyring that readers of certificates have.")] = None,
    json: Json = False,
) -> None:
    """Look for what would fail a run: one line each, and what to do. Exit code 3 if anything failed."""
    from pipelines.cluster.client import Endpoint
    from pipelines.cluster.doctor.findings import examine
    from pipelines.cluster.doctor.placement import namespace_of_runs, several_users
    from unlearning.cluster.workers import workers
    from unlearning.core import settings

    wanted = workers(nodes=nodes, node_gpus=node_gpus)
    where = settings.from_environment()
    kubeflow = Endpoint(endpoint, namespace or names.NAMESPACE, token_file, ca_file)
    several = several_users(kubeflow) if kubernetes else None
    checks = [*_here(where, keyring), *_services(where, kubeflow)]
    if pipeline or package:
        checks += _run(pipeline, package, param, params_file, lambda: _nodes(context) if kubernetes else [])
    if kubernetes:
        runs = namespace_of_runs(namespace, several)
        checks.append(("kubernetes", lambda: _kubernetes(context, runs, several, gpus, wanted)))
    found = list(examine(checks))
    show({"findings": [each.model_dump() for each in found]}, json, lambda: _text(found))
    if any(each.state == "failed" for each in found):
        raise typer.Exit(EXIT_PROBLEMS)


def _text(found: list[Finding]) -> str:
    width = max(len(each.check) for each in found)
    return "\n".join(each.line(width) for each in found)


def _here(where: Settings, keyring: Path | None) -> list[tuple[str, Check]]:
    from pipelines.cluster.doctor.folders import folders
    from pipelines.cluster.doctor.signing import signing

    return [
        ("folders", lambda: folders((where.home, where.data, where.checkpoints))),
        ("signing key", lambda: signing(keyring)),
    ]


def _services(where: Settings, endpoint: Endpoint) -> list[tuple[str, Check]]:
    from pipelines.cluster.doctor.clock import clock
    from pipelines.cluster.doctor.findings import Finding
    from pipelines.cluster.doctor.kubeflow import kubeflow
    from pipelines.cluster.doctor.mlflow import mlflow
    from pipelines.cluster.doctor.object_store import buckets, object_store

    def asked() -> Iterator[Finding]:
        if endpoint.url:
            yield from kubeflow(endpoint)
        else:
            yield Finding(check="kubeflow", state="unknown", found="not looked at: give --endpoint URL")

    times = (where.tracking_uri, endpoint.url, os.environ.get("AWS_ENDPOINT_URL", ""))
    return [
        ("store", lambda: object_store(where.store)),
        ("store", lambda: buckets((where.pipeline_root, where.mlflow_artifacts))),
        ("mlflow", lambda: mlflow(where.tracking_uri)),
        ("kubeflow", asked),
        ("clock", lambda: clock(times)),
    ]


def _run(
    pipeline: str,
    package: Path | None,
    param: list[str] | None,
    params_file: Path | None,
    nodes: Callable[[], list[Node]],
) -> list[tuple[str, Check]]:
    from pipelines.cluster import packages
    from pipelines.cluster.doctor.image import image
    from pipelines.cluster.doctor.parameters import parameters

    if pipeline and package:
        raise UserError("give the name of a pipeline, or --package FILE")
    found = packages.read(package) if package else packages.compiled(pipeline)
    texts, values = texts_of(param), values_of(params_file)
    return [("parameters", lambda: parameters(found, texts, values)), ("image", lambda: image(found, nodes()))]


def _nodes(context: str) -> list[Node]:
    """None where they may not be seen: what asks of them is then left to the registry."""
    from unlearning.cluster.client import Cluster

    try:
        return Cluster(context).nodes()
    except UserError:
        return []


def _kubernetes(context: str, namespace: str, several: bool | None, gpus: int, wanted: Workers) -> Iterator[Finding]:
    from pipelines.cluster.doctor.cache import cache
    from pipelines.cluster.doctor.findings import Finding, examine
    from pipelines.cluster.doctor.gpus import gpus as gpus_of
    from pipelines.cluster.doctor.launcher import launcher
    from pipelines.cluster.doctor.namespace import namespace as namespace_of
    from pipelines.cluster.doctor.placement import placement
    from pipelines.cluster.doctor.trainer import trainer
    from unlearning.cluster.client import Cluster
    from unlearning.core.errors import NotConfiguredError

    try:
        cluster = Cluster(context)
    except NotConfiguredError as error:
        yield Finding(check="kubernetes", state="unknown", found=str(error))
        return
    checks: list[tuple[str, Check]] = [
        ("runs", lambda: placement(cluster, namespace, several)),
        ("namespace", lambda: namespace_of(cluster, namespace)),
        ("launcher", lambda: launcher(cluster, namespace)),
        ("cache", lambda: cache(cluster, namespace)),
        ("gpus", lambda: gpus_of(cluster, namespace, gpus)),
    ]
    if wanted.nodes > 1:
        checks += [
            ("trainer", lambda: trainer(cluster, namespace)),
            ("gpus", lambda: gpus_of(cluster, namespace, wanted.node_gpus, wanted.nodes)),
        ]
    yield from examine(checks)
