"""Kubeflow Pipelines over its published API, v2beta1.

The generated client is used and not `kfp.Client`: that one reads and writes a context file in the home
folder, warns at each start, and cannot tell a refused call from a lost one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import kfp_server_api as api
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from unlearning.core.errors import UserError

IN_CLUSTER_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
"""Where Kubernetes puts a service account's token for Kubeflow, as kfp expects it."""
PAGE_SIZE = 100
TIMEOUT = 60.0
"""Seconds one call may take."""
RETRIES = Retry(total=3, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504), raise_on_status=False)
"""Never a POST: a lost answer does not say that nothing was created."""
UNDONE = {"FAILED", "CANCELED", "CANCELING"}
FINISHED = {"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"}

_Answer = TypeVar("_Answer")
ADVICE = {
    401: "give a token that is valid: --token-file, UNLEARNING_KFP_TOKEN_FILE or UNLEARNING_KFP_TOKEN",
    403: "ask for the right to do this in the namespace, or give another --namespace",
    404: "look at the id, the namespace and the endpoint",
    409: "there is one of this name already",
    500: "the call may have been done: the same command again finds what it made by its name",
}


@dataclass(frozen=True)
class Endpoint:
    """Where Kubeflow Pipelines answers, and how to prove who asks; the token itself is read at each call."""

    url: str
    namespace: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None

    def token(self) -> str:
        """The bearer token: a file, else the environment, else the service account's; "" for none.

        Raises:
            UserError: the file that was named cannot be read or is empty.
        """
        named = self.token_file or os.environ.get("UNLEARNING_KFP_TOKEN_FILE", "")
        if not named and (text := os.environ.get("UNLEARNING_KFP_TOKEN", "").strip()):
            return text
        path = Path(named) if named else IN_CLUSTER_TOKEN
        if not named and not path.exists():
            return ""
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the token file {path}: {type(error).__name__}") from None
        if not token:
            raise UserError(f"the token file {path} is empty")
        return token


def _said(error: api.ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


class Pipelines:
    """What the command line asks of Kubeflow Pipelines."""

    def __init__(self, endpoint: Endpoint) -> None:
        """
        Raises:
            UserError: the URL is none, or a file for the token or the certificates cannot be read.
        """
        if not endpoint.url.startswith(("http://", "https://")):
            raise UserError("no endpoint of Kubeflow Pipelines: give --endpoint URL or UNLEARNING_KFP_ENDPOINT")
        if endpoint.ca_file is not None and not endpoint.ca_file.is_file():
            raise UserError(f"no file of certificates at {endpoint.ca_file}")
        self.endpoint = endpoint
        configuration = api.Configuration(host=endpoint.url.rstrip("/"))
        configuration.ssl_ca_cert = str(endpoint.ca_file) if endpoint.ca_file else None
        configuration.retries = RETRIES
        if token := endpoint.token():
            configuration.api_key["authorization"] = token
            configuration.api_key_prefix["authorization"] = "Bearer"
            configuration.refresh_api_key_hook = self._refresh
        client = api.ApiClient(configuration)
        self._health = api.HealthzServiceApi(client)
        self._experiments = api.ExperimentServiceApi(client)
        self._runs = api.RunServiceApi(client)
        self._recurring = api.RecurringRunServiceApi(client)

    def _refresh(self, configuration: api.Configuration) -> None:
        configuration.api_key["authorization"] = self.endpoint.token()

    def _call(self, what: str, call: Callable[..., _Answer], *arguments: Any, **options: Any) -> _Answer:
        try:
            return call(*arguments, _request_timeout=TIMEOUT, **options)
        except api.ApiException as error:
            status = int(error.status or 0)
            advice = ADVICE.get(500 if status >= 500 else status, "look at the endpoint")
            raise UserError(f"{self.endpoint.url}: {what}: {status} {_said(error)}; {advice}") from error
        except HTTPError as error:
            reason = type(getattr(error, "reason", None) or error).__name__
            raise UserError(f"{self.endpoint.url} does not answer ({reason}): is it the right endpoint?") from None

    def _named(self, what: str, call: Callable[..., Any], items: str, name: str, **options: Any) -> Iterator[Any]:
        """Everything of this name ("" for all), over all pages."""
        if name:
            predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
            options["filter"] = json.dumps({"predicates": [predicate]})
        token = ""
        while True:
            page = self._call(what, call, page_token=token, page_size=PAGE_SIZE, **options)
            yield from (each for each in getattr(page, items) or [] if not name or each.display_name == name)
            token = page.next_page_token
            if not token:
                return

    def several_users(self) -> bool:
        """Whether this Kubeflow keeps its users apart by namespaces."""
        return bool(self._call("ask for its health", self._health.healthz_service_get_healthz).multi_user)

    def experiment(self, name: str) -> str | None:
        """Id of an experiment; None if there is none."""
        options = {"namespace": self.endpoint.namespace} if self.endpoint.namespace else {}
        listing = self._experiments.experiment_service_list_experiments
        found = next(self._named("look for the experiment", listing, "experiments", name, **options), None)
        return None if found is None else str(found.experiment_id)

    def experiment_made(self, name: str) -> str:
        """Id of an experiment, created if there is none."""
        if found := self.experiment(name):
            return found
        wanted = api.V2beta1Experiment(display_name=name, namespace=self.endpoint.namespace or None)
        create = self._experiments.experiment_service_create_experiment
        return str(self._call("create the experiment", create, wanted).experiment_id)

    def standing_run(self, experiment: str, name: str) -> api.V2beta1Run | None:
        """A run of this name that has not failed and was not cancelled."""
        listing = self._runs.run_service_list_runs
        found = self._named("look for the run", listing, "runs", name, experiment_id=experiment)
        return next((run for run in found if run.state not in UNDONE), None)

    def create_run(self, run: api.V2beta1Run) -> api.V2beta1Run:
        """Start a run."""
        return self._call("create the run", self._runs.run_service_create_run, run, experiment_id=run.experiment_id)

    def run(self, run_id: str) -> api.V2beta1Run:
        """A run with its tasks."""
        return self._call("read the run", self._runs.run_service_get_run, run_id)

    def schedules(self, name: str = "", experiment: str = "") -> list[api.V2beta1RecurringRun]:
        """Recurring runs, of one name or all that may be seen."""
        options = {"experiment_id": experiment} if experiment else {}
        if self.endpoint.namespace and not experiment:
            options["namespace"] = self.endpoint.namespace
        listing = self._recurring.recurring_run_service_list_recurring_runs
        return list(self._named("list the schedules", listing, "recurring_runs", name, **options))

    def create_schedule(self, recurring_run: api.V2beta1RecurringRun) -> api.V2beta1RecurringRun:
        """Create a recurring run."""
        return self._call(
            "create the schedule", self._recurring.recurring_run_service_create_recurring_run, recurring_run
        )

    def enable_schedule(self, identity: str, enabled: bool) -> None:
        """Switch a recurring run on or off."""
        on, off = (
            self._recurring.recurring_run_service_enable_recurring_run,
            self._recurring.recurring_run_service_disable_recurring_run,
        )
        self._call("switch the schedule", on if enabled else off, identity)

    def delete_schedule(self, identity: str) -> None:
        """Delete a recurring run; one that is gone already counts as deleted."""
        try:
            self._call("delete the schedule", self._recurring.recurring_run_service_delete_recurring_run, identity)
        except UserError as error:
            if not (isinstance(error.__cause__, api.ApiException) and error.__cause__.status == 404):
                raise
