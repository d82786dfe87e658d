"""Which version serves, what replaced which, and what a version was made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.registry.tags import FULFILLED, NONE
from unlearning.registry.versions import Version, champion

ORIGINAL = "original"

Weights = Literal["stored", "purged"]


class VersionEntry(Config):
    """A version, as every answer names it."""

    model: str
    version: str
    kind: str
    """`original`, `unlearned`, `retrained`, or `none` where something else registered it."""
    method: str
    status: str
    verdict: str
    weights: Weights
    """As its status says; `unlearn lineage artefacts` looks."""


class Serving(VersionEntry):
    """The version that serves."""

    since: str
    """ISO 8601, or `none` where it began to serve before that was kept."""
    replaced: str | None
    """The version that served before it."""
    statement: str
    """Under which it was accepted without having passed, or `none`."""
    requests: tuple[str, ...]
    """That it honours."""


class Replacement(Config):
    """What took a version's place."""

    model: str
    version: str
    status: str
    served_at: str
    replaced_by: str | None
    """None where it serves, or never did."""
    replaced_at: str
    batch: str
    """Compliance batch that the new version was made for, or `none`."""
    requests: tuple[str, ...]
    """That the new version honours and this one does not."""
    undone: tuple[str, ...]
    """That this one honours and the new version does not: nothing, unless somebody went back."""


class Step(VersionEntry):
    """A version on the way to the original, and the data it stands for."""

    parent: str
    snapshot: str
    """Without what it forgot; of an original, what it was trained on."""
    split: str
    forget: str
    """Digest of the forget set, or `none`."""
    batch: str
    parent_matches: bool
    """Whether the parent's weights are those that it says it was made from."""


class Ancestry(Config):
    """A version and all it descends from."""

    model: str
    version: str
    steps: tuple[Step, ...]
    """The version itself first, the original last."""
    snapshots: tuple[str, ...]
    """Each once; the last is the one that the original was trained on."""
    missing: str | None
    """A parent that is not in the registry any more: what came before it is not known."""


def entry(version: Version) -> dict[str, str]:
    """The fields of an `VersionEntry`."""
    tags = {key: getattr(version.tags, key) for key in ("kind", "method", "status", "verdict")}
    weights = "purged" if version.tags.status == "purged" else "stored"
    return {"model": version.name, "version": version.version, **tags, "weights": weights}


def by_number(versions: Sequence[Version]) -> dict[str, Version]:
    """Versions of one model by their number."""
    return {each.version: each for each in versions}


def of(versions: Sequence[Version], model: str, version: str) -> Version:
    """A version by number or alias.

    Raises:
        UserError: the model has none of that number or alias.
    """
    for each in versions:
        if version in (each.version, *each.aliases):
            return each
    raise UserError(f"model {model!r} has no version or alias {version!r}: `unlearn lineage show {model}` lists them")


def chain(version: Version, versions: Mapping[str, Version]) -> tuple[Version, ...]:
    """A version, its parent and so on, as far as they are known; each once."""
    found = [version]
    seen = {version.version}
    while (parent := versions.get(found[-1].tags.parent)) is not None and parent.version not in seen:
        found.append(parent)
        seen.add(parent.version)
    return tuple(found)


def reduced(version: Version) -> bool:
    """Whether its `snapshot` is what was left after forgetting; before there was `from_snapshot`, it was not."""
    return version.tags.from_snapshot != NONE


def made_from(version: Version) -> str:
    """The snapshot that its parent stands for; `none` for an original."""
    if version.tags.kind == ORIGINAL or reduced(version):
        return version.tags.from_snapshot
    return version.tags.snapshot


def refused(version: Version) -> bool:
    """Whether it is a candidate that neither passed its audit nor was accepted; its status may have changed since."""
    return version.tags.kind != ORIGINAL and version.tags.verdict != "passed" and version.tags.accepted != "yes"


def tagged(version: Version) -> frozenset[str]:
    """Requests that a version's own tags say it honours."""
    return frozenset(request for request, value in version.tags.requests.items() if value == FULFILLED)


def honoured(versions: Sequence[Version]) -> dict[str, frozenset[str]]:
    """By version of one model, the requests it honours: its own, and those of everything it was made from."""
    known = by_number(versions)
    own = {number: tagged(each) for number, each in known.items()}
    return {
        number: frozenset().union(*(own[above.version] for above in chain(each, known)))
        for number, each in known.items()
    }


def serving(model: str, versions: Sequence[Version]) -> Serving:
    """Which version of a model serves.

    Raises:
        UserError: none does.
    """
    version = champion(versions)
    if version is None:
        raise UserError(f"no version of model {model!r} serves: promote one")
    before = [each for each in versions if each.tags.superseded_by == version.version]
    # A version may have taken the place of several, where somebody went back to an earlier one.
    last = max(before, key=lambda each: (each.tags.superseded_at.replace(NONE, ""), int(each.version)), default=None)
    return Serving(
        **entry(version),
        since=version.tags.served_at,
        replaced=last.version if last is not None else None,
        statement=version.tags.statement,
        requests=tuple(sorted(honoured(versions)[version.version])),
    )


def replaced(version: Version, versions: Sequence[Version]) -> Replacement:
    """What took a version's place, when, and for which requests."""
    number = version.tags.superseded_by
    after, honours = by_number(versions).get(number), honoured(versions)
    own = honours[version.version]
    theirs = honours.get(number, own)
    return Replacement(
        model=version.name,
        version=version.version,
        status=version.tags.status,
        served_at=version.tags.served_at,
        replaced_by=None if number == NONE else number,
        replaced_at=version.tags.superseded_at,
        batch=after.tags.batch if after is not None else NONE,
        requests=tuple(sorted(theirs - own)),
        undone=tuple(sorted(own - theirs)),
    )


def ancestors(version: Version, versions: Sequence[Version]) -> Ancestry:
    """Everything a version was made from, down to what the original was trained on."""
    found = chain(version, by_number(versions))
    last = found[-1].tags.parent
    snapshots = [digest for each in found for digest in _snapshots(each) if digest != NONE]
    return Ancestry(
        model=version.name,
        version=version.version,
        steps=tuple(_steps(found)),
        snapshots=tuple(dict.fromkeys(snapshots)),
        missing=None if last == NONE else last,
    )


def _snapshots(version: Version) -> tuple[str, str]:
    return version.tags.snapshot, made_from(version)


def _steps(found: Sequence[Version]) -> Iterator[Step]:
    for each, parent in zip(found, (*found[1:], None), strict=True):
        expected = each.tags.parent_digest
        yield Step(
            **entry(each),
            **{key: getattr(each.tags, key) for key in ("parent", "snapshot", "split", "forget", "batch")},
            parent_matches=expected == (parent.tags.digest if parent is not None else NONE),
        )
