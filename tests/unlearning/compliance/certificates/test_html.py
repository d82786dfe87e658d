from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.unlearning.compliance.certificates.test_predicate import SETS
from unlearning.compliance.certificates import dsse, keys
from unlearning.compliance.certificates import html as page
from unlearning.compliance.certificates import statement as certificates
from unlearning.compliance.certificates.predicate import ModelErasure, Times
from unlearning.compliance.certificates.statement import Statement
from unlearning.core.errors import UserError

Make = Callable[..., Statement]
KEY = keys.new()
HOWS = ("unlearned", "retrained", "accepted", "never_trained")


def signed(statement: Statement) -> bytes:
    return dsse.sign(certificates.to_bytes(statement), [KEY])


class Page(HTMLParser):
    """Checks nesting while reading, and keeps elements and visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def test_what_serves_by_qualification_says_so_with_every_figure(certificate_parts: Callable[..., Any]) -> None:
    parts = certificate_parts("accepted")
    document = parts["models"][0].model_dump(mode="json") | {"qualifications": [SETS]}
    parts["models"] = [ModelErasure.model_validate(document)]
    statement = certificates.build(**parts)
    assert any("is said of simulated sets holds for these records" in each for each in statement.predicate.not_claimed)
    read = Page(page.render(signed(statement), "certificate.json")).text
    assert "the method did work on simulated sets of such sizes" in read
    assert "serves by qualification: the audit of so few could not tell" in read
    assert "100 simulated sets of 3 records, drawn at random" in read
    assert "margins: 0.1 AUC either way, 3 percentage points" in read
    assert certificates.parse(certificates.to_bytes(statement)) == statement


def test_what_had_been_forgotten_before_is_shown_where_it_was_attacked_again(
    certificate_parts: Callable[..., Any],
) -> None:
    parts = certificate_parts()
    document = parts["models"][0].model_dump(mode="json")
    gap = {"estimate": 0.123, "low": 0.1, "high": 0.146, "level": 0.9}
    told = {"records": 37, "untested": 2, "attacks": [{"name": "loss", "gap": gap}]}
    document["audit"]["forgotten_before"] = told
    plain = Page(page.render(signed(certificates.build(**parts)), "certificate.json")).text
    parts["models"] = [ModelErasure.model_validate(document)]
    statement = certificates.build(**parts)
    read = Page(page.render(signed(statement), "certificate.json")).text
    sentence = "37 records that had been forgotten before"
    assert (sentence in read, sentence in plain) == (True, False)
    assert "+0.123" in read
    assert certificates.parse(certificates.to_bytes(statement)) == statement


def test_the_page_is_well_formed_loads_nothing_and_runs_nothing(make_statement: Make) -> None:
    html = page.render(signed(make_statement(*HOWS)), "certificate.json")
    read = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert not {"script", "link", "iframe", "object", "img", "form", "a"} & {tag for tag, _ in read.elements}
    assert not any(name.startswith("on") for _, attributes in read.elements for name in attributes)
    assert "url(" not in html
    assert "@media print" in html


def test_the_page_says_what_the_certificate_states(make_statement: Make) -> None:
    statement = make_statement(*HOWS)
    data = signed(statement)
    text = Page(page.render(data, "certificate.json")).text
    stated = statement.predicate
    wanted = [stated.request, stated.legal_basis, *stated.not_claimed, stated.ledger.sha256, "2024-06-11 10:15:00 UTC"]
    for model in stated.models:
        wanted += [model.name, f"{model.forgotten.records} records"]
        wanted += [each.weights for each in (model.before, model.after) if each is not None]
        wanted += [model.data_before.snapshot, model.data_after.snapshot]
        if model.audit and model.made:
            wanted += [*model.audit.reasons, *model.audit.limits, *(each.name for each in model.audit.attacks)]
            wanted += [model.made.method, "optimisation.learning_rate", f"{model.audit.smallest_detectable_auc:.3f}"]
            wanted += [model.audit.statement or ""]
    wanted += ["references: 48", "model: 3", "2024-07-11 11:00:00 UTC"]
    wanted += [sha256(data).hexdigest(), keys.keyid(keys.raw_public(KEY)), "unlearn verify certificate.json"]
    for each in wanted:
        assert each in text


def test_one_model_that_passed(make_statement: Make) -> None:
    assert page.answer(make_statement().predicate) == (
        "1 model was made to forget the records of request CASE-2024-17, and passed the audit. "
        "This was done on 11 June 2024. What earlier versions left behind is to be deleted by 11 July 2024."
    )


def test_what_the_audit_could_not_tell_is_not_called_forgotten(make_statement: Make) -> None:
    statement = make_statement("accepted")
    told = page.answer(statement.predicate)
    assert told.startswith(
        "1 model was made to forget the records of request CASE-2024-17, but the audit could not tell whether it worked"
    )
    assert "passed" not in told
    text = Page(page.render(signed(statement), "x.json")).text
    assert "Accepted although the audit could not tell" in text
    assert "Audit: could not be judged" in text


def test_several_models(make_statement: Make) -> None:
    told = page.answer(make_statement(*HOWS).predicate)
    assert told.startswith("2 models were made to forget")
    assert "1 model was made to forget the records of request CASE-2024-17, but" in told


def test_nothing_was_trained_on_the_records(make_statement: Make) -> None:
    statement = make_statement("never_trained")
    assert page.answer(statement.predicate).startswith("No model had been trained on the records of request CASE")
    assert "had nothing to forget" in Page(page.render(signed(statement), "x.json")).text


def test_late_is_called_late(make_statement: Make) -> None:
    stated = make_statement().predicate
    times = Times.model_validate(stated.times.model_dump() | {"due": "2024-06-10T00:00:00Z"})
    late = stated.model_copy(update={"times": times})
    assert "done on 11 June 2024, after it was due on 10 June 2024." in page.answer(late)


def test_texts_are_escaped(make_statement: Make, certificate_parts: Callable[..., dict[str, object]]) -> None:
    given = certificate_parts() | {"legal_basis": "<script>alert(1)</script>"}
    html = page.render(signed(certificates.build(**given)), "<b>.json")  # type: ignore[arg-type]
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "<b>" not in html


def test_page_and_certificate_lie_beside_each_other(tmp_path: Path, make_statement: Make) -> None:
    data = signed(make_statement())
    written = page.write(data, tmp_path / "out" / "CASE-2024-17.html")
    assert written == tmp_path / "out" / "CASE-2024-17.json"
    assert written.read_bytes() == data
    assert page.render(data, written.name) == (tmp_path / "out" / "CASE-2024-17.html").read_text()
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize("data", [b"x", dsse.sign(b"{}", [KEY])])
def test_what_is_no_certificate_gets_no_page(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UserError):
        page.write(data, tmp_path / "x.html")
    assert list(tmp_path.iterdir()) == []
