"""What a request concerns: its records, and which models were trained on them. Nothing here reads or writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from unlearning.compliance.requests.requests import Request


@dataclass(frozen=True)
class Holding:
    """A snapshot in the store."""

    digest: str
    records: frozenset[str]
    subjects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Persons by record id."""

    def of(self, request: Request) -> frozenset[str]:
        """Its records that the request is about."""
        if request.subject is None:
            return self.records.intersection(request.records)
        return frozenset(identity for identity, persons in self.subjects.items() if request.subject in persons)


@dataclass(frozen=True)
class ServingData:
    """What serves of a registered model."""

    model: str
    version: str
    snapshot: str
    """Digest of the one that it stands for."""
    members: frozenset[str]
    """Records that it was trained on and has not forgotten."""


@dataclass(frozen=True)
class ConcernedRecords:
    """What a request is about, as things stand."""

    records: frozenset[str]
    """Of all snapshots."""
    snapshots: tuple[str, ...]
    """Digests of those that hold any, sorted."""
    members: Mapping[str, frozenset[str]]
    """What each model was trained on, by its name; no model without any."""


def concern(request: Request, holdings: Sequence[Holding], serving: Sequence[ServingData]) -> ConcernedRecords:
    """Look a request up.

    Args:
        holdings: every snapshot in the store.
        serving: what serves of every registered model.
    """
    found = {each.digest: each.of(request) for each in holdings}
    records = frozenset[str]().union(*found.values())
    wanted = [each for each in serving if request.model in ("", each.model)]
    return ConcernedRecords(
        records=records,
        snapshots=tuple(sorted(digest for digest, some in found.items() if some)),
        members={each.model: some for each in wanted if (some := each.members & records)},
    )
