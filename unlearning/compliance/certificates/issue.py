"""Issue: one certificate, from what the ledger, the registry and the store say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import cast

from unlearning.audit.power import detectable_auc
from unlearning.audit.qualification_results import QualifiedBy
from unlearning.audit.results import Audit, Verdict
from unlearning.compliance.certificates import dsse, keys
from unlearning.compliance.certificates import html as page
from unlearning.compliance.certificates import statement as certificates
from unlearning.compliance.certificates.evidence import Evidence
from unlearning.compliance.certificates.predicate import (
    Data,
    ForgottenRecords,
    How,
    LedgerHead,
    Making,
    ModelErasure,
    Purge,
    PurgedArtifacts,
    QualifiedAttack,
    SimulatedSets,
    SingleRecords,
    Times,
    Weights,
)
from unlearning.compliance.certificates.statement import Statement
from unlearning.compliance.ledger.claims import ModelState
from unlearning.compliance.ledger.events import Certified, Fulfilled, Purged, digest_of
from unlearning.compliance.ledger.state import State
from unlearning.compliance.ledger.store import Ledger
from unlearning.compliance.requests import requests
from unlearning.compliance.retention.policy import label, requests_of, serves, withdrawn
from unlearning.compliance.retention.withdraw import withdraw
from unlearning.core.errors import UserError
from unlearning.data.provenance import ProvenanceRecord
from unlearning.registry.client import Registry, Version
from unlearning.registry.tags import Tags
from unlearning.registry.versions import data_of
from unlearning.storage.concurrency import side_by_side
from unlearning.storage.keys import certificate_key
from unlearning.storage.store import Store

BY = "certify"


@dataclass(frozen=True)
class NotCertified:
    """A fulfilled request that no certificate could be made for, and why."""

    request: str
    why: str


def purged_since(store: Store, registry: Registry, now: datetime) -> Iterator[State]:
    """Certified requests whose ledger does not say yet, or whose certificate does not, what was purged for them."""
    ledger = Ledger(store)
    told: dict[str, list[Version]] = {}
    for version in registry.search(Tags(status="purged")):
        for request in requests_of(version):
            told.setdefault(request, []).append(version)
    for state, (_, versions) in zip(side_by_side(ledger.state, sorted(told)), sorted(told.items()), strict=True):
        if state.status != "fulfilled":
            continue  # another model keeps it open; it is told once that is done
        for version in versions:
            if (version.name, version.version) not in {(each.model, each.version) for each in state.purged}:
                objects = int(version.tags.value("purged_objects") or 0)
                details = Purged(model=version.name, version=version.version, objects=objects)
                state = ledger.append(state, details, by=BY, now=now)
        if state.certificates and state.head.kind == "purged":
            yield state


class Issue:
    """One certificate under way."""

    def __init__(self, evidence: Evidence, state: State, now: datetime) -> None:
        self.evidence, self.store, self.registry = evidence, evidence.store, evidence.registry
        self.state, self.now = state, now
        history = Ledger(self.store).history(state.request)
        self.events = history.events if history else ()
        kept = requests.find(self.store, state.request)
        self.asked = kept.request if kept else None

    def issue(self, signer: keys.PrivateKey, grace_days: int) -> str:
        """Write the certificate and say so; returns its key. One that an attempt left that died is taken as it is."""
        self._settle(grace_days)
        key = certificate_key(self.state.request, len(self.state.certificates) + 1)
        data = dsse.sign(certificates.to_bytes(self._statement()), [signer])
        if not self.store.create(key, data):
            data = self.store.read(key)
        told = page.render(data, key.rpartition("/")[2])
        self.store.create(f"{key.removesuffix('.json')}.html", told.encode())
        Ledger(self.store).append(self.state, Certified(certificate=digest_of(data)), by=BY, now=self.now)
        for version in self._fulfilling.values():
            self.registry.set_tags(version, Tags(certificates={self.state.request: key}))
        return key

    def _settle(self, grace_days: int) -> None:
        """Take out of use what holds the records, unless the batch has done that, and look whether all is done.

        Raises:
            UserError: something that serves holds them, or some have no tombstone.
        """
        if self.asked is None:
            return  # its content was purged after its first certificate
        inventory = self.evidence.inventory()
        records, request = inventory.records_of(self.asked), self.state.request
        unmarked = [each for each in records if request not in inventory.erased.get(each, ())]
        if unmarked:
            raise UserError(f"{len(unmarked)} of {len(records)} records are not erased: the next batch takes them")
        for model in inventory.models:
            found = model.holders(records) if self.asked.model in ("", model.name) else ()
            serving = [each for each in found if serves(each.version)]
            if serving:
                raise UserError(f"{label(serving[0].version)} serves and holds the records: the next batch takes it")
            if any(not (withdrawn(each.version) and request in requests_of(each.version)) for each in found):
                held = {request: records}
                withdraw(model_name=model.name, records=held, now=self.now, grace_days=grace_days, owner=BY)
                self.evidence.changed()
            if found and model.name not in self.state.models:
                raise UserError(f"model {model.name} was trained on the records since: the next batch takes it")

    def _statement(self) -> Statement:
        asked, earlier = self.asked, self._earlier()
        basis = asked.legal_basis if asked else earlier.predicate.legal_basis if earlier else ""
        forbidden = {*asked.records, asked.subject or ""} - {""} if asked else set[str]()
        # Another machine's clock, which said when it was done, may be ahead of this one's.
        done = max(self._fulfilled_at(), self.state.received)
        last = max((each.at for each in self.events), default=done)
        times = Times(received=self.state.received, due=self.state.due, fulfilled=done, issued=max(self.now, last))
        return certificates.build(
            request=self.state.request,
            legal_basis=basis,
            times=times,
            # What was done does not change afterwards, and some of what says so may have been purged.
            models=earlier.predicate.models if earlier else tuple(self._models()),
            purged=tuple(self._purged()),
            to_be_purged=tuple(self._to_be_purged()),
            ledger=LedgerHead(sequence=self.state.head.sequence, sha256=self.state.head.digest),
            forbidden=forbidden,
        )

    def _earlier(self) -> Statement | None:
        if not self.state.certificates:
            return None
        envelope = dsse.read(self.store.read(certificate_key(self.state.request, len(self.state.certificates))))
        return certificates.parse(dsse.decoded(envelope.payload))

    def _fulfilled_at(self) -> datetime:
        if self.state.fulfilled is not None:
            return self.state.fulfilled
        return max(each.at for each in self.events if isinstance(each.details, Fulfilled))

    @cached_property
    def _fulfilling(self) -> dict[str, Version]:
        """The version that fulfilled the request, by model."""
        found = {name: model.version for name, model in self.state.models.items() if name and model.version}
        return {name: self.evidence.version(name, version) for name, version in found.items()}

    def _models(self) -> Iterator[ModelErasure]:
        named = {name: model for name, model in self.state.models.items() if name}
        for name, model in named.items():
            if model.how == "withdrawn":
                yield self._withdrawn(name, model)
            elif model.how == "never_trained":  # as it was told before anything else could be
                yield self._never_trained(self._fulfilling[name])
            else:
                yield self._made_to_forget(self._fulfilling[name], model)
        if not named:
            serving = [each.serving for each in self.evidence.inventory().models]
            free = [each.version for each in serving if each is not None and self._concerns(each.version)]
            if not free:
                raise UserError("no model serves that could be certified not to know the records: register one")
            for version in free:
                yield self._never_trained(version)

    def _concerns(self, version: Version) -> bool:
        return self.asked is None or self.asked.model in ("", version.name)

    def _made_to_forget(self, version: Version, model: ModelState) -> ModelErasure:
        tags = version.tags
        made = self.evidence.logged(version, "provenance", ProvenanceRecord)
        audit = self.evidence.logged(version, "audit", Audit)
        verdict = self.evidence.logged(version, "verdict", Verdict)
        accepted = tags.accepted == "yes"
        smallest = detectable_auc(audit.records["forget"], audit.records["holdout"])
        return ModelErasure(
            name=version.name,
            how=cast(How, "accepted" if accepted else tags.kind),
            before=Weights(version=tags.parent, weights=tags.parent_digest),
            after=Weights(version=version.version, weights=tags.digest),
            data_before=Data(snapshot=tags.from_snapshot, split=tags.from_split),
            data_after=Data(**data_of(version).model_dump()),
            forgotten=ForgottenRecords(
                # A request that was fulfilled before each had its own count has that of its batch.
                records=int(tags.forgotten_records) if model.records is None else model.records,
                forget_set=tags.forget,
            ),
            made=Making(
                method=made.method,
                settings=made.settings,
                rung=made.attempt or "first",
                seed=made.seed,
                commit=made.commit,
            ),
            audit=certificates.audit_result(
                audit,
                verdict,
                smallest_detectable_auc=smallest,
                statement=tags.statement if accepted else None,
            ),
            qualifications=self._qualifications(version),
        )

    def _qualifications(self, version: Version) -> tuple[SimulatedSets, ...]:
        if not version.tags.value("qualified_by"):
            return ()
        found = self.evidence.logged(version, "qualification", QualifiedBy).qualifications
        return tuple(
            SimulatedSets(
                **each.model_dump(
                    include={
                        "size",
                        "sets",
                        "seed",
                        "references",
                        "auc_margin",
                        "utility_margin",
                        "record_margin",
                        "memory_margin",
                        "utility_lost",
                    }
                ),
                single_records=tuple(SingleRecords.of(one) for one in each.single_records),
                attacks=tuple(QualifiedAttack(name=one.attack, gap=one.difference) for one in each.comparisons),
            )
            for each in found
        )

    def _withdrawn(self, name: str, model: ModelState) -> ModelErasure:
        """What serves was never trained on the records; the versions that were are out of use."""
        serving = self._fulfilling.get(name)
        weights = Weights(version=serving.version, weights=serving.tags.digest) if serving is not None else None
        resolution = self.state.resolution
        held = next(
            (
                each
                for each in reversed(self.evidence.inventory().model(name).known)
                if self.state.request in requests_of(each) and each.tags.value("digest")
            ),
            None,
        )
        if serving is not None:
            after = Data(**data_of(serving).model_dump())
        elif resolution is not None and resolution.snapshots:
            after = Data(snapshot=resolution.snapshots[0])
        else:
            raise UserError(f"nothing is known of the data of model {name}: promote a version of it")
        return ModelErasure(
            name=name,
            how="withdrawn",
            before=Weights(version=held.version, weights=held.tags.digest) if held is not None else None,
            after=weights,
            data_before=Data(snapshot=resolution.snapshots[0]) if resolution and resolution.snapshots else after,
            data_after=after,
            forgotten=ForgottenRecords(records=model.records or 0),
        )

    def _never_trained(self, version: Version) -> ModelErasure:
        resolution = self.state.resolution
        serving = Weights(version=version.version, weights=version.tags.digest)
        snapshots = resolution.snapshots if resolution else ()
        return ModelErasure(
            name=version.name,
            how="never_trained",
            before=serving,
            after=serving,
            data_before=Data(snapshot=snapshots[0] if snapshots else version.tags.snapshot),
            data_after=Data(**data_of(version).model_dump()),
            forgotten=ForgottenRecords(records=0),
        )

    def _purged(self) -> Iterator[Purge]:
        for event in self.events:
            if isinstance(event.details, Purged):
                yield Purge(
                    model=event.details.model,
                    version=event.details.version,
                    at=event.at,
                    artefacts=(PurgedArtifacts(kind="objects", objects=event.details.objects),),
                )

    def _to_be_purged(self) -> Iterator[Purge]:
        inventory = self.evidence.inventory()
        for version in (each for name in self.state.models if name for each in inventory.model(name).known):
            if self.state.request in requests_of(version) and version.tags.status != "purged":
                yield Purge(
                    model=version.name,
                    version=version.version,
                    at=datetime.fromisoformat(version.tags.purge_after),
                    artefacts=(PurgedArtifacts(kind="weights", objects=1),),
                )
