"""`unlearn submit`, `schedule` and `status`: runs on a cluster with Kubeflow Pipelines."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from unlearning.cli.output import Json, show
from unlearning.cluster import names
from unlearning.core.errors import EXIT_NOT_PROMOTED, UserError

if TYPE_CHECKING:
    from pipelines.cluster.client import Pipelines
    from pipelines.cluster.status import RunStatus
    from pipelines.cluster.submission import RunRequest

Url = Annotated[
    str, typer.Option("--endpoint", envvar="UNLEARNING_KFP_ENDPOINT", help="URL of Kubeflow Pipelines' API.")
]
Namespace = Annotated[str, typer.Option(help="Namespace, where Kubeflow serves several users.")]
TokenFile = Annotated[Path | None, typer.Option(help="File with a bearer token; else UNLEARNING_KFP_TOKEN[_FILE].")]
CaFile = Annotated[Path | None, typer.Option(help="Certificates (PEM) by which to know the endpoint.")]
Parameters = Annotated[list[str] | None, typer.Option("--param", help="name=value; may be repeated.")]
ParametersFile = Annotated[Path | None, typer.Option(help="YAML with parameters; --param is laid over it.")]
PackageFile = Annotated[Path | None, typer.Option("--package", help="Compiled pipeline, instead of a name.")]
Experiment = Annotated[str, typer.Option(help="Created if it is missing.")]
Root = Annotated[str, typer.Option(help="Where artifacts go; the cluster's default if left out.")]
Account = Annotated[str, typer.Option(help="Service account that the tasks run as.")]
Cache = Annotated[bool, typer.Option("--cache/--no-cache", help="Take over results of equal steps.")]
Name = Annotated[str, typer.Option(help="By this name it is found again, and not made twice.")]
Pipeline = Annotated[str, typer.Argument(help="pretraining, qualification, unlearning or compliance.")]


def _server_at(url: str, namespace: str, token_file: Path | None, ca_file: Path | None) -> Pipelines:
    # Imported here: Kubeflow is needed for talking to a cluster only.
    from pipelines.cluster.client import Endpoint, Pipelines

    return Pipelines(Endpoint(url, namespace, token_file, ca_file))


def values_of(path: Path | None) -> dict[str, Any]:
    """Parameters from a YAML file.

    Raises:
        UserError: it cannot be read, or is no mapping.
    """
    if path is None:
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} must map names of parameters to values")
    return found


def texts_of(options: list[str] | None) -> dict[str, str]:
    """Parameters as `name=value`.

    Raises:
        UserError: one of them is not.
    """
    texts = {}
    for each in options or []:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise UserError(f"--param {each!r} is not name=value")
        texts[name] = value
    return texts


def _request(
    pipeline: str, package: Path | None, texts: list[str] | None, values: Path | None, cache: bool, **more: str
) -> RunRequest:
    from pipelines.cluster import packages
    from pipelines.cluster.submission import RunRequest

    if bool(pipeline) == bool(package):
        raise UserError("give the name of a pipeline, or --package FILE")
    found = packages.read(package) if package else packages.compiled(pipeline)
    parameters = packages.checked(found, texts_of(texts), values_of(values))
    return RunRequest(found if cache else found.uncached(), parameters, **more)


def submit(
    pipeline: Pipeline = "",
    param: Parameters = None,
    params_file: ParametersFile = None,
    package: PackageFile = None,
    endpoint: Url = "",
    namespace: Namespace = "",
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    experiment: Experiment = "unlearning",
    name: Name = "",
    pipeline_root: Root = "",
    service_account: Account = names.SERVICE_ACCOUNT,
    cache: Cache = True,
    again: Annotated[bool, typer.Option("--again", help="Even if a run of this name stands.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end.")] = False,
    json: Json = False,
) -> None:
    """Run a pipeline on a cluster, once per name. docs/submitting.md has the whole path."""
    from pipelines.cluster.submission import submit as submitted

    request = _request(
        pipeline, package, param, params_file, cache,
        name=name, experiment=experiment, pipeline_root=pipeline_root, service_account=service_account,
    )  # fmt: skip
    server = _server_at(endpoint, namespace, token_file, ca_file)
    done = submitted(server, request, again)
    if wait:
        _report(_with_reasons(server, _followed(server, done.run_id, quiet=json), namespace), json)
        return
    made = "created" if done.created else "stands already (--again makes another)"
    show(done, json, lambda: f"run {done.run_id} {done.name}: {made}, {done.state}")


def schedule(
    pipeline: Annotated[
        str, typer.Argument(help="pretraining, qualification, unlearning, compliance, or `list`.")
    ] = "",
    cron: Annotated[str, typer.Option(help="Five fields, or six with seconds first; UTC on most clusters.")] = "",
    param: Parameters = None,
    params_file: ParametersFile = None,
    package: PackageFile = None,
    endpoint: Url = "",
    namespace: Namespace = "",
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    experiment: Experiment = "unlearning",
    name: Name = "",
    pipeline_root: Root = "",
    service_account: Account = names.SERVICE_ACCOUNT,
    cache: Cache = True,
    max_concurrency: Annotated[int, typer.Option(min=1, max=10, help="Runs of it at the same time.")] = 1,
    no_catchup: Annotated[bool, typer.Option("--no-catchup", help="Do not make up for times missed.")] = False,
    disable: Annotated[bool, typer.Option("--disable", help="Keep it, switched off.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it.")] = False,
    json: Json = False,
) -> None:
    """Let a pipeline recur, once per name; `unlearn schedule list` tells what recurs."""
    from pipelines.cluster import submission

    if pipeline == "list" or delete:
        server = _server_at(endpoint, namespace, token_file, ca_file)
        if delete:
            if not (name or pipeline):
                raise UserError("--delete needs the name of the schedule")
            count = submission.unschedule(server, name or pipeline, experiment)
            show({"name": name or pipeline, "deleted": count}, json)
            return
        found = [submission.as_scheduled(each) for each in server.schedules()]
        lines = [f"{each.schedule_id} {each.name}: {each.cron}, {_switch(each.enabled)}" for each in found]
        show({"schedules": [each.model_dump() for each in found]}, json, lambda: "\n".join(lines) or "none")
        return
    if not cron:
        raise UserError("give --cron, for example --cron '0 3 * * *'")
    request = _request(
        pipeline, package, param, params_file, cache,
        name=name, experiment=experiment, pipeline_root=pipeline_root, service_account=service_account,
    )  # fmt: skip
    server = _server_at(endpoint, namespace, token_file, ca_file)
    done = submission.schedule(server, request, cron, max_concurrency, no_catchup, enabled=not disable)
    show(done, json, lambda: f"schedule {done.schedule_id} {done.name}: {done.done}, {_switch(done.enabled)}")


def _switch(enabled: bool) -> str:
    return "enabled" if enabled else "disabled"


def status(
    run: Annotated[str, typer.Argument(help="Id of a run.")],
    endpoint: Url = "",
    namespace: Namespace = "",
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    follow: Annotated[bool, typer.Option("--follow", help="Until the run is over.")] = False,
    json: Json = False,
) -> None:
    """How a run and its tasks stand; exit code 3 when it failed or was cancelled."""
    from pipelines.cluster.status import status_of

    server = _server_at(endpoint, namespace, token_file, ca_file)
    found = _followed(server, run, quiet=json) if follow else status_of(server.run(run))
    _report(_with_reasons(server, found, namespace), json)


def _with_reasons(server: Pipelines, found: RunStatus, namespace: str) -> RunStatus:
    """The same with why tasks failed or do not start, as far as the cluster's pods may be looked at from here."""
    from pipelines.cluster.failures import reasons
    from pipelines.cluster.status import status_of

    if found.finished and not found.failed:
        return found
    why = reasons(found.run_id, [namespace] if namespace else [names.NAMESPACE, names.KUBEFLOW])
    return status_of(server.run(found.run_id), why) if why else found


EVERY = 5.0
"""Seconds between two looks at a run that is followed."""

PATIENCE = 600.0
"""Seconds for which the endpoint may be away while a run is followed, which goes on meanwhile."""


def _followed(server: Pipelines, run: str, quiet: bool) -> RunStatus:
    """Ask until the run is over; prints each change of a task once."""
    from pipelines.cluster.status import status_of

    told: dict[str, str] = {}
    now, answered = status_of(server.run(run)), time.monotonic()
    while True:
        steps = {f"{each.depth} {each.name}": (each.name, each.state) for each in now.steps}
        for name, (shown, state) in (steps or {each.id: (each.name, each.state) for each in now.tasks}).items():
            if not quiet and told.get(name) != state:
                print(f"{shown}: {state}", flush=True)
            told[name] = state
        if now.finished:
            return now
        time.sleep(EVERY)
        try:
            now, answered = status_of(server.run(run)), time.monotonic()
        except UserError as error:
            if time.monotonic() - answered > PATIENCE:
                raise
            print(f"{error}; asking again", file=sys.stderr, flush=True)


def _report(found: RunStatus, json: bool) -> None:
    show(found, json, found.text)
    if found.failed:
        raise typer.Exit(EXIT_NOT_PROMOTED)
