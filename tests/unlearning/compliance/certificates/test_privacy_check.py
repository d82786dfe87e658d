from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearning.compliance.certificates import privacy_check
from unlearning.compliance.certificates.statement import Statement

Make = Callable[..., Statement]
RECORD = "0123456789abcdef" * 4


def nested(place: tuple[str, ...], value: Any) -> Any:
    """A document with a value at that place."""
    for part in reversed(place):
        value = [value] if part == "*" else {part: value}
    return value


@pytest.mark.parametrize("place", sorted(privacy_check.DIGESTS))
def test_a_digest_may_stand_where_it_is_named_and_nothing_else_may(place: tuple[str, ...]) -> None:
    assert privacy_check.problems(nested(place, RECORD)) == []
    assert privacy_check.problems(nested(place, None)) == []
    for wrong in (RECORD.upper(), RECORD[1:], RECORD + "0", f"{RECORD}\n", "", 7, ["a"]):
        assert f"{'.'.join(place)} is not a SHA-256 in lower-case hexadecimal" in privacy_check.problems(
            nested(place, wrong)
        )


def test_the_places_are_those_of_real_certificates(make_statement: Make) -> None:
    """Every place is used, and a digest stands nowhere else."""
    found = set()

    def look(value: Any, place: tuple[str, ...]) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                look(item, (*place, key))
        elif isinstance(value, list):
            for item in value:
                look(item, (*place, "*"))
        elif isinstance(value, str) and len(value) == 64 and value.isalnum():
            found.add(place)

    look(make_statement("unlearned", "never_trained").model_dump(mode="json"), ())
    assert found == privacy_check.DIGESTS


@given(
    st.lists(st.sampled_from(["predicate", "models", "*", "settings", "sha256", "weights", "ledger"]), max_size=6),
    st.sampled_from(["", "id:", "x"]),
    st.booleans(),
)
def test_anywhere_else_a_digest_is_refused(path: list[str], before: str, as_key: bool) -> None:
    text = before + RECORD
    place = ("predicate", *path, "text")
    wrong = privacy_check.problems(nested(place, {text: 1} if as_key else text))
    assert wrong[-1].endswith("holds a SHA-256 where none belongs")
    assert RECORD not in "".join(wrong)


@pytest.mark.parametrize("text", [RECORD.upper(), RECORD * 2, f"({RECORD})", f"a_{RECORD}_b"])
def test_a_digest_in_disguise_is_refused(text: str) -> None:
    assert privacy_check.problems({"reason": text}) == ["reason holds a SHA-256 where none belongs"]


@pytest.mark.parametrize("key", ["record_id", "record_ids", "subject", "subject_id", "Subject_IDs"])
def test_settings_name_no_records_and_no_persons(key: str) -> None:
    (wrong,) = privacy_check.problems({"settings": {"inner": [{key: 1}]}})
    assert wrong == f"settings.inner.*.{key} names records or persons"


@pytest.mark.parametrize("pixels", [[1] * 33, [[1] * 11] * 3, [{"row": [1] * 11}] * 3], ids=["flat", "rows", "named"])
def test_settings_hold_no_image(pixels: list[Any]) -> None:
    assert privacy_check.problems({"settings": {"layers": [1] * 32, "more": [[1, 2]] * 16}}) == []
    assert privacy_check.problems({"settings": {"layers": pixels}}) == [
        "settings.layers is a list of more than 32 values"
    ]


def test_settings_hold_no_long_text() -> None:
    assert privacy_check.problems({"settings": {"note": "x" * 200, "y" * 200: 1}}) == []
    assert privacy_check.problems({"settings": {"note": "x" * 201}}) == ["settings.note is longer than 200 characters"]
    assert privacy_check.problems({"settings": {"x" * 201: 1}}) != []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_are_finite(value: float) -> None:
    assert privacy_check.problems({"a": [value]}) == ["a.* is not a finite number"]


def test_texts_can_be_printed() -> None:
    assert privacy_check.problems({"a": "red\x1b[31m"}) == ["a holds what cannot be printed"]


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        (f"the first is {RECORD}", RECORD),
        (f"the first is {RECORD[:12]}", RECORD),
        (RECORD.upper(), RECORD),
        (RECORD, RECORD.upper()),
        ("mailto:Jane.Doe@example.org.", "jane.doe@example.org"),
        ("ＪＡＮＥ Doe", "jane doe"),
        ("for STRASSE 1", "straße"),
        ("case of Doe", "doe"),
        ("case of Doe", " doe "),
        ("patient-4711x", "patient-4711"),
        ("é", "e\u0301"),
    ],
)
def test_a_forbidden_text_is_found(text: str, forbidden: str) -> None:
    assert privacy_check.disclosed({"a": [{"b": text}]}, ["never there", forbidden]) == ["a.*.b"]
    assert privacy_check.disclosed({text: 1}, [forbidden]) != []


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("undoerable", "doe"),
        ("case 17 of 2024", "7"),
        (RECORD[:11], RECORD),
        (RECORD[4:12], RECORD),
        ("a+b", "a.b"),
    ],
)
def test_what_only_looks_like_it_is_not_found(text: str, forbidden: str) -> None:
    assert privacy_check.disclosed({"a": text}, [forbidden]) == []


def test_times_and_numbers_are_no_texts() -> None:
    document = {"at": datetime(2024, 6, 1, tzinfo=UTC), "count": 2024, "share": 0.5}
    assert privacy_check.disclosed(document, ["2024", "0.5"]) == []


@given(st.text(min_size=1).filter(str.strip), st.text(), st.text())
def test_a_long_text_is_found_wherever_it_stands(forbidden: str, before: str, after: str) -> None:
    if len(privacy_check._plain(forbidden.strip())) >= privacy_check.SHORT:
        assert privacy_check.disclosed({"a": f"{before} {forbidden.strip()} {after}"}, [forbidden]) == ["a"]


def test_an_empty_text_cannot_be_forbidden() -> None:
    with pytest.raises(AssertionError):
        privacy_check.disclosed({"a": "b"}, [" "])


OWN = {
    "request": "CASE-2", "basis": "GDPR Art. 17", "name": "encoder-audit", "reason": "the audit of 2 records passed",
    "made": {"settings": {"audit": "2"}},
}  # fmt: skip
GIVEN = ("CASE-2", "GDPR Art. 17", "encoder-audit")


@pytest.mark.parametrize(
    ("forbidden", "places"),
    [
        ("2", []),
        ("17", []),
        ("audit", ["name", "made.settings.audit"]),
        ("records", []),
        ("passed", []),
        ("the", []),
        ("case", ["request"]),
        ("audit of 2", ["reason"]),
    ],
)
def test_a_common_word_gives_nobody_away_where_it_is_our_own(forbidden: str, places: list[str]) -> None:
    assert privacy_check.disclosed(OWN, [forbidden], GIVEN) == places


@pytest.mark.parametrize("forbidden", ["jane.doe@example.org", "patient-4711", RECORD, "Jane Doe"])
def test_what_is_no_word_of_ours_is_found_in_our_words_too(forbidden: str) -> None:
    assert privacy_check.disclosed({"reason": f"for {forbidden} alone"}, [forbidden], GIVEN) == ["reason"]
