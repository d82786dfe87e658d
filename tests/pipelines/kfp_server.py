"""Kubeflow Pipelines' API on localhost: reads each request with the published models, and answers with them.

It keeps what it is told in memory and runs nothing; a test sets the state of a run itself.
"""

from __future__ import annotations

import json
import re
import ssl
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api as api

from tests.http_server import Quiet, listening

PREFIX = "/apis/v2beta1"
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13, 503: 14}
"""gRPC's code for each HTTP status, as the gateway gives it."""
FORMATS = api.ApiClient(api.Configuration())
Routes = tuple[tuple[str, str, Callable[..., Any]], ...]
"""Method, path and what answers."""


class RefusalError(Exception):
    """An error answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def strict(value: Any, kind: str) -> None:
    """Refuse what the published model of this name does not know, all the way down."""
    if kind.startswith("list["):
        for each in value:
            strict(each, kind[5:-1])
    elif hasattr(api, kind):
        model = getattr(api, kind)
        if not model.attribute_map:  # an enumeration
            if value not in model.allowable_values:
                raise RefusalError(400, f"{kind}: {value!r}")
            return
        known = {json_name: name for name, json_name in model.attribute_map.items()}
        for name, inner in value.items():
            if name not in known:
                raise RefusalError(400, f"{kind} has no field {name!r}")
            strict(inner, model.openapi_types[known[name]])


def read_as(text: bytes, kind: str, *needed: str) -> Any:
    """A request's body as the published model; `needed` fields must be there."""
    value = json.loads(text)
    strict(value, kind)
    for name in needed:
        if not value.get(name):
            raise RefusalError(400, f"Invalid input error: {name} is missing")
    return FORMATS.deserialize(SimpleNamespace(data=text), kind)


class Kubeflow:
    """What the server holds, what was asked of it, and how it is to misbehave."""

    def __init__(self) -> None:
        self.accepts = "right"
        self.page_size = 2
        self.several_users = False
        self.experiments: dict[str, Any] = {}
        self.runs: dict[str, Any] = {}
        self.schedules: dict[str, Any] = {}
        self.asked: list[str] = []
        self.fail: list[tuple[str, int]] = []
        """Call and status; each is used up by the next such call."""
        self.moves: list[Callable[[Any], None]] = []
        """What becomes of a run at each look at it."""
        self.url = ""

    def page(self, items: list[Any], query: dict[str, str]) -> tuple[list[Any], str]:
        """The part of a listing that was asked for, and the token of the next."""
        for predicate in json.loads(query.get("filter", "{}")).get("predicates", []):
            if predicate["operation"] != "EQUALS" or predicate["key"] != "display_name":
                raise RefusalError(400, f"cannot filter by {predicate}")
            items = [each for each in items if each.display_name == predicate["stringValue"]]
        if self.several_users and not query.get("experiment_id") and not query.get("namespace"):
            raise RefusalError(400, "Invalid input error: In multi-user mode, a namespace is needed")
        wanted = {"experiment_id": query.get("experiment_id"), "namespace": self.namespace_of(query.get("namespace"))}
        for key, value in wanted.items():
            items = [each for each in items if not value or getattr(each, key) == value]
        start = int(query.get("page_token") or 0)
        end = start + min(self.page_size, int(query["page_size"]))
        return items[start:end], str(end) if end < len(items) else ""

    def namespace_of(self, given: str | None) -> str | None:
        """With a single user it takes every namespace for none (`ReplaceNamespace` of its source)."""
        return given if self.several_users else None

    def health(self, query: dict[str, str], body: bytes) -> Any:
        return api.V2beta1GetHealthzResponse(multi_user=self.several_users)

    def list_experiments(self, query: dict[str, str], body: bytes) -> Any:
        found, token = self.page(list(self.experiments.values()), query)
        return api.V2beta1ListExperimentsResponse(experiments=found, next_page_token=token)

    def create_experiment(self, query: dict[str, str], body: bytes) -> Any:
        made = read_as(body, "V2beta1Experiment", "display_name", *(["namespace"] if self.several_users else []))
        made.namespace = self.namespace_of(made.namespace)
        if any(each.display_name == made.display_name for each in self.experiments.values()):
            raise RefusalError(409, f"experiment {made.display_name} already exists")
        made.experiment_id = str(uuid.uuid4())
        self.experiments[made.experiment_id] = made
        return made

    def list_runs(self, query: dict[str, str], body: bytes) -> Any:
        found, token = self.page(list(self.runs.values()), query)
        return api.V2beta1ListRunsResponse(runs=found, next_page_token=token)

    def create_run(self, query: dict[str, str], body: bytes) -> Any:
        made = read_as(body, "V2beta1Run", "display_name", "experiment_id", "pipeline_spec")
        self.known(self.experiments, made.experiment_id)
        made.run_id, made.state, made.created_at = str(uuid.uuid4()), "PENDING", datetime.now(UTC)
        self.runs[made.run_id] = made
        return made

    def get_run(self, query: dict[str, str], body: bytes, identity: str) -> Any:
        if self.moves:
            self.moves.pop(0)(self.known(self.runs, identity))
        return self.known(self.runs, identity)

    def list_schedules(self, query: dict[str, str], body: bytes) -> Any:
        found, token = self.page(list(self.schedules.values()), query)
        return api.V2beta1ListRecurringRunsResponse(recurring_runs=found, next_page_token=token)

    def create_schedule(self, query: dict[str, str], body: bytes) -> Any:
        made = read_as(
            body, "V2beta1RecurringRun", "display_name", "experiment_id", "pipeline_spec", "trigger", "mode",
            "max_concurrency",
        )  # fmt: skip
        self.known(self.experiments, made.experiment_id)
        if len(made.trigger.cron_schedule.cron.split()) != 6:
            raise RefusalError(400, "Schedule cron is not supported")
        made.recurring_run_id = str(uuid.uuid4())
        made.status = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}[made.mode]
        self.schedules[made.recurring_run_id] = made
        return made

    def enable_schedule(self, query: dict[str, str], body: bytes, identity: str) -> Any:
        self.known(self.schedules, identity).status = "ENABLED"
        return {}

    def disable_schedule(self, query: dict[str, str], body: bytes, identity: str) -> Any:
        self.known(self.schedules, identity).status = "DISABLED"
        return {}

    def delete_schedule(self, query: dict[str, str], body: bytes, identity: str) -> Any:
        self.known(self.schedules, identity)
        del self.schedules[identity]
        return {}

    @property
    def routes(self) -> Routes:
        """The calls that it answers."""
        return ROUTES

    def known(self, kept: dict[str, Any], identity: str) -> Any:
        if identity not in kept:
            raise RefusalError(404, f"{identity} not found")
        return kept[identity]


ROUTES: Routes = (
    ("GET", "/healthz", Kubeflow.health),
    ("GET", "/experiments", Kubeflow.list_experiments),
    ("POST", "/experiments", Kubeflow.create_experiment),
    ("GET", "/runs", Kubeflow.list_runs),
    ("POST", "/runs", Kubeflow.create_run),
    ("GET", "/runs/{id}", Kubeflow.get_run),
    ("GET", "/recurringruns", Kubeflow.list_schedules),
    ("POST", "/recurringruns", Kubeflow.create_schedule),
    ("POST", "/recurringruns/{id}:enable", Kubeflow.enable_schedule),
    ("POST", "/recurringruns/{id}:disable", Kubeflow.disable_schedule),
    ("DELETE", "/recurringruns/{id}", Kubeflow.delete_schedule),
)


def route(routes: Routes, method: str, path: str) -> tuple[str, Callable[..., Any], tuple[str, ...]]:
    """The call's name, what answers it, and the ids in its path."""
    for wanted, template, call in routes:
        pattern = re.escape(PREFIX + template).replace(r"\{id\}", "([^/:]+)")
        if method == wanted and (found := re.fullmatch(pattern, path)):
            return f"{wanted} {template}", call, found.groups()
    raise RefusalError(404, f"no such call: {method} {path}")


class Handler(Quiet, BaseHTTPRequestHandler):
    """HTTP around a `Kubeflow`."""

    kubeflow: Kubeflow

    def answered(self) -> Any:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name, call, identities = route(self.kubeflow.routes, self.command, parts.path)
        self.kubeflow.asked.append(name)
        if self.headers.get("Authorization") != f"Bearer {self.kubeflow.accepts}":
            raise RefusalError(401, "Request header error: there is no user identity header")
        planned = next((each for each in self.kubeflow.fail if each[0] == name), None)
        if planned:
            self.kubeflow.fail.remove(planned)
            raise RefusalError(planned[1], "planned")
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        return getattr(self.kubeflow, call.__name__)(query, body, *identities)

    def do_GET(self) -> None:
        try:
            status, answer = 200, self.answered()
        except RefusalError as refusal:
            status = refusal.status
            answer = api.GoogleRpcStatus(code=CODES[status], message=str(refusal), details=[])
        self.send_json(status, FORMATS.sanitize_for_serialization(answer))

    def do_POST(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Kubeflow]:
    """A server on a free port of localhost, as long as the block lasts."""
    kubeflow = Kubeflow()
    with listening(type("Bound", (Handler,), {"kubeflow": kubeflow}), tls) as kubeflow.url:
        yield kubeflow
