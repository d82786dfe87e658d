from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import pytest

from pipelines.cluster.doctor.clock import clock, judged
from tests.http_server import Quiet, listening


@pytest.fixture
def server_at() -> Iterator[Callable[[float | None], str]]:
    """The address of a server whose clock is so many seconds ahead; None for one that does not tell the time."""
    with ExitStack() as stack:

        def start(ahead: float | None) -> str:
            class Handler(Quiet, BaseHTTPRequestHandler):
                def do_HEAD(self) -> None:
                    self.send_response_only(404)
                    if ahead is not None:
                        self.send_header("Date", format_datetime(datetime.now(UTC) + timedelta(seconds=ahead)))
                    self.end_headers()

            return stack.enter_context(listening(Handler))

        yield start


@pytest.mark.parametrize(
    ("ahead", "state"),
    [(0, "ok"), (20, "ok"), (-20, "ok"), (100, "warning"), (-100, "warning"), (3600, "failed"), (-86_400, "failed")],
)
def test_clocks_that_differ_are_found(server_at: Callable[[float | None], str], ahead: float, state: str) -> None:
    (finding,) = clock([server_at(ahead)])
    assert finding.state == state
    assert (finding.do == "") == (state == "ok")


def test_whose_clock_is_behind_is_said() -> None:
    assert judged("x", 400).found == "400 s behind x"
    assert judged("x", -400).found == "400 s ahead of x"


@pytest.mark.parametrize(
    ("apart", "state"), [(30, "ok"), (31, "warning"), (300, "warning"), (301, "failed"), (-301, "failed")]
)
def test_the_bounds(apart: float, state: str) -> None:
    assert judged("x", apart).state == state


def test_services_without_a_time_or_none_at_all_are_no_verdict(server_at: Callable[[float | None], str]) -> None:
    assert [each.state for each in clock([server_at(None), "http://127.0.0.1:9"])] == ["unknown", "unknown"]
    assert [each.state for each in clock(["sqlite:///x", ""])] == ["unknown"]


def test_each_service_is_asked_once(server_at: Callable[[float | None], str]) -> None:
    url = server_at(0)
    assert len(list(clock([url, url]))) == 1
