from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unlearning.core.errors import UserError
from unlearning.data.records import record_ids
from unlearning.data.sources import SOURCES, open_source
from unlearning.data.sources.digits import digits


def test_all_of_a_source(tmp_path: Path) -> None:
    snapshot = open_source("digits", tmp_path, limit=None, seed=0)
    assert len(snapshot.records) + snapshot.manifest.duplicates == 1797
    assert (snapshot.manifest.licence, snapshot.manifest.image_shape) == ("CC BY 4.0", (1, 8, 8))


def test_a_limit_is_a_seeded_sample_in_the_sources_order(tmp_path: Path) -> None:
    first, again, other = (open_source("digits", tmp_path, limit=100, seed=seed).manifest for seed in (0, 0, 1))
    assert first == again
    assert first.digest != other.digest
    assert len(first.record_ids) + first.duplicates == 100
    row = {identity: row for row, identity in enumerate(record_ids(digits(tmp_path).records.images))}
    rows = torch.tensor([row[identity] for identity in first.record_ids])
    assert rows.equal(rows.sort().values)
    assert rows.max() > 1000  # not just the beginning


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"unknown data source 'mnist': choose one of {', '.join(SOURCES)}"):
        open_source("mnist", tmp_path, limit=None, seed=0)
    with pytest.raises(UserError, match="the limit is 0"):
        open_source("digits", tmp_path, limit=0, seed=0)
    with pytest.raises(UserError, match="the limit is 1798 but digits has 1797"):
        open_source("digits", tmp_path, limit=1798, seed=0)
