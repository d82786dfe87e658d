from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from unlearning.audit.escalation import accepted_statement
from unlearning.compliance.certificates.predicate import Data, Making, ModelErasure, Purge, Times

Erased = Callable[..., dict[str, Any]]
HOWS = ("unlearned", "retrained", "accepted", "never_trained")
TIMES = {
    "received": "2024-06-01T08:00:00Z",
    "due": "2024-07-01T08:00:00Z",
    "fulfilled": "2024-06-11T10:15:00Z",
    "issued": "2024-06-12T09:00:00Z",
}


@pytest.mark.parametrize("how", HOWS)
def test_every_way_of_erasing_can_be_told(how: str, model_erasure: Erased) -> None:
    assert ModelErasure.model_validate(model_erasure(how)).how == how
    if how == "never_trained":
        assert ModelErasure.model_validate(model_erasure(how, "")).name == ""
        return
    with pytest.raises(ValidationError, match="a model has a name"):
        ModelErasure.model_validate(model_erasure(how, ""))


@pytest.mark.parametrize("outcome", ["passed", "leaks", "over_forgotten", "utility_lost", "inconclusive"])
@pytest.mark.parametrize("how", ["unlearned", "retrained", "accepted"])
def test_only_what_passed_counts_as_forgotten_and_only_what_could_not_be_told_is_accepted(
    how: str, outcome: str, model_erasure: Erased
) -> None:
    document = model_erasure(how)
    document["audit"]["outcome"] = outcome
    if outcome == ("inconclusive" if how == "accepted" else "passed"):
        ModelErasure.model_validate(document)
        return
    with pytest.raises(ValidationError, match=f"a model that was {how} has the outcome"):
        ModelErasure.model_validate(document)


@pytest.mark.parametrize(
    ("how", "change", "wrong"),
    [
        ("accepted", lambda it: it["audit"].update(statement=None), "a statement only if accepted"),
        ("unlearned", lambda it: it["audit"].update(statement="x"), "a statement only if accepted"),
        ("unlearned", lambda it: it.update(audit=None), "needs weights, forget set"),
        ("retrained", lambda it: it.update(made=None), "needs weights, forget set"),
        ("accepted", lambda it: it["forgotten"].update(forget_set=None), "needs weights, forget set"),
        ("unlearned", lambda it: it["forgotten"].update(records=0), "forgot a record at least"),
        ("unlearned", lambda it: it.update(after=it["before"]), "other weights than before"),
        ("unlearned", lambda it: it.update(before=None), "a model has a name and weights before and after"),
        ("unlearned", lambda it: it["made"].update(method="retrain"), "where the method is retrain"),
        ("retrained", lambda it: it["made"].update(method="finetune"), "where the method is retrain"),
        ("never_trained", lambda it: it.update(after={"version": "2", "weights": "9" * 64}), "neither made anew"),
        ("unlearned", lambda it: it["audit"].update(attacks=[]), "at least 1 item"),
        ("unlearned", lambda it: it.update(note="x"), "note"),
        ("unlearned", lambda it: it["made"].update(rung="fourth"), r"made\.rung"),
        ("unlearned", lambda it: it["forgotten"].update(records=-1), r"forgotten\.records"),
        ("unlearned", lambda it: it["before"].update(weights="A" * 64), r"before\.weights"),
        ("unlearned", lambda it: it["before"].update(version=""), r"before\.version"),
        ("unlearned", lambda it: it.update(name="a/b"), "name"),
        ("unlearned", lambda it: it["audit"].update(reasons=["two\nlines"]), "printable"),
    ],
)
def test_what_contradicts_itself_is_refused(
    how: str, change: Callable[[Any], Any], wrong: str, model_erasure: Erased
) -> None:
    document = model_erasure(how)
    change(document)
    with pytest.raises(ValidationError, match=wrong):
        ModelErasure.model_validate(document)


SETS = {
    "size": 3,
    "sets": 100,
    "record_margin": 0.05,
    "memory_margin": 0.25,
    "single_records": [
        {
            "measure": "recognised",
            "attack": "rmia",
            "shown": 0.02,
            "expected": 0.01,
            "difference": {"estimate": 0.01, "low": -0.01, "high": 0.03, "level": 0.9},
            "simultaneous": None,
        }
    ],
    "seed": 0,
    "references": 16,
    "attacks": [{"name": "loss", "gap": {"estimate": 0.02, "low": -0.01, "high": 0.05, "level": 0.9}}],
    "auc_margin": 0.1,
    "utility_margin": 0.03,
    "utility_lost": {"knn": {"estimate": 0.0, "low": -0.01, "high": 0.01, "level": 0.9}},
}
"""Of a qualification."""


def test_what_was_accepted_may_say_by_which_qualification(model_erasure: Erased) -> None:
    document = model_erasure("accepted") | {"qualifications": [SETS]}
    (found,) = ModelErasure.model_validate(document).qualifications
    assert found.model_dump(mode="json") == SETS


@pytest.mark.parametrize("how", HOWS)
def test_nothing_else_is_so_by_qualification(how: str, model_erasure: Erased) -> None:
    document = model_erasure(how) | {"qualifications": [SETS]}
    if how == "accepted":
        document["made"]["method"] = "retrain"
    with pytest.raises(ValidationError, match="accepted without being trained again is so by qualification"):
        ModelErasure.model_validate(document)


def test_where_there_is_no_qualification_it_is_spelled_as_before_there_were_any(model_erasure: Erased) -> None:
    assert "qualifications" not in ModelErasure.model_validate(model_erasure("accepted")).model_dump(mode="json")


def test_times_are_kept_in_utc() -> None:
    times = Times.model_validate(TIMES | {"received": "2024-06-01T10:00:00+02:00"})
    assert times.model_dump(mode="json")["received"] == "2024-06-01T08:00:00Z"
    assert times.in_time


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"fulfilled": "2024-05-31T00:00:00Z"}, "must follow each other"),
        ({"issued": "2024-06-11T10:14:59Z"}, "must follow each other"),
        ({"due": "2024-06-01T08:00:00Z"}, "due must be after received"),
        ({"due": "2024-07-01T08:00:00"}, "timezone"),
    ],
)
def test_times_that_cannot_be_are_refused(change: dict[str, str], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        Times.model_validate(TIMES | change)


@pytest.mark.parametrize(("fulfilled", "in_time"), [("2024-07-01T08:00:00Z", True), ("2024-07-01T08:00:01Z", False)])
def test_the_last_moment_is_in_time(fulfilled: str, in_time: bool) -> None:
    times = Times.model_validate(TIMES | {"fulfilled": fulfilled, "issued": "2024-07-02T00:00:00Z"})
    assert times.in_time == in_time


def test_what_was_deleted_is_counted_by_kind() -> None:
    given = {"model": "", "version": "", "at": "2024-06-12T09:00:00Z", "artefacts": [{"kind": "request", "objects": 1}]}
    assert Purge.model_validate(given).artefacts[0].objects == 1
    with pytest.raises(ValidationError, match="artefacts"):
        Purge.model_validate(given | {"artefacts": []})


def test_a_digest_has_no_line_break_behind_it() -> None:
    with pytest.raises(ValidationError):
        Data(snapshot="a" * 64 + "\n")


def test_settings_are_json() -> None:
    given: dict[str, Any] = {"method": "finetune", "rung": "first", "seed": 0, "commit": "unknown"}
    assert Making(settings={"a": [1, {"b": None}]}, **given).settings == {"a": [1, {"b": None}]}
    with pytest.raises(ValidationError):
        Making(settings={"a": b"x"}, **given)


def test_the_statement_of_an_audit_with_every_attack_unsettled_fits(model_erasure: Erased) -> None:
    reason = (
        "combined_retained: AUC +0.123 from that of models not trained on the records, 90% interval -0.123 to +0.123"
    )
    reasons = [f"{reason} is not inside ± 0.05: too few records to tell"] * 12
    document = model_erasure("accepted")
    document["audit"] |= {"reasons": reasons, "statement": accepted_statement(reasons)}
    found = ModelErasure.model_validate(document)
    assert found.audit is not None
    assert found.audit.statement == accepted_statement(reasons)
