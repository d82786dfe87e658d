from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from unlearning.compliance.fields import Digest, Moment, Name, Reason, RequestId, described, is_request_id, moment, name
from unlearning.core.errors import UserError


def complaint(kind: Any, value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    return described(caught.value)


@pytest.mark.parametrize("text", ["C-1", "1", "a.b_c-d", "x" * 64])
def test_ids(text: str) -> None:
    assert TypeAdapter(RequestId).validate_python(text) == text
    assert is_request_id(text)


@pytest.mark.parametrize("text", ["", ".a", "-a", "a/b", "a b", "é", "x" * 65, "a\n", "../a", "a\x00"])
def test_ids_that_are_none(text: str) -> None:
    assert "match" in complaint(RequestId, text)
    assert not is_request_id(text)


def test_times_become_utc_and_need_a_zone() -> None:
    expected = datetime(2024, 5, 31, 7, 30, tzinfo=UTC)
    for text in ("2024-05-31T09:30:00+02:00", "2024-05-31T07:30Z"):
        assert moment(text, "x") == expected
        assert TypeAdapter(Moment).validate_python(text) == expected
    for wrong in (
        1717140600,
        "1717140600",
        "2024-05-31",
        "2024-05-31T09:30:00",
        "soon",
        "2024-02-30T00:00Z",
        None,
        True,
    ):
        assert "must be a time" in complaint(Moment, wrong)
    assert "between the years 1 and 9999" in complaint(Moment, "0001-01-01T00:00:00+14:00")
    with pytest.raises(UserError, match="the start must be a time such as"):
        moment("soon", "the start")


def test_texts_are_one_printable_line() -> None:
    for wrong in (" a", "a ", "a\nb", "a\x1b[31m", "a\u200b"):
        assert "one line of printable" in complaint(Name, wrong)
    assert complaint(Name, "\ud800") != ""
    assert complaint(Name, "") != ""
    assert complaint(Name, "x" * 201) != ""


def test_names_that_are_typed() -> None:
    assert name("desk", "by") == "desk"
    with pytest.raises(UserError, match=r"^by: must be one line"):
        name("a\nb", "by")


def test_what_is_kept_for_ever_holds_no_record_id() -> None:
    assert "record id" in complaint(Reason, f"because of {'Ab' * 32}!")
    assert TypeAdapter(Reason).validate_python("because") == "because"


def test_complaints_never_repeat_the_value() -> None:
    person = "someone@example.org"
    for kind in (RequestId, Digest, Moment, dict[str, int]):
        assert person not in complaint(kind, {person: person} if kind == dict[str, int] else person)
