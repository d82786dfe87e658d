"""The tables of the pipelines' parameters, made from where they are written."""

from __future__ import annotations

import json
import re

from pipelines.parameters import FORMS, TITLES, parameters_of

PLACE = re.compile(r"<!-- parameters of (\w+) -->")
"""Where a page gets the table of a pipeline."""


def table(pipeline: str) -> str:
    """A pipeline's parameters, group by group, in Markdown."""
    rows = ["| | parameter | default | meaning |", "|---|---|---|---|"]
    shown = ""
    for each in parameters_of(FORMS[pipeline]):
        title = TITLES[each.group]
        default = json.dumps(each.default).replace("|", r"\|")
        meaning = each.text.replace("|", r"\|").replace("<", "&lt;")
        rows.append(f"| {title if title != shown else ''} | `{each.name}` | `{default}` | {meaning} |")
        shown = title
    return "\n".join(rows)


def replaced(markdown: str) -> str:
    """The page with its tables."""
    return PLACE.sub(lambda found: table(found[1]), markdown)
