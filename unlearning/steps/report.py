"""Report: the whole run in one page and one JSON document."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from unlearning.audit import inspection_results
from unlearning.learning.retrained import retrained_at
from unlearning.reporting import report as page
from unlearning.reporting import summary
from unlearning.reporting.summarise import ReportInputs, summarise
from unlearning.reporting.summary import Summary


def report(inputs: ReportInputs, *, summary_path: Path, page_path: Path) -> Summary:
    """Write `summary.json` and `report.html`.

    Args:
        inputs: `retrained_path` may also be the word that there is none.

    Raises:
        UserError: something is missing or damaged, or they are not about each other.
    """
    gathered = summarise(replace(inputs, retrained_path=retrained_at(inputs.retrained_path)))
    evidence = inspection_results.load(inputs.evidence_path)
    summary.save(gathered, summary_path)
    page.write(gathered, page_path, evidence)
    return gathered
