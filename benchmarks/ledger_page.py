"""The page of the ledger's benchmark."""

from __future__ import annotations

from typing import Any

HEAD = """# What open requests cost beside closed ones

`python -m benchmarks.ledger` at commit {commit}, on {machine}; {repeats} repeats, each in a process of its own.
A local store; its files had just been made, so the system had many of them in memory. Seconds are medians, with the
slowest repeat in brackets. Memory is what the process took at its highest above what it had with everything imported.
"""

LATE = """
On S3 every answer takes its time. With a store that answers each question after {answer_after_seconds} s, looking at
{requests:,} open requests took {one_at_a_time:.1f} s one request at a time and {side_by_side:.1f} s side by side.
"""


def render(found: dict[str, Any]) -> str:
    """The page of what was measured."""
    lines = ["| open requests | events of closed ones | what | found | seconds | MiB |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row['open_requests']:,} | {row['closed_events']:,} | {row['what']} | {row['found']:,} "
        f"| {row['seconds']:.3g} ({row['slowest']:.3g}) | {row['mebibytes']:.1f} |"
        for row in found["rows"]
    ]
    note = f"\n{found['note']}\n" if found["note"] else ""
    return HEAD.format(**found) + note + "\n" + "\n".join(lines) + "\n" + LATE.format(**found["late"])
