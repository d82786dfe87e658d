from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from unlearning import snapshots, summary
from unlearning.errors import UserError
from unlearning.registry import Version
from unlearning.steps.promote import Evidence, promote, reject
from unlearning.steps.report import ReportInputs, report
from unlearning.summary import Summary

Chain = dict[str, Path]
Paths = dict[str, Path]


@pytest.fixture
def write_report(chain: Chain, parent: Version, tmp_path: Path) -> Callable[..., Summary]:
    """Reports the chain with a given verdict, into the test's folder."""
    named = {f"{name}_path": chain[name] for name in ("snapshot", "split", "forget", "audit", "evaluation")}
    named |= {"original_path": chain["model"]} | {f"{name}_path": chain[name] for name in ("candidate", "retrained")}

    def write(verdict: Path, versions: dict[str, str], escalation: Path | None = None) -> Summary:
        inputs = ReportInputs(
            **named,
            verdict_path=verdict,
            escalation_path=escalation,
            model_name=parent.name,
            versions={"original": "1", **versions},
            run_name="run",
        )
        return report(inputs, summary_path=tmp_path / "summary.json", page_path=tmp_path / "report.html")

    return write


def test_a_promoted_run_is_told_in_full(
    write_report: Callable[..., Summary], chain: Chain, parent: Version, evidence: Paths, tmp_path: Path
) -> None:
    promote(Evidence(**evidence), model_name=parent.name, parent="1", run_name="run")
    written = write_report(chain["passed"], {"unlearned": "2"})
    assert summary.load(tmp_path / "summary.json") == written
    assert (written.verdict.outcome, written.promoted, written.registry.champion) == ("passed", "unlearned", "2")
    assert list(written.models) == ["original", "unlearned", "retrained"]
    assert (written.seed, written.commit, written.method) == (0, "test", "gradient_penalty")
    assert (written.forget.records, written.split.sizes["members"]) == (120, 300)


def test_the_page_shows_records_rates_limits_and_the_cross_check(
    write_report: Callable[..., Summary], chain: Chain, tmp_path: Path
) -> None:
    written = write_report(chain["passed"], {})
    page = (tmp_path / "report.html").read_text()
    for text in (
        "Records that look trained on",
        "TPR at 0.1 % FPR",
        "precision",
        "Cross-check",
        "All attacks together",
    ):
        assert text in page, text
    assert "encoder&#39;s output only" in page
    assert f"Limits: {written.verdict.limits[0]}" in page
    assert "10 attacks on 120 forgotten and 300 other records" in page


@pytest.mark.parametrize(("escalation", "promoted"), [(None, None), ("failed", None), ("passed", "retrained")])
def test_a_failed_run_says_what_was_promoted_instead(
    write_report: Callable[..., Summary],
    chain: Chain,
    failed: Evidence,
    parent: Version,
    escalation: str | None,
    promoted: str | None,
) -> None:
    reject(failed, model_name=parent.name, parent="1", run_name="run")
    written = write_report(chain["failed"], {"unlearned": "2"}, chain[escalation] if escalation else None)
    assert (written.promoted, written.registry.champion) == (promoted, "1")
    assert (written.escalation is None) == (escalation is None)


def test_no_record_id_is_on_the_page_or_in_the_summary(
    write_report: Callable[..., Summary], chain: Chain, tmp_path: Path
) -> None:
    write_report(chain["passed"], {})
    ids = set(snapshots.load(chain["snapshot"]).manifest.record_ids)
    for name in ("summary.json", "report.html"):
        content = (tmp_path / name).read_text()
        digests = set(re.findall(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", content))
        assert digests, "the digests of the models at least are there"
        assert not digests & ids
        assert not any(identity in content for identity in ids)


def test_a_damaged_verdict_writes_nothing(write_report: Callable[..., Summary], tmp_path: Path) -> None:
    broken = tmp_path / "verdict"
    broken.write_text("{}")
    with pytest.raises(UserError, match="is not valid"):
        write_report(broken, {})
    assert list(tmp_path.iterdir()) == [broken]
