from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unlearning.core.errors import UserError
from unlearning.data import snapshots, splits
from unlearning.data.loading import load_split, part
from unlearning.data.records import record_ids

Chain = dict[str, Path]


def test_records_come_by_id_and_at_the_size_asked_for(chain: Chain) -> None:
    snapshot, split = load_split(chain["snapshot"], chain["split"])
    cpu = torch.device("cpu")
    assert tuple(record_ids(part(snapshot, split.holdout, 8, cpu).images)) == split.holdout
    assert part(snapshot, split.holdout, 4, cpu).images.shape == (300, 1, 4, 4)


def test_a_split_of_another_snapshot_is_refused(chain: Chain, tmp_path: Path) -> None:
    other = splits.load(chain["split"]).model_copy(update={"snapshot": "0" * 64})
    splits.save(other, tmp_path / "split")
    digest = snapshots.load(chain["snapshot"]).manifest.digest
    with pytest.raises(UserError, match=f"divides snapshot {'0' * 12}, not {digest[:12]}"):
        load_split(chain["snapshot"], tmp_path / "split")
