from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.unlearning.erasures import erased_ids
from unlearning.compliance.retention.policy import withdrawn
from unlearning.compliance.retention.withdraw import WithdrawResult, withdraw
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.registry.client import Registry, Version
from unlearning.registry.tags import Tags

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def withdraw_for(*requests: str, **changed: Any) -> WithdrawResult:
    records = {request: erased_ids() for request in requests}
    given: dict[str, Any] = {"model_name": "tiny", "records": records, "now": NOW, "grace_days": 30}
    return withdraw(**given | changed)


def registry() -> Registry:
    return Registry(settings.from_environment().tracking_uri)


def versions() -> list[Version]:
    return registry().versions("tiny")


@pytest.mark.usefixtures("erasure")
def test_what_the_serving_version_was_made_from_is_withdrawn_and_what_was_rejected_too() -> None:
    assert versions()[0].aliases == ("superseded",)
    assert withdraw_for("R1") == WithdrawResult(("1", "2"), "2026-05-31T12:00:00+00:00")
    original, rejected, serving = versions()
    for version in (original, rejected):
        assert version.aliases == ()
        assert {
            "status": "withdrawn",
            "withdrawn_at": "2026-05-01T12:00:00+00:00",
            "purge_after": "2026-05-31T12:00:00+00:00",
            "withdrawn_for": "R1",
        }.items() <= version.tags.written().items()
    assert original.description.startswith("Made as 1\n")
    assert "withdrawn on 2026-05-01T12:00:00+00:00 for R1" in original.description
    assert "to be deleted after 2026-05-31T12:00:00+00:00" in original.description
    assert (serving.aliases, serving.tags.status) == (("champion",), "serving")
    assert "withdrawn" not in serving.description


@pytest.mark.usefixtures("erasure")
def test_withdrawing_again_moves_nothing_and_takes_what_came_meanwhile() -> None:
    withdraw_for("R1")
    once = versions()
    withdraw_for("R1", now=NOW + timedelta(days=9))
    assert versions() == once
    late = registry()
    late.client.create_model_version("tiny", f"models:/{once[1].tags.logged_model}", tags={"parent": "2"})
    assert withdraw_for("R1", now=NOW + timedelta(days=9)).versions == ("1", "2", "4")
    assert [each.tags for each in versions()[:3]] == [each.tags for each in once]
    assert versions()[3].tags.purge_after == "2026-06-09T12:00:00+00:00"


@pytest.mark.usefixtures("erasure")
@pytest.mark.parametrize("written", range(5))
def test_one_that_was_cut_off_does_not_look_finished_and_is_finished_by_the_next(
    written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificates are issued when `withdrawn_for` names the request, and say when the rest of it will be purged."""
    real, left = MlflowClient.set_model_version_tag, [written]

    def cut_off(*arguments: Any, **options: Any) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_model_version_tag", cut_off)
        with pytest.raises(KeyboardInterrupt):
            withdraw_for("R1")
    original = versions()[0]
    assert (original.tags.value("withdrawn_for") == "R1") == (written == 4)
    assert not original.tags.value("withdrawn_for") or withdrawn(original)
    assert withdraw_for("R1").versions == ("1", "2")
    assert all(withdrawn(each) and each.tags.value("withdrawn_for") == "R1" for each in versions()[:2])


@pytest.mark.usefixtures("erasure")
def test_another_request_is_added_to_those_it_was_withdrawn_for() -> None:
    withdraw_for("R1")
    registry().set_tags(versions()[2], Tags.model_validate({"request.R2": "fulfilled"}))
    withdraw_for("R2", now=NOW + timedelta(days=9))
    original = versions()[0]
    assert original.tags.withdrawn_for == "R1,R2"
    assert original.tags.purge_after == "2026-05-31T12:00:00+00:00"
    assert original.description.count("withdrawn on 2026-05-01T12:00:00+00:00 for R1, R2") == 1
    assert original.description.startswith("Made as 1\n")


@pytest.mark.usefixtures("erasure")
def test_a_version_that_serves_is_never_withdrawn() -> None:
    back = registry()
    back.make_champion(versions()[0])
    before = versions()
    with pytest.raises(UserError, match="tiny version 1 serves and holds records of request R1: promote"):
        withdraw_for("R1")
    assert versions() == before


@pytest.mark.usefixtures("erasure")
@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"grace_days": -1}, "a grace period of -1 days"),
        ({"now": datetime(2026, 5, 1)}, "no time zone"),
    ],
)
def test_what_makes_no_sense_is_refused(changed: dict[str, Any], problem: str) -> None:
    before = versions()
    with pytest.raises(UserError, match=problem):
        withdraw_for("R1", **changed)
    assert versions() == before


@pytest.mark.usefixtures("erasure")
def test_cut_off_anywhere_it_is_finished_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for step in range(40):
        count = 0

        def interrupted(real: Any, *arguments: Any, limit: int = step, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count > limit:
                raise KeyboardInterrupt
            return real(*arguments, **options)

        with monkeypatch.context() as broken:
            for name in ("delete_registered_model_alias", "update_model_version", "set_model_version_tag"):
                real = getattr(registry().client, name)
                broken.setattr(
                    f"mlflow.MlflowClient.{name}",
                    lambda self, *a, _real=real, **o: interrupted(_real, *a, **o),
                )
            try:
                withdraw_for("R1")
            except KeyboardInterrupt:
                continue
        break
    assert 3 < step < 39
    original, rejected, _ = versions()
    for version in (original, rejected):
        assert (version.aliases, version.tags.status) == ((), "withdrawn")
        assert version.description.count("withdrawn on") == 1
        assert version.description.startswith(f"Made as {version.version}\n")
