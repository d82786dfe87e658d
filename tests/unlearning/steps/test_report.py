from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

from unlearning.audit import escalation
from unlearning.audit.escalation import AttemptSummary, accepted_statement
from unlearning.audit.results import Verdict, load_audit, load_verdict
from unlearning.core.errors import UserError
from unlearning.core.files import write_json
from unlearning.data import snapshots
from unlearning.learning import models
from unlearning.registry.client import Version
from unlearning.reporting import summary
from unlearning.reporting.summarise import ReportInputs, summarise
from unlearning.reporting.summary import Summary
from unlearning.steps.promote import evidence_at, promote
from unlearning.steps.report import report

Chain = dict[str, Path]
Paths = dict[str, Path]


def attempt(chain: Chain, judged: str, version: str = "2", **changed: Any) -> AttemptSummary:
    """The candidate of the chain as an attempt; `passed` and `failed` are the verdicts of the chain."""
    made = AttemptSummary(
        name="first",
        method="gradient_matching",
        settings={"weight": 0.1},
        digest=models.digest(chain["candidate"]),
        seconds=1.5,
        verdict=load_verdict(chain[judged]),
        action="promote" if judged == "passed" else "person",
        version=version,
    )
    return made.model_copy(update=changed)


@pytest.fixture
def inputs(chain: Chain, parent: Version, drawn: Callable[..., Path], tmp_path: Path) -> Callable[..., ReportInputs]:
    """The chain with a given verdict and attempts."""
    named = {f"{name}_path": chain[name] for name in ("snapshot", "split", "forget", "audit", "evaluation")}
    named |= {"original_path": chain["model"]} | {f"{name}_path": chain[name] for name in ("candidate", "retrained")}

    def make(verdict: Path, *attempts: AttemptSummary) -> ReportInputs:
        escalation.save_attempts(attempts or (attempt(chain, verdict.name),), tmp_path / "attempts")
        paths: dict[str, Any] = named | {"verdict_path": verdict, "attempts_path": tmp_path / "attempts"}
        paths["evidence_path"] = drawn()
        return ReportInputs(**paths, model_name=parent.name, original_version="1", run_name="run")

    return make


@pytest.fixture
def write_report(inputs: Callable[..., ReportInputs], tmp_path: Path) -> Callable[..., Summary]:
    """Reports into the test's folder."""

    def write(*given: Any) -> Summary:
        return report(inputs(*given), summary_path=tmp_path / "summary.json", page_path=tmp_path / "report.html")

    return write


def test_a_promoted_run_is_told_in_full(
    write_report: Callable[..., Summary], chain: Chain, parent: Version, evidence: Paths, tmp_path: Path
) -> None:
    promote(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run")
    written = write_report(chain["passed"])
    assert summary.load(tmp_path / "summary.json") == written
    assert (written.verdict.outcome, written.promoted, written.registry.champion) == ("passed", "unlearned", "2")
    assert list(written.models) == ["original", "unlearned", "retrained"]
    assert (written.seed, written.commit, written.method) == (0, "test", "gradient_matching")
    assert (written.forget.records, written.split.sizes["members"]) == (120, 300)
    assert (written.registry.versions, written.accepted) == ({"original": "1", "unlearned": "2"}, None)
    assert [(each.version, each.parent, each.status, each.serves) for each in written.registry.history] == [
        ("1", "none", "superseded", False),
        ("2", "1", "serving", True),
    ]


@pytest.fixture
def inputs_by_references(
    inputs: Callable[..., ReportInputs], by_references: Chain, chain: Chain, drawn: Callable[..., Path]
) -> ReportInputs:
    """The run where nothing was retrained."""
    verdict = load_verdict(by_references["passed"])
    told = inputs(by_references["passed"], attempt(chain, "passed", verdict=verdict))
    paths: dict[str, Any] = {f"{name}_path": by_references[name] for name in ("retrained", "audit", "evaluation")}
    return replace(told, **paths, evidence_path=drawn(retrained=by_references["retrained"]))


def test_a_run_that_retrained_nothing_has_no_retrained_model(
    inputs_by_references: ReportInputs, tmp_path: Path
) -> None:
    made = report(inputs_by_references, summary_path=tmp_path / "summary.json", page_path=tmp_path / "report.html")
    assert summary.load(tmp_path / "summary.json") == made
    assert list(made.models) == ["original", "unlearned"]
    assert (made.schema_version, made.verdict.compared_with, made.promoted) == (4, "references", "unlearned")
    assert {each.reference for each in made.verdict.comparisons} == {"references"}
    assert "Cross-check" not in (tmp_path / "report.html").read_text()
    assert made == summarise(replace(inputs_by_references, retrained_path=None)).model_copy(
        update={"created": made.created}
    )


def test_the_report_shows_the_models_that_were_audited(
    inputs: Callable[..., ReportInputs], inputs_by_references: ReportInputs, chain: Chain
) -> None:
    with pytest.raises(UserError, match="not given the same retrained model"):
        summarise(replace(inputs_by_references, retrained_path=chain["retrained"]))
    with pytest.raises(UserError, match="not given the same retrained model"):
        summarise(replace(inputs(chain["passed"]), retrained_path=None))


def test_the_page_shows_records_rates_limits_and_the_cross_check(
    write_report: Callable[..., Summary], chain: Chain, tmp_path: Path
) -> None:
    written = write_report(chain["passed"])
    page = (tmp_path / "report.html").read_text()
    for text in (
        "Records flagged as members",
        "TPR at 0.1 % FPR",
        "precision",
        "Cross-check",
        "All attacks together",
    ):
        assert text in page, text
    assert "encoder&#39;s output only" in page
    assert f"Limits: {written.verdict.limits[0]}" in page
    attacks = len(load_audit(chain["audit"]).models["candidate"].attacks)
    assert f"{attacks} attacks on 120 forgotten and 300 other records" in page
    assert "Neighbours of forgotten records" in page
    assert page.count('role="img" aria-label="Map of features') == 1


@pytest.mark.parametrize(
    ("verdicts", "promoted", "versions"),
    [
        (["failed"], None, {"original": "1", "unlearned": "2"}),
        (["failed", "failed"], None, {"original": "1", "unlearned": "2", "retrained": "3"}),
        (["failed", "passed"], "retrained", {"original": "1", "unlearned": "2", "retrained": "3"}),
    ],
)
def test_a_failed_run_says_what_was_promoted_instead(
    inputs: Callable[..., ReportInputs],
    chain: Chain,
    verdicts: list[str],
    promoted: str | None,
    versions: dict[str, str],
) -> None:
    attempts = [attempt(chain, verdicts[0], action="person" if len(verdicts) == 1 else "retrain")]
    attempts += [
        attempt(chain, each, "3", name="retrained", method="retrain", digest="e" * 64) for each in verdicts[1:]
    ]
    made = summarise(inputs(chain["failed"], *attempts))
    assert (made.promoted, made.registry.champion, made.accepted) == (promoted, "1", None)
    assert made.registry.versions == versions
    assert list(made.attempts) == attempts


def test_a_setting_that_diverged_is_told_and_has_no_version(
    inputs: Callable[..., ReportInputs],
    diverged_chain: Chain,
    chain: Chain,
    drawn: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """The first setting's version is not that of the model shown, which is the original."""
    wild = load_verdict(diverged_chain["diverged"])
    digest = models.digest(chain["model"])
    attempts = [
        attempt(chain, "failed", action="stronger"),
        attempt(chain, "failed", "none", name="stronger_1", digest=digest, verdict=wild, action="retrain"),
        attempt(chain, "passed", "3", name="retrained", method="retrain", digest="e" * 64),
    ]
    given = inputs(diverged_chain["diverged"], *attempts)
    changed: dict[str, Any] = {f"{name}_path": diverged_chain[name] for name in ("candidate", "audit", "evaluation")}
    changed["evidence_path"] = drawn(candidate=diverged_chain["candidate"])
    told = report(replace(given, **changed), summary_path=tmp_path / "summary.json", page_path=tmp_path / "report.html")
    assert (told.verdict.outcome, told.promoted) == ("diverged", "retrained")
    assert told.registry.versions == {"original": "1", "retrained": "3"}
    assert told.models["unlearned"].digest == told.models["original"].digest
    assert str(escape(wild.reasons[0])) in (tmp_path / "report.html").read_text()


def test_the_unlearned_model_is_that_of_the_strongest_setting(
    inputs: Callable[..., ReportInputs], chain: Chain
) -> None:
    first = attempt(chain, "failed", digest="e" * 64, action="stronger")
    made = summarise(inputs(chain["passed"], first, attempt(chain, "passed", "3", name="stronger_1")))
    assert (made.promoted, made.verdict.outcome) == ("unlearned", "passed")
    assert made.registry.versions == {"original": "1", "unlearned": "3"}


def unsure(chain: Chain) -> Verdict:
    return load_verdict(chain["failed"]).model_copy(update={"outcome": "inconclusive"})


def test_an_accepted_model_is_printed_with_its_statement(
    write_report: Callable[..., Summary], chain: Chain, tmp_path: Path
) -> None:
    verdict = unsure(chain)
    write_json(tmp_path / "verdict", verdict.model_dump(mode="json"))
    written = write_report(tmp_path / "verdict", attempt(chain, "failed", verdict=verdict, action="accept"))
    assert (written.promoted, written.accepted) == ("unlearned", accepted_statement(verdict.reasons))
    assert f'<p class="statement" role="note">{escape(written.accepted)}</p>' in (tmp_path / "report.html").read_text()


def test_an_exactly_retrained_model_may_be_accepted_too(inputs: Callable[..., ReportInputs], chain: Chain) -> None:
    last = attempt(chain, "failed", "3", verdict=unsure(chain), action="accept", name="retrained", method="retrain")
    made = summarise(inputs(chain["failed"], attempt(chain, "failed", action="retrain"), last))
    assert (made.promoted, made.accepted) == ("retrained", accepted_statement(last.verdict.reasons, retrained=True))


@pytest.mark.parametrize("wrong", ["digest", "name", "verdict"])
def test_evidence_of_another_attempt_is_refused(inputs: Callable[..., ReportInputs], chain: Chain, wrong: str) -> None:
    values: dict[str, Any] = {"digest": "e" * 64, "name": "retrained", "verdict": load_verdict(chain["failed"])}
    with pytest.raises(UserError, match="attempt"):
        summarise(inputs(chain["passed"], attempt(chain, "passed", **{wrong: values[wrong]})))


def test_no_record_id_is_on_the_page_or_in_the_summary(
    write_report: Callable[..., Summary], chain: Chain, tmp_path: Path
) -> None:
    write_report(chain["passed"])
    ids = set(snapshots.load(chain["snapshot"]).manifest.record_ids)
    for name in ("summary.json", "report.html"):
        content = (tmp_path / name).read_text()
        digests = set(re.findall(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", content))
        assert digests, "the digests of the models at least are there"
        assert not digests & ids
        assert not any(identity in content for identity in ids)


def test_a_damaged_verdict_writes_nothing(write_report: Callable[..., Summary], chain: Chain, tmp_path: Path) -> None:
    broken = tmp_path / "verdict"
    broken.write_text("{}")
    with pytest.raises(UserError, match="is not valid"):
        write_report(broken, attempt(chain, "passed"))
    assert {path.name for path in tmp_path.iterdir()} == {"verdict", "attempts"}
