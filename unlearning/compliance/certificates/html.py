"""A certificate as one page: plain words first, then every figure; the signed JSON is kept beside it.

The page itself is not signed. It says so, and how to check the file that is.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from unlearning.compliance.certificates import dsse
from unlearning.compliance.certificates import statement as certificates
from unlearning.compliance.certificates.predicate import Erasure, ModelErasure
from unlearning.core.files import write_bytes, write_text
from unlearning.reporting.html import environment
from unlearning.reporting.phrases import OUTCOMES, single_record

_HOWS = {
    "unlearned": "The model was made to forget the records, and the audit found it within the margins.",
    "retrained": "The model was trained again without the records, and the audit found it within the margins.",
    "accepted": "The model was made anew to forget the records and serves, although the audit could not tell whether "
    "it did.",
    "qualified": "The model was made to forget the records and serves by qualification: the audit of so few could not "
    "tell and shows nothing against it, and the same method forgot simulated sets of such sizes within the margins.",
    "withdrawn": "What serves of the model, if anything, was never trained on the records. Every version that was is "
    "out of use.",
    "never_trained": "The model was never trained on the records, so it had nothing to forget.",
}
_SNAPSHOT = "No model was trained on the snapshot that held the records."


def render(data: bytes, name: str) -> str:
    """The page of a certificate, whatever its signatures are worth.

    Args:
        data: the content of the certificate's file.
        name: of that file, as it lies beside the page.

    Raises:
        UserError: it is no certificate.
    """
    envelope = dsse.read(data)
    statement = certificates.parse(dsse.decoded(envelope.payload))
    found = environment()
    found.filters |= {"clock": _clock, "day": _day, "single_record": single_record}
    return found.get_template("certificate.html.j2").render(
        statement=statement,
        erasure=statement.predicate,
        answer=answer(statement.predicate),
        hows={index: how_in_words(each) for index, each in enumerate(statement.predicate.models)},
        outcomes=OUTCOMES,
        signers=[each.keyid for each in envelope.signatures],
        sha256=hashlib.sha256(data).hexdigest(),
        name=name,
    )


def write(data: bytes, path: Path) -> Path:
    """Write the page to `path` and the certificate beside it, with the ending `.json`; returns the latter's path.

    Raises:
        UserError: it is no certificate, or the folder cannot be written to.
    """
    beside = path.with_suffix(".json")
    text = render(data, beside.name)
    write_bytes(beside, data)
    write_text(path, text)
    return beside


def answer(erasure: Erasure) -> str:
    """What was done, in a few sentences for the person who asked."""
    passed = sum(each.how in ("unlearned", "retrained") for each in erasure.models)
    qualified = sum(bool(each.qualifications) for each in erasure.models)
    accepted = sum(each.how == "accepted" for each in erasure.models) - qualified
    told = []
    if passed:
        told.append(f"{_forgot(passed, erasure.request)}, and passed the audit.")
    if accepted:
        told.append(f"{_forgot(accepted, erasure.request)}, but the audit could not tell whether it worked.")
    if qualified:
        told.append(
            f"{_forgot(qualified, erasure.request)}. The audit of so few could not tell whether it worked; the method "
            "did work on simulated sets of such sizes."
        )
    withdrawn = sum(each.how == "withdrawn" for each in erasure.models)
    if withdrawn:
        which = "1 model" if withdrawn == 1 else f"{withdrawn} models"
        told.append(
            f"Of {which}, what serves was never trained on the records of request {erasure.request}, and the versions "
            "that were are out of use."
        )
    if not told:
        told.append(f"No model had been trained on the records of request {erasure.request}.")
    late = "" if erasure.times.in_time else f", after it was due on {_day(erasure.times.due)}"
    told.append(f"This was done on {_day(erasure.times.fulfilled)}{late}.")
    if erasure.to_be_purged:
        last = max(purge.at for purge in erasure.to_be_purged)
        told.append(f"What earlier versions left behind is to be deleted by {_day(last)}.")
    return " ".join(told)


def _forgot(models: int, request: str) -> str:
    which = "1 model was" if models == 1 else f"{models} models were"
    return f"{which} made to forget the records of request {request}"


def how_in_words(model: ModelErasure) -> str:
    """What was done to one model, in one sentence."""
    if not model.name:
        return _SNAPSHOT
    return _HOWS["qualified" if model.qualifications else model.how]


def _clock(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _day(time: datetime) -> str:
    return f"{time.day} {time:%B %Y}"
