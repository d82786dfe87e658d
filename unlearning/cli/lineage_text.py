"""Answers of the lineage commands, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from unlearning.audit.escalation import ATTEMPTS, described
from unlearning.audit.results import Interval
from unlearning.lineage.artifacts import Artefacts
from unlearning.lineage.audits import AuditAnswer
from unlearning.lineage.requests import HonouredBy, Pending, TrainedOn
from unlearning.registry.history import Ancestry, Replacement, Serving, VersionEntry, tagged
from unlearning.registry.tags import NONE
from unlearning.registry.versions import Version
from unlearning.reporting.phrases import single_record

SHOWN = 12
"""Digits of a digest that are shown."""

_ATTEMPTS: dict[str, str] = {attempt: f" ({described(attempt)})" for attempt in ATTEMPTS if attempt != "first"}


def label(version: Version) -> str:
    """A version in one line of the tree."""
    tags = version.tags
    aliases = f" [{', '.join(version.aliases)}]" if version.aliases else ""
    if tags.kind == NONE:
        return f"version {version.version}{aliases}: registered by something else"
    verdict = "" if tags.verdict == NONE else f", verdict {tags.verdict}"
    gap = f", largest AUC gap {tags.largest_auc_gap}" if tags.largest_auc_gap != NONE else ""
    # Versions from before there was an escalation policy have no such tags.
    made = f"{tags.kind} by {tags.method}{_ATTEMPTS.get(tags.attempt, '')}"
    accepted = ", accepted all the same" if tags.accepted == "yes" else ""
    requests = tagged(version)
    honours = f", honours {', '.join(sorted(requests))}" if requests else ""
    return f"version {version.version}{aliases}: {made}, {tags.status}{verdict}{accepted}{gap}{honours}"


def tree(name: str, versions: Iterable[Version]) -> Tree:
    """Every version below the one it was made from."""
    root = Tree(name)
    nodes: dict[str, Tree] = {}
    for version in versions:
        parent = nodes.get(version.tags.parent, root)
        nodes[version.version] = node = parent.add(Text(label(version)))
        for key, told in sorted(version.tags.qualifications.items()):
            node.add(Text(f"{_qualified(key)}: {told}"))
    return root


def _qualified(key: str) -> str:
    """A method and a size in words."""
    method, _, size = key.rpartition(".")
    return f"{method} for {size} record{'' if size == '1' else 's'}"


def _table(title: str, headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    table = Table(title=Text(title), title_justify="left")
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, Interval):
        return f"{value.estimate:.3f} [{value.low:.3f}, {value.high:.3f}]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value) or NONE
    return NONE if value is None else str(value)


def _facts(title: str, facts: dict[str, Any]) -> Table:
    table = _table(title, ("", ""), facts.items())
    table.show_header = False
    return table


def _short(digest: str) -> str:
    return digest[:SHOWN]


def _entry(each: VersionEntry) -> tuple[str, ...]:
    return (each.model, each.version, each.kind, each.method, each.status, each.verdict)


_ENTRY = ("model", "version", "kind", "method", "status", "verdict")


def serving(answer: Serving) -> RenderableType:
    """Which version serves."""
    title = f"Version {answer.version} of {answer.model} serves"
    facts: dict[str, Any] = {"since": answer.since, "kind": answer.kind, "method": answer.method}
    facts |= {"verdict": answer.verdict, "accepted": answer.statement, "replaced version": answer.replaced}
    return _facts(title, facts | {"honours requests": answer.requests})


def replaced(answer: Replacement) -> RenderableType:
    """What took a version's place."""
    if answer.replaced_by is None:
        serves = "serves: nothing replaced it" if answer.status == "serving" else f"is {answer.status}: it never served"
        return Text(f"Version {answer.version} of {answer.model} {serves}.")
    title = f"Version {answer.version} of {answer.model} was replaced by version {answer.replaced_by}"
    facts: dict[str, Any] = {"served from": answer.served_at, "until": answer.replaced_at, "it is now": answer.status}
    facts |= {"for requests": answer.requests, "of batch": answer.batch}
    return _facts(title, facts | ({"no longer honours": answer.undone} if answer.undone else {}))


def ancestors(answer: Ancestry) -> RenderableType:
    """What a version was made from."""
    headings = ("version", "kind", "status", "snapshot", "split", "forget set", "batch", "parent's weights")
    rows = (
        (
            step.version,
            step.kind,
            step.status,
            *map(_short, (step.snapshot, step.split, step.forget)),
            step.batch,
            "as recorded" if step.parent_matches else "other than recorded",
        )
        for step in answer.steps
    )
    table = _table(f"What version {answer.version} of {answer.model} was made from", headings, rows)
    caption = f"trained on snapshot {answer.snapshots[-1] if answer.snapshots else NONE}"
    if answer.missing is not None:
        caption = f"version {answer.missing} is not in the registry: what came before it is not known"
    table.caption, table.caption_justify = Text(caption), "left"
    return table


def pending(answer: Pending) -> RenderableType:
    """Which versions have not honoured a request."""
    note = "" if answer.by == "records" else "Told by tags: the content of the request is not in the store."
    if not answer.stored and not answer.purged:
        return Text(f"Every version that request {answer.request} concerns has honoured it. {note}".rstrip())
    rows = [(*_entry(each), each.weights) for each in (*answer.stored, *answer.purged)]
    title = f"Versions that have not honoured request {answer.request}, of {', '.join(answer.models)}"
    table = _table(title, (*_ENTRY, "weights"), rows)
    return Group(table, Text(note)) if note else table


def honoured(answer: HonouredBy) -> RenderableType:
    """Which versions were the first to honour a request."""
    if not answer.versions:
        return Text(f"No version has honoured request {answer.request} yet.")
    rows = (
        (*_entry(each)[:3], each.verdict, each.since, each.batch, each.certificate, each.serves, each.still)
        for each in answer.versions
    )
    headings = (*_ENTRY[:3], "verdict", "served since", "batch", "certificate", "serves now", "still honoured")
    return _table(f"The first versions to honour request {answer.request}", headings, rows)


def trained_on(answer: TrainedOn) -> RenderableType:
    """Which versions go back to a snapshot."""
    if not answer.versions:
        return Text(f"No version goes back to snapshot {answer.snapshot}.")
    rows = ((*_entry(each), each.relation.replace("_", " "), each.forgot, each.weights) for each in answer.versions)
    return _table(f"Versions that go back to snapshot {answer.snapshot}", (*_ENTRY, "how", "forgot", "weights"), rows)


def audited(answer: AuditAnswer) -> RenderableType:
    """What an audit found."""
    rows = ((each.name, each.auc, each.tpr_at_1_fpr, each.difference, each.simultaneous) for each in answer.attacks)
    headings = (
        "attack or measure",
        "AUC or share",
        "TPR at 1 % FPR",
        "from retrained or references",
        "all attacks together",
    )
    title = f"Version {answer.version} of {answer.model}: {answer.outcome}, margin {answer.auc_margin:g} AUC"
    table = _table(title, headings, [*rows, *_single_records(answer)])
    accepted = () if answer.statement == NONE else (answer.statement,)
    limits = tuple(f"limit: {limit}" for limit in answer.limits)
    table.caption = Text("\n".join((*accepted, *(f"reason: {each}" for each in answer.reasons), *limits)))
    table.caption_justify = "left"
    return table


def _single_records(answer: AuditAnswer) -> list[tuple[object, ...]]:
    """Below the attacks, what is seen of single records: no AUC, but what the version shows."""
    return [
        (single_record(each), f"{each.shown:.3f}", "", each.difference, each.simultaneous)
        for each in answer.single_records
    ]


def artefacts(answer: Artefacts) -> RenderableType:
    """What was derived with a version."""
    rows = (
        (each.kind.replace("_", " "), each.key, each.objects, each.state.replace("_", " "), each.shared_with)
        for each in answer.artefacts
    )
    title = f"What there is of version {answer.version} of {answer.model}, {answer.status}"
    return _table(title, ("what", "where", "files", "state", "also of"), rows)
