"""The page of what compliance batches survive."""

from __future__ import annotations

from typing import Any

from benchmarks.faults_invariants import AT_ONCE, AT_THE_END

HEAD = """# Compliance batches and faults

`{command}` at commit {commit}, on {machine}; {minutes:.0f} minutes with {jobs} worker processes.

Each trial begins with two tiny models that serve and five requests: three for records that both models were trained
on, two of which overlap, one for records that no model was trained on, and one for a record that nobody has. Store and
MLflow (SQLite) are on the local disk. A batch goes through the same steps as the pipeline, and has no days of grace,
so that it also purges; without a fault it writes {writes} times, calls MLflow {calls} times, and takes
{seconds:.1f} s. The candidates and audits of the models were made once and are taken from a folder. After the fault
another batch runs without one, when all claims and locks have run out.
"""


def render(found: dict[str, Any]) -> str:
    """The page."""
    lines = ["| fault | runs | fault struck | survived | batches begun | problems |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row['fault']} | {row['runs']} | {row['struck']} | {row['survived']} | {row['tries']} "
        f"| {'; '.join(row['problems']) or 'none'} |"
        for row in found["summary"]
    ]
    checked = ["Checked right after the fault:", "", *(f"- {each}" for each in AT_ONCE)]
    checked += ["", "Checked when the batch without faults has ended:", "", *(f"- {each}" for each in AT_THE_END)]
    return HEAD.format(**found, **found["batch"]) + "\n" + "\n".join(lines) + "\n\n" + "\n".join(checked) + "\n"
