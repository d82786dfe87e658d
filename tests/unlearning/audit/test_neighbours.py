from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import random_records, small_model
from unlearning.audit.neighbours import nearest, neighbourhoods
from unlearning.data.records import Records, as_pixels
from unlearning.learning.models import Model
from unlearning.learning.paradigms.supervised import Supervised, SupervisedConfig

MakeRecords = Callable[..., Records]
PARADIGM = Supervised(SupervisedConfig())


def model(seed: int = 0) -> Model:
    return small_model(PARADIGM, seed).eval()


def cosines_of(found: Model, records: Records, gallery: Records) -> list[list[float]]:
    """By the definition, pair by pair."""
    with torch.no_grad():
        here, there = (found.features(as_pixels(each.images)).double().numpy() for each in (records, gallery))
    return [[float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)) for other in there] for one in here]


def slow(found: Model, records: Records, gallery: Records, count: int) -> list[list[int]]:
    """The nearest, where no two are equally near."""
    rows = cosines_of(found, records, gallery)
    return [sorted(range(len(row)), key=lambda at: -row[at])[:count] for row in rows]


@given(st.integers(0, 10_000), st.integers(1, 7))
def test_the_nearest_are_those_of_the_definition(seed: int, count: int) -> None:
    records, gallery = random_records(4, seed), random_records(9, seed + 1)
    found = nearest(model(), records, gallery, count)
    for rows, cosines, all_of_them in zip(
        found.rows.tolist(), found.cosines.tolist(), cosines_of(model(), records, gallery), strict=True
    ):
        # Rows themselves are not compared: equally near ones may stand in any order.
        assert len(set(rows)) == count
        assert cosines == pytest.approx([all_of_them[row] for row in rows], abs=1e-6)
        assert cosines == pytest.approx(sorted(all_of_them, reverse=True)[:count], abs=1e-6)


def test_a_small_gallery_is_taken_whole(noise: MakeRecords) -> None:
    found = nearest(model(), noise(2), noise(3, seed=1), 5)
    assert sorted(found.rows[0].tolist()) == [0, 1, 2]


def test_what_was_kept_and_of_the_same_class_is_counted_against_the_first_model(noise: MakeRecords) -> None:
    groups, gallery = {"forget": noise(6), "holdout": noise(5, seed=1)}, noise(40, seed=2)
    models = {"original": model(), "same": model(), "other": model(seed=9)}
    found = neighbourhoods(models, groups, gallery)
    for group, records in groups.items():
        before, after = (slow(models[name], records, gallery, 5) for name in ("original", "other"))
        kept = [len(set(a) & set(b)) / 5 for a, b in zip(before, after, strict=True)]
        assert 0 < np.mean(kept) < 1
        assert found["original"][group].kept == found["same"][group].kept == 1
        assert found["other"][group].kept == round(float(np.mean(kept)), 5)
        classes = [gallery.labels[row] == records.labels[at] for at, rows in enumerate(after) for row in rows]
        assert found["other"][group].same_class == round(float(np.mean(classes)), 5)
        assert found["original"][group] == found["same"][group]


def test_a_record_of_the_gallery_is_its_own_nearest_with_a_cosine_of_one(noise: MakeRecords) -> None:
    gallery = noise(12)
    found = nearest(model(), gallery[3:5], gallery)
    assert found.rows[:, 0].tolist() == [3, 4]
    torch.testing.assert_close(found.cosines[:, 0], torch.ones(2))
