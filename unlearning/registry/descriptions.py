"""What MLflow's pages say about a model and its versions, in words with links.

The text of a version begins with what was written when it was registered, and whatever a person added; what
follows the rule below it is written again whenever something happens.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from unlearning.audit.escalation import ATTEMPTS, described
from unlearning.registry.client import DESCRIPTION, Registry
from unlearning.registry.history import by_number, honoured, tagged
from unlearning.registry.tags import NONE
from unlearning.registry.versions import Version, champion

RULE = "\n\n---\n\n### Lineage\n\n"
LISTED = 20
"""Names that are listed at most before the rest is counted."""
_OUTCOMES = {
    "passed": "passed its audit",
    "leaks": "did not pass its audit: it still leaks",
    "over_forgotten": "did not pass its audit: it forgot too much",
    "utility_lost": "did not pass its audit: it lost accuracy",
    "inconclusive": "could not be judged by its audit",
}
_ATTEMPTS: dict[str, str] = {attempt: described(attempt) for attempt in ATTEMPTS}


def tell(registry: Registry, model: str) -> None:
    """Bring the pages of a model and its versions up to date; those that are so already are not touched.

    To be called after a version was registered or withdrawn, or another one serves. Doing it twice changes nothing.
    """
    versions = registry.versions(model)
    for version in versions:
        text = with_generated(version.description, version_description(version, versions))
        if text != version.description:
            registry.describe(model, text, version.version)
    if versions:
        registry.describe(model, model_description(versions))


def with_generated(description: str, generated: str) -> str:
    """A description with the generated part below its rule, in place of the one there; cut where it is too long."""
    written = description.partition(RULE)[0]
    return f"{written[: max(DESCRIPTION - len(RULE) - len(generated), 0)]}{RULE}{generated}"[:DESCRIPTION]


def link(version: Version, word: str = "version") -> str:
    """A link to a version's page, as MLflow's own pages spell it."""
    return f"[{word} {version.version}](#/models/{quote(version.name, safe='')}/versions/{version.version})"


def model_description(versions: Sequence[Version]) -> str:
    """What a registered model's page says.

    Args:
        versions: all of it, oldest first; at least one.
    """
    serves = champion(versions)
    return " ".join([*_serving(serves, versions), *_past(versions)])[:DESCRIPTION]


def _serving(serves: Version | None, versions: Sequence[Version]) -> Iterator[str]:
    if serves is None:
        yield "No version serves."
        return
    since = serves.tags.served_at
    yield f"{link(serves, 'Version')} serves{_since(since)}."
    before = [each for each in versions if each.tags.superseded_by == serves.version]
    if before:
        yield f"It replaced {_listed([link(each) for each in before])}."
    if serves.tags.statement != NONE:
        yield _escaped(serves.tags.statement)
    count = len(honoured(versions)[serves.version])
    yield f"It honours {_counted(count, 'erasure request')}."


def _past(versions: Sequence[Version]) -> Iterator[str]:
    for status, told in (("withdrawn", "Withdrawn"), ("purged", "Withdrawn, with their weights deleted")):
        found = [link(each) for each in versions if each.tags.status == status]
        if found:
            yield f"{told}: {_listed(found)}."


def version_description(version: Version, versions: Sequence[Version]) -> str:
    """What a version's page says below the rule.

    Args:
        version: one of `versions`.
        versions: all of the model's, oldest first.
    """
    return " ".join([*_origin(version, versions), *_requests(version, versions), *_fate(version, versions)])


def _origin(version: Version, versions: Sequence[Version]) -> Iterator[str]:
    known = by_number(versions)
    parent = known.get(version.tags.parent)
    snapshot = version.tags.snapshot
    if version.tags.kind == "original":
        yield f"The original, trained on snapshot `{_code(snapshot)}`."
        for key, told in sorted(version.tags.qualifications.items()):
            yield f"Qualification of {_escaped(key.rpartition('.')[0])}: {_escaped(told)}."
    elif parent is not None:
        attempt = version.tags.attempt
        step = f", {_ATTEMPTS[attempt]}," if attempt in _ATTEMPTS and attempt != "first" else ""
        yield f"Made from {link(parent)} by {_escaped(version.tags.method)}{step} and audited."
        if version.tags.from_snapshot != NONE:
            yield f"It stands for snapshot `{_code(snapshot)}`, which is what was left after forgetting."
    if version.tags.verdict != NONE:
        yield f"It {_OUTCOMES.get(version.tags.verdict, 'has an unknown verdict')}."
    children = [link(each) for each in versions if each.tags.parent == version.version]
    if children:
        yield f"Made from it: {_listed(children)}."


def _requests(version: Version, versions: Sequence[Version]) -> Iterator[str]:
    own = tagged(version)
    parent = by_number(versions).get(version.tags.parent)
    earlier = own & tagged(parent) if parent is not None else frozenset[str]()
    new = sorted(_escaped(request) for request in own - earlier)
    if new:
        batch = version.tags.batch
        for_batch = f", of batch {_escaped(batch)}" if batch != NONE else ""
        yield f"It was the first to honour {_counted(len(new), 'erasure request')}{for_batch}: {_listed(new)}."
    if earlier:
        yield f"It goes on honouring {_counted(len(earlier), 'earlier request')}."


def _fate(version: Version, versions: Sequence[Version]) -> Iterator[str]:
    status, since = version.tags.status, version.tags.served_at
    after = by_number(versions).get(version.tags.superseded_by)
    if status == "serving":
        yield f"It serves{_since(since)}."
    elif after is not None:
        start = "" if since == NONE else f" from {_code(since)}"
        yield f"It served{start} until {link(after)} replaced it{_on(version.tags.superseded_at)}."
    elif status != "registered":
        yield "It never served."
    if status in ("withdrawn", "purged"):
        yield f"It was withdrawn{_on(version.tags.withdrawn_at)}{_for(version.tags.withdrawn_for)}."
    if status == "withdrawn" and version.tags.purge_after != NONE:
        yield f"Its weights are to be deleted after {_code(version.tags.purge_after)}."
    if status == "purged":
        yield f"Its weights were deleted{_on(version.tags.purged_at)}."


def _since(time: str) -> str:
    return "" if time == NONE else f" since {_code(time)}"


def _on(time: str) -> str:
    return "" if time == NONE else f" on {_code(time)}"


def _for(requests: str) -> str:
    return "" if requests == NONE else f" for {_listed([_escaped(each) for each in requests.split(',')])}"


def _counted(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{', '.join(names[:LISTED])}{more}"


def _escaped(text: str) -> str:
    """Nothing in it is Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]()#~|])", r"\\\1", html.escape(text, quote=False))


def _code(text: str) -> str:
    """A digest or a time, without what would end it."""
    return re.sub(r"[^\w:.+-]", "", text)
