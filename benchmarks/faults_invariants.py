"""What must hold after a fault: at once, and when another batch has run to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from benchmarks.faults_world import ACCEPTING, World
from unlearning.compliance.certificates import keyring, keys, verification
from unlearning.compliance.certificates.keyring import Keyring
from unlearning.compliance.ledger.events import Certified, Fulfilled, NothingFound, Purged, digest_of
from unlearning.compliance.ledger.state import NO_MODEL
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.ledger.verification import verify
from unlearning.compliance.retention import tombstones
from unlearning.core.errors import MissingKeyError
from unlearning.registry.client import CHAMPION, Version
from unlearning.registry.versions import data_of
from unlearning.storage.datasets import load_split
from unlearning.storage.keys import certificate_key

AT_ONCE = ("what serves passed its audit, was accepted, or is the original before anything was promoted",)
AT_THE_END = (
    "every request is fulfilled exactly once for every model, certified, and not among the open ones",
    "a request for unknown records says that nothing was found, once, and stays open",
    "no event says twice that the same version was purged",
    "every certificate is signed by the key and is the one in the ledger",
    "tombstones exist for exactly the records of fulfilled requests",
    "what serves stands for data without them",
    "what holds them has no alias, and is withdrawn and purged",
    "the ledger's verification finds no problem",
)


def champions(world: World) -> Iterator[str]:
    """What is wrong with what serves now, whatever has just happened."""
    for name in ACCEPTING:
        versions = world.registry.versions(name)
        found = [each for each in versions if CHAMPION in each.aliases]
        if len(found) != 1:
            yield f"{name}: {len(found)} versions serve"
            continue
        tags = found[0].tags
        if tags.kind == "original":
            later = [each.version for each in versions if each is not found[0] and each.tags.served_at != "none"]
            if later:
                yield f"{name}: the original serves though version {later[0]} has served"
        elif not (tags.verdict == "passed" or tags.accepted == "yes"):
            yield f"{name}: version {found[0].version} serves, of which the verdict is {tags.verdict}"


def all_of(world: World) -> Iterator[str]:
    """Everything that is wrong when a batch without faults has ended."""
    yield from champions(world)
    yield from _requests(world)
    yield from _versions(world)
    stones = tombstones.load(world.store)
    wanted: dict[str, set[str]] = {}
    for request, records in world.asked.items():
        for record in records:
            wanted.setdefault(record, set()).add(request)
    # Other ids of the same pictures have tombstones too.
    others = {request for record in stones.keys() - wanted.keys() for request in stones[record]}
    if {record: set(stones.get(record, ())) for record in wanted} != wanted or not others <= world.asked.keys():
        yield f"tombstones of {len(stones)} records instead of {len(wanted)}, or for other requests"
    yield from (f"{each.request}: {each.kind}: {each.text}" for each in verify(world.store))


def _requests(world: World) -> Iterator[str]:
    ledger = Ledger(world.store)
    left = {*ledger.open_requests()} - {*world.unknown}  # of which nothing was found is looked up again
    yield from (f"{request}: still among the open ones" for request in sorted(left))
    for request in (*world.asked, *world.unknown):
        history = ledger.history(request)
        details = [event.details for event in history.events] if history else []
        if request in world.unknown:
            if sum(isinstance(each, NothingFound) for each in details) != 1:
                yield f"{request}: not found to be nothing"
            continue
        done = Counter(each.model for each in details if isinstance(each, Fulfilled))
        models = (NO_MODEL,) if request in world.never_trained else tuple(ACCEPTING)
        if done != Counter(models):
            yield f"{request}: fulfilled {dict(done)}"
        gone = Counter((each.model, each.version) for each in details if isinstance(each, Purged))
        yield from (f"{request}: purged twice: {each}" for each, times in gone.items() if times > 1)
        yield from _certificates(world, request, [each for each in details if isinstance(each, Certified)])


def _certificates(world: World, request: str, certified: list[Certified]) -> Iterator[str]:
    if not certified:
        yield f"{request}: not certified"
    known = Keyring(keys=(keyring.trusted(keys.raw_public(world.key)),))
    for number, event in enumerate(certified, 1):
        try:
            data = world.store.read(certificate_key(request, number))
        except MissingKeyError:
            yield f"{request}: certificate {number} is missing"
            continue
        if digest_of(data) != event.certificate or not verification.verify(data, known).verified:
            yield f"{request}: certificate {number} is not the one of the ledger, or does not verify"


def _versions(world: World) -> Iterator[str]:
    erased = {record for records in world.asked.values() for record in records}
    for name in ACCEPTING:
        for version in world.registry.versions(name):
            if not _holds(world, version, erased):
                continue
            if version.aliases:
                yield f"{name} version {version.version} holds erased records and is {', '.join(version.aliases)}"
            if version.tags.status != "purged":
                yield f"{name} version {version.version} holds erased records and is {version.tags.status}"
            elif world.registry.weights(version):
                yield f"{name} version {version.version} is purged and its weights are there"


def _holds(world: World, version: Version, erased: set[str]) -> bool:
    try:
        return not erased.isdisjoint(load_split(world.store, data_of(version).split).ids)
    except MissingKeyError:
        return True  # purged: it did
