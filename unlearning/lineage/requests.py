"""Which versions honour a request, which do not, and which descend from a snapshot."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal

from unlearning.core.config import Config
from unlearning.registry.history import (
    ORIGINAL,
    VersionEntry,
    by_number,
    chain,
    entry,
    honoured,
    made_from,
    reduced,
    refused,
    tagged,
)
from unlearning.registry.tags import NONE
from unlearning.registry.versions import Version, champion

Relation = Literal["trained", "reduced_to", "descended"]
Forgot = Literal["nothing", "part", "tried"]


class ConcernedModels(Config):
    """What a request was found to concern."""

    models: tuple[str, ...]
    snapshots: tuple[str, ...] = ()
    """That hold its records; empty where that is not known."""


class Pending(Config):
    """Versions that have not honoured a request."""

    request: str
    models: tuple[str, ...]
    """That it concerns."""
    by: Literal["records", "tags"]
    """How stored versions are told: by the records that they hold, or, where the content of the request was deleted, by
    what MLflow's page says."""
    stored: tuple[VersionEntry, ...]
    """Whose weights still exist."""
    purged: tuple[VersionEntry, ...]


class First(VersionEntry):
    """The first version of a model that honoured a request."""

    since: str
    """When it began to serve, or `none`."""
    batch: str
    certificate: str | None
    """Key of the newest certificate in the store."""
    serves: str | None
    """The version that serves now."""
    still: bool
    """Whether that one honours the request too."""


class HonouredBy(Config):
    """Where a request was honoured first, per model."""

    request: str
    versions: tuple[First, ...]


class Trained(VersionEntry):
    """A version that goes back to a snapshot."""

    relation: Relation
    """`trained` on it; `reduced_to` it by forgetting the rest; or `descended` from a version that was either."""
    forgot: Forgot
    """Whether `part` of the snapshot is forgotten since; `tried` where only candidates did that were refused."""


class TrainedOn(Config):
    """All versions that go back to a snapshot."""

    snapshot: str
    versions: tuple[Trained, ...]


def models(versions: Iterable[Version]) -> Iterator[tuple[str, list[Version]]]:
    """Versions by the model they are of, in the order of names and numbers."""
    ordered = sorted(versions, key=lambda each: (each.name, int(each.version)))
    for name, group in groupby(ordered, key=lambda each: each.name):
        yield name, list(group)


def pending(
    request: str, concern: ConcernedModels, versions: Iterable[Version], held: Collection[tuple[str, str]] | None = None
) -> Pending:
    """Versions that have not honoured a request: those whose weights are stored, by the records that they hold; the
    others by their tags.

    Where the records are not known any more, all go by their tags: versions of the models concerned that neither
    honour the request nor come from one that does. Where it is known which snapshots hold the records, an original
    that was trained on others is left out then, and so is all that was made from it.

    Args:
        request: its id.
        concern: which models it concerns.
        versions: of these models and of those of `held`, all of them.
        held: model and number of every stored version that holds the records; None where nobody knows them.
    """
    found: list[VersionEntry] = []
    for name, group in models(versions):
        touched, honours = _touched(group, frozenset(concern.snapshots)), honoured(group)
        for each in group:
            told = VersionEntry.model_validate(entry(each))
            by_tags = name in concern.models and each.version in touched and request not in honours[each.version]
            if by_tags if held is None or told.weights == "purged" else (name, each.version) in held:
                found.append(told)
    return Pending(
        request=request,
        models=tuple(sorted({*concern.models, *(name for name, _ in held or ())})),
        by="tags" if held is None else "records",
        stored=tuple(each for each in found if each.weights == "stored"),
        purged=tuple(each for each in found if each.weights == "purged"),
    )


def _touched(group: Sequence[Version], snapshots: frozenset[str]) -> set[str]:
    """Versions of the families that go back to one of the snapshots; all where none is known.

    By family: what holds a record is what an original was trained on, and every reduced snapshot is a part
    of that, so one version that holds it says it of the whole family, those before it included.
    """
    known = by_number(group)
    roots = {each.version: chain(each, known)[-1].version for each in group}
    holding = {roots[each.version] for each in group if {each.tags.snapshot, made_from(each)} & snapshots}
    return {number for number, root in roots.items() if root in holding or not snapshots}


def first_honoured(request: str, versions: Iterable[Version]) -> HonouredBy:
    """The first version of every model that honoured a request, with its certificate.

    Args:
        request: its id.
        versions: of every model of which a version honours it, all of them.
    """
    return HonouredBy(request=request, versions=tuple(_firsts(request, versions)))


def _firsts(request: str, versions: Iterable[Version]) -> Iterator[First]:
    for _, group in models(versions):
        first = next((each for each in group if request in tagged(each)), None)
        if first is None:
            continue
        serves = champion(group)
        certificate = first.tags.certificates.get(request, NONE)
        yield First(
            **entry(first),
            since=first.tags.served_at,
            batch=first.tags.batch,
            certificate=None if certificate == NONE else certificate,
            serves=serves.version if serves is not None else None,
            still=serves is not None and request in honoured(group)[serves.version],
        )


def trained_on(snapshot: str, versions: Iterable[Version]) -> TrainedOn:
    """Versions that were trained on a snapshot, or made from one that was.

    Args:
        snapshot: its digest.
        versions: of every model of which a version goes back to it, all of them.
    """
    found: list[Trained | None] = []
    for _, group in models(versions):
        known = by_number(group)
        found += [_relation(snapshot, each, known) for each in group]
    return TrainedOn(snapshot=snapshot, versions=tuple(each for each in found if each is not None))


def _relation(snapshot: str, version: Version, known: Mapping[str, Version]) -> Trained | None:
    """How a version goes back to a snapshot; None if it does not."""
    below: list[Version] = []
    """Versions that forgot since, this one first."""
    for each in chain(version, known):
        if each.tags.snapshot == snapshot and (each.tags.kind != "unlearned" or reduced(each)):
            own: Relation = "reduced_to" if each.tags.kind == "unlearned" else "trained"
            return Trained(**entry(version), relation="descended" if below else own, forgot=_forgot(below))
        below.append(each)
        if made_from(each) == snapshot and each.tags.parent not in known:
            break
    else:
        return None
    return Trained(**entry(version), relation="descended", forgot=_forgot(below))


def _forgot(below: Sequence[Version]) -> Forgot:
    forgetting = [each for each in below if each.tags.kind != ORIGINAL]
    if all(map(refused, forgetting)):
        return "tried" if forgetting else "nothing"
    return "part"
