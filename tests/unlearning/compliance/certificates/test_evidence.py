"""What certificates are made from is read once for many of them, and never older than it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unlearning.compliance.office import Office, opened
from tests.unlearning.compliance.test_office import documents
from unlearning.audit.results import Audit, Verdict
from unlearning.compliance.certificates.evidence import FRESH, Evidence
from unlearning.core.errors import UserError
from unlearning.reporting.summary import Summary


@pytest.fixture
def office(tmp_path: Path, make_summary: Callable[..., Summary], monkeypatch: pytest.MonkeyPatch) -> Office:
    """One model, which was made to forget somebody."""
    office = opened(tmp_path / "home", documents(make_summary), monkeypatch)
    office.begin("shop", frozenset(range(30)), 1)
    office.finish(office.trainings[-1])
    office.request(0, frozenset(), "")
    office.batch(["promote"], dies="", meanwhile=False)
    return office


class Clock:
    """Seconds, as the test sets them."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_inventory_is_at_most_so_old_and_never_older_than_a_change_of_ours(office: Office) -> None:
    clock = Clock()
    evidence = Evidence(office.store, office.registry, clock)
    first = evidence.inventory()
    office.move_champion("shop", "1")
    clock.now += FRESH
    assert evidence.inventory() is first
    clock.now += 0.1
    second = evidence.inventory()
    serving = [each.model("shop").serving for each in (first, second)]
    assert [each.version.version for each in serving if each is not None] == ["2", "1"]
    assert evidence.inventory() is second
    office.move_champion("shop", "2")
    evidence.changed()
    serves = evidence.inventory().model("shop").serving
    assert serves is not None
    assert serves.version.version == "2"


def test_versions_come_from_the_inventory_and_others_from_the_registry(office: Office) -> None:
    evidence = Evidence(office.store, office.registry)
    assert evidence.version("shop", "2") in evidence.inventory().model("shop").known
    assert evidence.version("shop", "champion").version == "2"
    with pytest.raises(UserError, match="shop"):
        evidence.version("shop", "9")


def test_what_a_run_has_logged_is_read_once(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    before = office.registry.read

    def counted(version: Any, name: str) -> bytes | None:
        read.append(name)
        return before(version, name)

    monkeypatch.setattr(office.registry, "read", counted)
    evidence = Evidence(office.store, office.registry)
    version = evidence.version("shop", "2")
    for _ in range(3):
        assert isinstance(evidence.logged(version, "audit", Audit), Audit)
        assert isinstance(evidence.logged(version, "verdict", Verdict), Verdict)
    assert sorted({name.removesuffix(".json") for name in read}) == ["audit", "verdict"]
    assert len(read) <= 4
