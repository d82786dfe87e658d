from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.methods.random_label import mistaught_loss, other_labels, swap_partners


@given(classes=st.integers(2, 12), seed=st.integers(0, 999))
def test_nobody_keeps_their_label_and_all_others_come_up_evenly(classes: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (3000,), generator=draw)
    found = other_labels(labels, classes, draw)
    assert not (found == labels).any()
    assert found.min() >= 0
    assert found.max() < classes
    steps = torch.bincount((found - labels) % classes, minlength=classes)[1:].double() / 3000
    expected = 1 / (classes - 1)
    # Six standard errors of a share: a fair draw passes everywhere it is tried.
    assert (steps - expected).abs().max() <= 6 * (expected * (1 - expected) / 3000) ** 0.5


@given(count=st.integers(2, 30), seed=st.integers(0, 999))
def test_nobody_keeps_their_partner_and_every_partner_is_taken_once(count: int, seed: int) -> None:
    views = torch.arange(2 * count, dtype=torch.float32).view(2, count, 1, 1, 1)
    swapped = swap_partners(views, torch.Generator().manual_seed(seed))
    assert torch.equal(swapped[0], views[0])
    assert not (swapped[1] == views[1]).any()
    assert sorted(swapped[1].flatten().tolist()) == views[1].flatten().tolist()


def test_the_loss_of_wrong_labels_is_the_cross_entropy_towards_them(
    supervised: Supervised, build_model: Callable[..., Model], noise: Callable[..., Records]
) -> None:
    """With two classes the wrong label is the other one."""
    model, records = build_model(supervised).eval(), noise(9)
    views = supervised.views(records.images, torch.Generator())
    found = mistaught_loss(model, supervised, records, views, torch.Generator().manual_seed(1))
    expected = F.cross_entropy(model(views[0]), 1 - records.labels, reduction="none")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["moco", "byol"])
def test_the_loss_of_a_wrong_partner_is_the_paradigms_own_towards_it(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], noise: Callable[..., Records], name: str
) -> None:
    """Of two records each is the other's only partner."""
    paradigm, records = every_paradigm[name], noise(2)
    model = build_model(paradigm).eval()
    views = paradigm.views(records.images, torch.Generator().manual_seed(0))
    found = mistaught_loss(model, paradigm, records, views, torch.Generator())
    crossed = torch.stack([views[0], views[1].flip(0)])
    torch.testing.assert_close(found, paradigm.per_sample_loss(model, crossed, records.labels))
