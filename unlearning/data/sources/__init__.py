"""Every data source, by name."""

from __future__ import annotations

from pathlib import Path

import torch

from unlearning.core.errors import UserError
from unlearning.core.seeding import generator
from unlearning.data import snapshots
from unlearning.data.snapshots import Snapshot
from unlearning.data.sources.base import SourceData
from unlearning.data.sources.cifar10 import cifar10
from unlearning.data.sources.digits import digits
from unlearning.data.sources.fashion_mnist import fashion_mnist
from unlearning.data.sources.image_folder import image_folder
from unlearning.data.sources.subjects import read_subjects

__all__ = ["SOURCES", "SourceData", "open_source"]

SOURCES = {
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
    "digits": digits,
    "image_folder": image_folder,
}


def open_source(name: str, folder: Path, *, limit: int | None, seed: int, subjects: str | None = None) -> Snapshot:
    """A snapshot of the source `name`, whose files are, or are put, in `folder`.

    With a `limit`, of that many rows drawn without replacement and kept in the source's order. They
    are drawn before duplicates are dropped, so the snapshot may hold slightly fewer records.

    Args:
        subjects: CSV file that says whom the records belong to, in `folder` or by its full path; see
            `unlearning.data.sources.subjects`. None where that is not known.

    Raises:
        UserError: unknown source, impossible limit, or data or subjects that cannot be had.
    """
    if name not in SOURCES:
        raise UserError(f"unknown data source {name!r}: choose one of {', '.join(SOURCES)}")
    if limit is not None and limit < 1:
        raise UserError(f"the limit is {limit}: ask for at least one record, or leave it out for all")
    data = SOURCES[name](folder)
    persons = read_subjects(folder / subjects, data) if subjects is not None else {}
    records = data.records
    if limit is not None:
        if limit > len(records):
            raise UserError(f"the limit is {limit} but {name} has {len(records)} records: lower it or leave it out")
        order = torch.randperm(len(records), generator=generator(seed, "source sample"))
        records = records[order[:limit].sort().values]
    return snapshots.build(
        records, source=data.source, licence=data.licence, class_names=data.class_names, subjects=persons
    )
