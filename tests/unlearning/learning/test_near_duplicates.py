from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from unlearning.core.errors import UserError
from unlearning.data import snapshots
from unlearning.data.forget_selection import NearDuplicateCounts
from unlearning.data.forget_set import ForgetSet
from unlearning.data.records import Records
from unlearning.data.snapshots import Snapshot
from unlearning.data.splits import Split
from unlearning.learning import near_duplicates
from unlearning.learning.models import Model
from unlearning.learning.near_duplicates import (
    NearDuplicateConfig,
    NearDuplicates,
    bound,
    correlations,
    cosines,
    find,
)
from unlearning.learning.paradigms.simclr import SimCLR

CPU = torch.device("cpu")


def pictures(count: int, seed: int = 0, shape: tuple[int, int, int] = (1, 6, 7)) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, *shape), generator=draw, dtype=torch.uint8)


def slow_correlation(query: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], shift: int) -> float:
    """Pearson's correlation of the query's middle with every window of the other, the largest."""
    height, width = query.shape[-2:]
    middle = query[:, shift : height - shift, shift : width - shift].ravel()
    found = []
    for down in range(2 * shift + 1):
        for right in range(2 * shift + 1):
            window = other[:, down : down + height - 2 * shift, right : right + width - 2 * shift]
            found.append(float(np.corrcoef(middle, window.ravel())[0, 1]))
    return max(found)


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("block", [2, 1024])
def test_correlations_are_those_of_a_slow_reference(shift: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "BLOCK", block)
    queries, others = pictures(5, 1, (3, 6, 7)), pictures(7, 2, (3, 6, 7))
    expected = np.array([[slow_correlation(q, o, shift) for o in others.numpy()] for q in queries.numpy()])
    nearness, rows = correlations(queries, others, shift)
    np.testing.assert_allclose(nearness.numpy(), expected.max(axis=0), atol=1e-6)
    assert rows.tolist() == expected.argmax(axis=0).tolist()


@given(down=st.integers(-1, 1), right=st.integers(-1, 1), seed=st.integers(0, 99))
def test_a_moved_copy_is_the_same_picture(down: int, right: int, seed: int) -> None:
    picture = pictures(1, seed)
    moved = picture.roll((down, right), (2, 3))
    assert float(correlations(picture, moved, 1)[0]) == pytest.approx(1, abs=1e-5)
    if (down, right) != (0, 0):
        assert float(correlations(picture, moved, 0)[0]) < 0.9


@given(gain=st.sampled_from([0.25, 0.5, 1.0]), offset=st.integers(0, 100), seed=st.integers(0, 99))
def test_brightness_and_contrast_make_no_difference(gain: float, offset: int, seed: int) -> None:
    picture = pictures(1, seed) // 4 * 4
    changed = (picture.float() * gain / 2 + offset).to(torch.uint8)
    assert float(correlations(picture, changed, 1)[0]) == pytest.approx(1, abs=1e-3)


def test_a_picture_without_contrast_resembles_none() -> None:
    blank = torch.full((2, 1, 6, 7), 9, dtype=torch.uint8)
    assert correlations(blank, torch.cat([blank, pictures(3)]), 1)[0].abs().max() < 1e-6


def test_a_shift_that_is_too_large_for_the_picture_is_as_large_as_can_be() -> None:
    queries, others = pictures(3, 1, (1, 3, 3)), pictures(3, 2, (1, 3, 3))
    assert torch.equal(correlations(queries, others, 4)[0], correlations(queries, others, 1)[0])


def test_large_pictures_are_compared_when_averaged_down_with_their_shape() -> None:
    coarse = pictures(4, 3, (1, 16, 32))
    fine = coarse.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    nearness, rows = correlations(fine, fine.flip(0), 1)
    assert nearness.numpy() == pytest.approx(correlations(coarse, coarse.flip(0), 1)[0].numpy(), abs=1e-6)
    assert rows.tolist() == [3, 2, 1, 0]


def test_cosines_and_their_rows() -> None:
    draw = torch.Generator().manual_seed(1)
    queries, others = (F.normalize(torch.randn(n, 5, generator=draw), dim=1) for n in (6, 9))
    nearness, rows = cosines(queries, others)
    whole = queries @ others.T
    torch.testing.assert_close(nearness, whole.amax(dim=0))
    assert rows.tolist() == whole.argmax(dim=0).tolist()


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5])
@pytest.mark.parametrize("block", [7, 1024])
def test_the_bound_is_reached_by_the_share_asked_for(share: float, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "BLOCK", block)
    embeddings = F.normalize(torch.randn(40, 3, generator=torch.Generator().manual_seed(2)), dim=1)
    nearest = [max(float(a @ b) for j, b in enumerate(embeddings) if j != i) for i, a in enumerate(embeddings)]
    limit = bound(embeddings, share)
    assert limit == pytest.approx(float(np.quantile(nearest, 1 - share)), abs=1e-6)
    assert np.mean(np.array(nearest) >= limit - 1e-6) == pytest.approx(
        share, abs=2 / 40
    )  # nearest to each other: two at once


def test_a_sample_gives_nearly_the_bound_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings = F.normalize(torch.randn(600, 3, generator=torch.Generator().manual_seed(3)), dim=1)
    whole = bound(embeddings, 0.2)
    monkeypatch.setattr(near_duplicates, "SAMPLE", 200)
    bounds = [bound(embeddings, 0.2, seed) for seed in range(20)]
    assert len(set(bounds)) > 1
    assert np.mean(bounds) == pytest.approx(whole, abs=1e-3)


def test_one_alone_has_no_neighbour() -> None:
    assert bound(torch.ones(1, 3), 0.01) == 1


@pytest.fixture
def planted(noise: Callable[..., Records]) -> tuple[Snapshot, Split]:
    """Twenty pictures; record 11 repeats record 0 one pixel further, 12 repeats 1 darker, 19 of the holdout is 0's."""
    records = noise(20, shape=(1, 8, 8))
    images = records.images.clone()
    images[11] = images[0].roll(1, -1)
    images[12] = (images[1].float() * 0.97).round().to(torch.uint8)
    images[19] = images[0].roll(-1, -1)
    built = snapshots.build(Records(images, records.labels), source="s", licence="CC0", class_names=("a", "b"))
    ids = built.manifest.record_ids
    parts = {"members": ids[:14], "calibration": ids[14:16], "holdout": (ids[16], ids[19]), "test": ids[17:19]}
    return built, Split(snapshot=built.manifest.digest, seed=0, **parts)


def found_in(planted: tuple[Snapshot, Split], model: Model, rows: tuple[int, ...], **config: float) -> NearDuplicates:
    snapshot, split = planted
    ids = tuple(snapshot.manifest.record_ids[row] for row in rows)
    forget = ForgetSet(kind="records", split=split.digest, ids=ids)
    return find(snapshot, split, forget, model, side=4, config=NearDuplicateConfig(**config), device=CPU)


def test_kept_members_that_repeat_a_forgotten_record_are_found_and_nobody_else(
    planted: tuple[Snapshot, Split], simclr: SimCLR, build_model: Callable[..., Model]
) -> None:
    ids = planted[0].manifest.record_ids
    found = found_in(planted, build_model(simclr), (2, 1, 0))
    assert [(pair.kept, pair.forgotten) for pair in found.repeated] == [(ids[11], ids[0]), (ids[12], ids[1])]
    assert all(pair.nearness > 0.99 for pair in found.repeated)
    assert not {ids[11], ids[12]} & {pair.kept for pair in found.alike}
    both = found_in(planted, build_model(simclr), (0, 1, 11, 12))
    assert both.repeated == ()
    assert found.forget != both.forget


def test_a_copy_that_was_moved_is_found_only_where_it_may_have_been(
    planted: tuple[Snapshot, Split], simclr: SimCLR, build_model: Callable[..., Model]
) -> None:
    ids = planted[0].manifest.record_ids
    assert [pair.kept for pair in found_in(planted, build_model(simclr), (0, 1), shift=0).repeated] == [ids[12]]


def test_what_the_model_hardly_tells_apart_is_told_by_the_bound(
    planted: tuple[Snapshot, Split], simclr: SimCLR, build_model: Callable[..., Model]
) -> None:
    snapshot, split = planted
    model = build_model(simclr)
    found = found_in(planted, model, (0, 1), alike=0.4)
    kept = split.retained(split.members[:2])
    images = [snapshot.rows(ids).resized(4).images.float() / 255 for ids in (split.members[:2], kept)]
    with torch.no_grad():
        forgotten, others = (F.normalize(model.features(each), dim=1) for each in images)
    nearest = (others @ forgotten.T).amax(dim=1)
    repeated = {pair.kept for pair in found.repeated}
    expected = [ids for ids, near in zip(kept, nearest, strict=True) if near >= found.cosine and ids not in repeated]
    assert [pair.kept for pair in found.alike] == expected != []
    assert found.cosine == pytest.approx(bound(others, 0.4))


def test_it_is_saved_and_loaded(
    planted: tuple[Snapshot, Split], simclr: SimCLR, build_model: Callable[..., Model], tmp_path: Path
) -> None:
    found = found_in(planted, build_model(simclr), (0, 1), alike=0.4)
    near_duplicates.save(found, tmp_path / "near.json")
    assert near_duplicates.load(tmp_path / "near.json") == found
    (tmp_path / "near.json").write_text("{}")
    with pytest.raises(UserError, match=r"near-duplicates .*near\.json are not valid: Field required"):
        near_duplicates.load(tmp_path / "near.json")


def test_what_was_written_when_the_repeated_were_called_found_is_read(
    planted: tuple[Snapshot, Split], simclr: SimCLR, build_model: Callable[..., Model], tmp_path: Path
) -> None:
    repeated = found_in(planted, build_model(simclr), (0, 1), alike=0.4)
    near_duplicates.save(repeated, tmp_path / "near.json")
    document = json.loads((tmp_path / "near.json").read_text())
    document["found"] = document.pop("repeated")
    (tmp_path / "near.json").write_text(json.dumps(document))
    assert near_duplicates.load(tmp_path / "near.json") == repeated
    counts = {"found": 2, "alike": 1, "included": False}
    assert NearDuplicateCounts.model_validate(counts).repeated == 2


def test_noise_repeats_nothing() -> None:
    nearness, _ = correlations(pictures(40, 1, (1, 8, 8)), pictures(40, 2, (1, 8, 8)), 1)
    assert nearness.max() < 0.9
