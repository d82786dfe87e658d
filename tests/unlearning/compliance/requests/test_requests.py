from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearning.compliance.ledger.hash_chain import ProblemKind
from unlearning.compliance.ledger.state import STATUSES
from unlearning.compliance.requests import requests
from unlearning.compliance.requests.requests import Request, parse
from unlearning.core.errors import UserError
from unlearning.storage.local import LocalStore

Asked = Callable[..., Request]
PERSON = "someone@example.org"
RECORD = "ab" * 32
GOOD: dict[str, Any] = {"id": "C-1", "subject": PERSON, "received": "2024-05-31T09:30:00+02:00"}
WHERE = "request file asked.json"


def read(document: Any, now: datetime) -> tuple[Request, ...]:
    return parse(document if isinstance(document, bytes) else json.dumps(document).encode(), where=WHERE, now=now)


def refused(document: Any, now: datetime) -> str:
    with pytest.raises(UserError) as caught:
        read(document, now)
    message = str(caught.value)
    assert message.startswith(WHERE)
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert len(message) < 400
    for private in (PERSON, RECORD):
        assert private not in message
    return message


def test_one_request_and_a_list_of_them(now: datetime) -> None:
    (request,) = read(GOOD, now)
    assert request.received == datetime(2024, 5, 31, 7, 30, tzinfo=UTC)
    assert (request.subject, request.records, request.legal_basis) == (PERSON, (), "GDPR Art. 17")
    assert (request.model, request.include_near_duplicates) == ("", False)
    other = {"id": "C-2", "records": [RECORD, "cd" * 32], "received": "2024-05-31T07:30Z", "model": "m",
             "legal_basis": "CCPA", "include_near_duplicates": True}  # fmt: skip
    assert [each.id for each in read([GOOD, other], now)] == ["C-1", "C-2"]
    assert read([GOOD], now) == (request,)
    assert read(b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), now) == (request,)


def test_the_page_shows_what_is_read(now: datetime) -> None:
    page = (Path(__file__).parents[4] / "docs" / "requests.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert [request.id for request in read(example.encode(), now)] == ["C-2024-17", "C-2024-18"]
    for name in (*Request.model_fields, *STATUSES, *get_args(ProblemKind)):
        assert f"`{name}`" in page, name


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name != key}


WRONG: dict[str, list[Any]] = {
    "id": ["", " ", "a/b", "../a", ".a", "é", "a" * 65, "a\n", "a b", 7, None, True, [], {}, "a\x00", "C–1", "~"],
    "subject": ["", " x", "x ", "a\nb", "a\tb", "x" * 201, "\x1b[0m", 7, True, [], {}, "\u200b", "\ud800"],
    "received": ["", "soon", "2024-05-31", "2024-05-31T09:30:00", 1717140600, "1717140600", None, True, [], {},
                 "2024-13-01T00:00:00Z", "2024-02-30T00:00:00Z", "2024-05-31T25:00:00Z", "2024-05-31T09:30:00+25:00",
                 "2024-06-10T12:05:01Z", "2999-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00",
                 "0001-01-01T00:00:00+14:00", 1e9, "31.05.2024 09:30", "2024-05-31T09:30:00 Europe/Berlin"],
    "legal_basis": ["", " ", "a\nb", "x" * 201, 7, None, [], {}, True],
    "model": ["x" * 201, "a\nb", " m", 7, None, [], {}, True],
    "include_near_duplicates": ["yes", "true", 1, 0, None, [], {}, "", 1.0],
    "records": [[RECORD], "x", [""], None, 7, {}],
    "Subject": [PERSON], "subjects": [PERSON], "due": ["2024-07-01T00:00:00Z"], PERSON: [1], "": [1], "a\nb": [1],
}  # fmt: skip
WRONG_RECORDS: list[Any] = [
    [], [""], ["ab"], [RECORD, RECORD], [RECORD.upper()], [RECORD + "0"], [RECORD[:-1] + "g"], [7], [None], [[RECORD]],
    RECORD, {RECORD: 1}, {}, 7, None, True, [RECORD, "\n"], [" " + RECORD],
]  # fmt: skip
WRONG_FILES: list[bytes] = [
    b"", b" ", b"{", b"[", b"nothing", b"null", b"true", b"7", b'"C-1"', b"[]", b"[[]]", b"[null]", b"[7]", b"{}",
    b"[{}]", b"\xff\xfe", b"\xc3(", b'{"id": "C-1",}', b"{'id': 'C-1'}", b'{"id": NaN}', b"[" * 100_000, b"{" * 1000,
    b'{"a":' * 50_000, b"9" * 5000, b'{"id": "C-1"} {"id": "C-2"}', b"id,subject\nC-1,x\n", b"- id: C-1\n",
    json.dumps(GOOD).encode()[:-1], json.dumps(GOOD).encode("utf-16"), b'{"id": "\n"}', b"\x00",
    b'{"id": "C-1", "id": "C-2", "subject": "a", "received": "2024-05-31T07:30Z"}',
]  # fmt: skip
BAD: list[Any] = [
    *({**GOOD, key: value} for key, values in WRONG.items() for value in values),
    *({**without("subject"), "records": value} for value in WRONG_RECORDS),
    *(without(key) for key in GOOD),
    *WRONG_FILES,
]
SMALL_ENOUGH = [document for document in BAD if not isinstance(document, bytes)]
IN_A_LIST = [[{**GOOD, "id": "C-0"}, document, {**GOOD, "id": "C-9"}] for document in SMALL_ENOUGH]


def test_there_are_many_bad_cases() -> None:
    assert len(BAD) + len(IN_A_LIST) >= 200


@pytest.mark.parametrize("document", BAD, ids=range(len(BAD)))
def test_every_bad_case_is_told_in_one_line(document: Any, now: datetime) -> None:
    refused(document, now)


@pytest.mark.parametrize("document", IN_A_LIST, ids=range(len(IN_A_LIST)))
def test_the_place_in_a_list_is_named(document: Any, now: datetime) -> None:
    assert refused(document, now).startswith(f"{WHERE}, request 2: ")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (without("id"), "id: Field required"),
        (without("subject"), "give either records or subject"),
        ({**GOOD, "records": [RECORD]}, "give either records or subject"),
        ({**without("subject"), "records": [RECORD, "ab"]}, "records.1: String should match pattern"),
        ({**without("subject"), "records": [RECORD, RECORD]}, "records: a record id stands there twice"),
        ({**GOOD, "subjects": 1}, "subjects: Extra inputs are not permitted"),
        ({**GOOD, PERSON: 1}, "…: Extra inputs are not permitted"),
        ({**GOOD, "received": "2024-05-31"}, "received: must be a time with its zone"),
        ({**GOOD, "received": "2024-06-10T12:06:00Z"}, "received: 2024-06-10 12:06 UTC is in the future"),
        ([GOOD, {**GOOD, "id": "C-2"}, GOOD], "requests 1 and 3 have the same id 'C-1'"),
        (b"[]", "holds no requests"),
        (b'{"id": 1, "id": 2}', "a key stands there twice"),
        (b'[{"id": }]', "is not JSON: Expecting value in line 1, column 9"),
    ],
)
def test_what_is_wrong_is_said(document: Any, message: str, now: datetime) -> None:
    assert message in refused(document, now)


def test_a_difference_of_clocks_is_no_future(now: datetime) -> None:
    received = (now + timedelta(minutes=5)).isoformat()
    assert read({**GOOD, "received": received}, now)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    key=st.sampled_from([*GOOD, "records", "model", "legal_basis", "include_near_duplicates"]) | st.text(max_size=5),
    value=JSON,
)
def test_any_value_of_any_key_is_a_request_or_one_line(key: str, value: Any, now: datetime) -> None:
    document = {**GOOD, key: value}
    try:
        (request,) = read(document, now)
    except UserError:
        refused(document, now)
    else:
        assert Request.model_validate(request.model_dump(mode="json")) == request


@given(data=st.binary(max_size=60) | st.integers(0, 80).map(lambda cut: json.dumps([GOOD]).encode()[:cut]))
def test_any_bytes_are_one_line(data: bytes, now: datetime) -> None:
    refused(data, now)


def test_a_request_is_kept_once(store: LocalStore, asked: Asked) -> None:
    kept = requests.keep(store, asked())
    before = {key: store.read(key) for key in store.list("")}
    assert requests.keep(store, asked()) == kept
    assert requests.load(store, "C-1") == kept
    assert {key: store.read(key) for key in store.list("")} == before
    with pytest.raises(UserError, match="request 'C-1' is there already with other content: give this one another id"):
        requests.keep(store, asked(model="m"))
    assert {key: store.read(key) for key in store.list("")} == before


def test_the_digest_tells_nobody_who_asked(store: LocalStore, asked: Asked) -> None:
    """The same request twice has two digests, so trying out subject ids is of no use."""
    first = requests.keep(store, asked())
    for key in requests.private_keys(store, "C-1"):
        store.delete(key)
    assert requests.keep(store, asked()).digest != first.digest


def test_requests_for_the_same_are_found(store: LocalStore, asked: Asked) -> None:
    same = [asked("C-1", subject="s"), asked("C-2", subject="s", model="m"), asked("C-3", subject="t")]
    records = [asked("C-4", records=["a" * 64, "b" * 64]), asked("C-5", records=["b" * 64, "a" * 64])]
    for request in (*same, *records, asked("C-6", records=["a" * 64])):
        requests.keep(store, request)
    found = {request.id: requests.possible_duplicates(store, request) for request in (*same, *records)}
    assert found == {"C-1": ("C-2",), "C-2": ("C-1",), "C-3": (), "C-4": ("C-5",), "C-5": ("C-4",)}


def test_forgetting_leaves_nothing_that_names_the_person(store: LocalStore, asked: Asked) -> None:
    requests.keep(store, asked("C-2", subject="s"))
    others = store.list("")
    requests.keep(store, asked("C-1", subject="s"))
    for key in requests.private_keys(store, "C-1"):
        store.delete(key)
    assert requests.private_keys(store, "C-1") == ()
    assert store.list("") == others
    assert requests.find(store, "C-1") is None
    with pytest.raises(UserError, match="never added, or its content was deleted"):
        requests.load(store, "C-1")


def test_a_changed_request_object_is_not_used(store: LocalStore, asked: Asked) -> None:
    kept = requests.keep(store, asked())
    path = store.root / "requests/C-1.json"
    path.write_bytes(path.read_bytes().replace(b"person of C-1", b"person of C-2"))
    with pytest.raises(UserError, match="not what the ledger says was asked"):
        requests.load(store, "C-1", digest=kept.digest)
    path.write_bytes(b"{}")
    with pytest.raises(UserError, match=r"request object 'requests/C-1.json' is damaged"):
        requests.find(store, "C-1")
