from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from unlearning.audit.escalation import accepted_statement
from unlearning.audit.results import Audit, ForgottenBefore, Verdict
from unlearning.compliance.certificates import statement as certificates
from unlearning.compliance.certificates.predicate import ModelErasure
from unlearning.compliance.certificates.statement import Statement, audit_result, build
from unlearning.core.errors import UserError
from unlearning.core.files import canonical_json
from unlearning.reporting.summary import Summary

Make = Callable[..., Statement]
Parts = Callable[..., dict[str, Any]]
HOWS = ("unlearned", "retrained", "accepted", "never_trained")
RECORD = "f" * 64


def test_it_is_an_in_toto_statement_about_the_weights_after(make_statement: Make) -> None:
    document = json.loads(certificates.to_bytes(make_statement("unlearned", "never_trained")))
    assert set(document) == {"_type", "subject", "predicateType", "predicate"}
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "urn:unlearning:erasure:v1"
    assert document["subject"] == [
        {"name": "models:/encoder-1/2", "digest": {"sha256": "2" * 64}},
        {"name": "models:/encoder-2/1", "digest": {"sha256": "1" * 64}},
    ]


def test_without_a_model_it_is_about_the_snapshot_after(certificate_parts: Parts, model_erasure: Parts) -> None:
    untrained = ModelErasure.model_validate(model_erasure("never_trained", ""))
    statement = build(**certificate_parts() | {"models": [untrained]})
    (subject,) = statement.subject
    assert (subject.name, subject.digest.sha256) == ("snapshot:/eeeeeeeeeeee", "e" * 64)
    with pytest.raises(UserError, match="named twice"):
        build(**certificate_parts() | {"models": [untrained, untrained]})


def test_it_is_read_as_it_was_written(make_statement: Make) -> None:
    statement = make_statement(*HOWS)
    assert certificates.parse(certificates.to_bytes(statement)) == statement


SETTINGS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("abc ÄöÜß"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc_", min_size=1), inner, max_size=4),
    max_leaves=12,
)


@given(
    settings=st.dictionaries(st.text("abc_", min_size=1), SETTINGS, max_size=4),
    numbers=st.tuples(*[st.floats(0, 1)] * 3),
)
def test_whatever_the_settings_and_figures_it_is_read_as_it_was_written(
    settings: dict[str, JsonValue], numbers: tuple[float, float, float], certificate_parts: Parts, model_erasure: Parts
) -> None:
    document = model_erasure("unlearned")
    document["made"]["settings"] = settings
    document["audit"]["attacks"][0]["auc"] = dict(zip(("estimate", "low", "high"), numbers, strict=True))
    statement = build(**certificate_parts() | {"models": [ModelErasure.model_validate(document)]})
    payload = certificates.to_bytes(statement)
    assert certificates.to_bytes(certificates.parse(payload)) == payload
    assert json.loads(payload)["predicate"]["models"][0]["made"]["settings"] == settings


@pytest.mark.parametrize(
    "spelled",
    [
        lambda it: json.dumps(it),
        lambda it: json.dumps(it, sort_keys=True, separators=(",", ":")) + "\n",
        lambda it: json.dumps(it, sort_keys=True, separators=(",", ":")).replace('"seed":7', '"seed":7.0'),
        lambda it: json.dumps(it, sort_keys=True, separators=(",", ":")).replace('"sequence":6', '"sequence":"6"'),
        lambda it: json.dumps(it, sort_keys=True, separators=(",", ":")).replace('"seed":7', '"seed":8,"seed":7'),
    ],
)
def test_it_has_one_spelling(spelled: Callable[[Any], str], make_statement: Make) -> None:
    payload = certificates.to_bytes(make_statement())
    changed = spelled(json.loads(payload)).encode()
    assert changed != payload
    with pytest.raises(UserError, match="not in canonical form"):
        certificates.parse(changed)


def test_what_is_not_claimed_fits_what_was_done(make_statement: Make, certificate_parts: Parts) -> None:
    plain = build(**certificate_parts() | {"to_be_purged": ()}).predicate.not_claimed
    assert plain == certificates.NOT_CLAIMED
    told = " ".join(make_statement(*HOWS).predicate.not_claimed)
    for words in ("marked accepted", "never_trained was audited", "due to be purged exists until then"):
        assert words in told
        assert words not in " ".join(plain)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"request": "case 17"}, "request"),
        ({"legal_basis": ""}, "legal_basis"),
        ({"models": []}, "models"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(change: dict[str, Any], wrong: str, certificate_parts: Parts) -> None:
    with pytest.raises(UserError, match=f"certificate: {wrong}: ") as caught:
        build(**certificate_parts() | change)
    assert "\n" not in str(caught.value)


def test_nothing_is_said_to_be_deleted_that_was_not_yet(certificate_parts: Parts) -> None:
    given = certificate_parts()
    with pytest.raises(UserError, match="something is said to be purged that was not"):
        build(**given | {"purged": given["to_be_purged"]})


def with_setting(model_erasure: Parts, key: str, value: JsonValue) -> list[ModelErasure]:
    document = model_erasure("unlearned")
    document["made"]["settings"] |= {key: value}
    return [ModelErasure.model_validate(document)]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ids", RECORD),
        ("ids", [f"x{RECORD}"]),
        (RECORD, 1),
        ("record_ids", []),
        ("subject", "x"),
        ("pixels", [list(range(28))] * 28),
        ("pixels", "iVBORw0KGgo" * 20),
        ("weight", float("nan")),
    ],
)
def test_nothing_can_be_hidden_in_the_settings(
    key: str, value: JsonValue, certificate_parts: Parts, model_erasure: Parts
) -> None:
    with pytest.raises(UserError, match=r"certificate: .*settings") as caught:
        build(**certificate_parts() | {"models": with_setting(model_erasure, key, value)})
    assert RECORD not in str(caught.value)


@pytest.mark.parametrize("hidden", ["jane.doe@example.org", RECORD[:12]])
@pytest.mark.parametrize("place", ["request", "legal_basis", "setting", "reason"])
def test_a_forbidden_text_is_refused_wherever_it_is_and_not_repeated(
    hidden: str, place: str, certificate_parts: Parts, model_erasure: Parts
) -> None:
    given = certificate_parts()
    build(**given)
    match place:
        case "setting":
            given["models"] = with_setting(model_erasure, "note", f"for {hidden}")
        case "reason":
            document = model_erasure("unlearned")
            document["audit"]["reasons"] = [f"as {hidden} asked"]
            given["models"] = [ModelErasure.model_validate(document)]
        case _:
            given[place] = hidden.replace("@", "-")
            given["forbidden"] = (given["forbidden"][0], hidden.replace("@", "-"))
    with pytest.raises(UserError, match="holds a record id or the subject's id: take it out") as caught:
        build(**given)
    assert hidden not in str(caught.value)


def test_a_record_id_in_the_place_of_a_digest_is_refused(certificate_parts: Parts) -> None:
    with pytest.raises(UserError, match=r"predicate\.ledger\.sha256 holds a record id"):
        build(**certificate_parts() | {"forbidden": ["d" * 64]})


def as_audit(summary: Summary) -> Audit:
    models = {"original": summary.models["original"].audit, "candidate": summary.models["unlearned"].audit}
    return Audit(
        records={"forget": 100, "holdout": 300, "retained": 300},
        seed=0,
        split="b" * 64,
        forget="c" * 64,
        models=models,
        comparisons=summary.verdict.comparisons,
    )


def test_the_audits_figures_are_taken_over_without_its_signals(make_summary: Callable[..., Summary]) -> None:
    summary = make_summary("inconclusive")
    audit, verdict = as_audit(summary), summary.verdict
    statement = accepted_statement(verdict.reasons)
    found = audit_result(audit, verdict, smallest_detectable_auc=0.58, statement=statement)
    assert (found.outcome, found.reasons, found.statement) == (verdict.outcome, verdict.reasons, statement)
    assert (found.forgotten, found.strangers) == (100, 300)
    for attack in found.attacks:
        (after,) = [each for each in audit.models["candidate"].attacks if each.name == attack.name]
        (before,) = [each for each in audit.models["original"].attacks if each.name == attack.name]
        (gap,) = [each for each in verdict.comparisons if each.attack == attack.name]
        assert (attack.auc, attack.auc_before) == (after.auc, before.auc)
        assert (attack.gap, attack.gap_simultaneous, attack.reference) == (
            gap.difference,
            gap.simultaneous,
            gap.reference,
        )
    assert len(found.attacks) == len(audit.models["candidate"].attacks)
    assert found.utility_lost == verdict.utility_lost
    text = found.model_dump_json()
    assert "edges" not in text
    assert "roc" not in text


def test_a_certificate_tells_what_had_been_forgotten_before(make_summary: Callable[..., Summary]) -> None:
    summary = make_summary()
    audit, verdict = as_audit(summary), summary.verdict
    plain = audit_result(audit, verdict, smallest_detectable_auc=0.58)
    assert "forgotten_before" not in plain.model_dump(mode="json"), "spelled as before anybody looked"
    before = ForgottenBefore(records=37, untested=None, comparisons=verdict.comparisons[:2])
    told = audit_result(
        audit, verdict.model_copy(update={"forgotten_before": before}), smallest_detectable_auc=0.58
    ).forgotten_before
    assert told is not None
    assert (told.records, told.untested) == (37, None)
    assert [(each.name, each.gap, each.gap_simultaneous) for each in told.attacks] == [
        (each.attack, each.difference, each.simultaneous) for each in before.comparisons
    ]


def test_an_attack_that_was_not_compared_cannot_be_certified(make_summary: Callable[..., Summary]) -> None:
    summary = make_summary()
    audit = as_audit(summary)
    fewer = Verdict.model_validate(summary.verdict.model_dump() | {"comparisons": summary.verdict.comparisons[1:]})
    with pytest.raises(UserError, match="attack view_similarity was not compared"):
        audit_result(audit, fewer, smallest_detectable_auc=None)
    nobody = audit.model_copy(update={"models": {"original": audit.models["original"]}})
    with pytest.raises(UserError, match="not of a candidate"):
        audit_result(nobody, summary.verdict, smallest_detectable_auc=None)


def test_without_an_original_only_the_auc_before_is_missing(make_summary: Callable[..., Summary]) -> None:
    audit = as_audit(make_summary())
    alone = audit.model_copy(update={"models": {"candidate": audit.models["candidate"]}})
    found = audit_result(alone, make_summary().verdict, smallest_detectable_auc=0.6)
    assert [attack.auc_before for attack in found.attacks] == [None] * len(found.attacks)


def test_a_certificate_that_claims_less_than_those_of_now_is_still_read(make_statement: Make) -> None:
    """What is not claimed is text of its time: certificates from before a line was added stay as they are."""
    document = json.loads(certificates.to_bytes(make_statement("unlearned")))
    told = certificates.NOT_CLAIMED
    document["predicate"]["not_claimed"] = [told[0], *told[2:]]
    payload = canonical_json(document).encode()
    assert certificates.to_bytes(certificates.parse(payload)) == payload
