"""Random labels: teach the forget set something else.

Supervised: every forgotten record gets a label that is not its own (Graves et al. 2020, Amnesiac
Machine Learning, 2010.10981; reference with labels drawn from all classes:
OPTML-Group/Unlearn-Saliency@a6e89fd/Classification/unlearn/RL.py#L53). Ours never draws the true label.

Contrastive counterpart: an image's own label is its other view, so a forgotten record's second
view is swapped for that of another forgotten record. The two are pulled together, and where there
are negatives the record's true second view is among them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.methods.objective import UnlearningConfig, draw_batch, minimise


class RandomLabelConfig(UnlearningConfig):
    """Settings of random labels; nothing beside what all methods have."""


def other_labels(labels: Tensor, classes: int, draw: torch.Generator) -> Tensor:
    """(B,) labels drawn evenly from the classes that are not a record's own."""
    steps = torch.randint(1, max(classes, 2), labels.shape, generator=draw, device=labels.device)
    return (labels + steps) % classes


def swap_partners(views: Tensor, draw: torch.Generator) -> Tensor:
    """(2, B, C, H, W) views with every second view replaced by another record's; B ≥ 2.

    The records stand in a ring of random order and each takes its neighbour's view, so nobody
    keeps their own.
    """
    first, second = views
    ring = torch.randperm(len(second), generator=draw, device=views.device)
    swapped = torch.empty_like(second)
    swapped[ring] = second[ring.roll(1)]
    return torch.stack([first, swapped])


def mistaught_loss(
    model: Model, paradigm: Paradigm, forgotten: Records, views: Tensor, draw: torch.Generator
) -> Tensor:
    """(B,) losses of a forget batch towards what is not theirs: other labels, or other partners.

    A batch of a single record has no partner to swap with and keeps its own.
    """
    if len(views) == 1:
        labels = other_labels(forgotten.labels, len(model.spec.class_names), draw)
        return paradigm.per_sample_loss(model, views, labels)
    return paradigm.per_sample_loss(model, swap_partners(views, draw), forgotten.labels)


def random_label(
    model: Model, paradigm: Paradigm, *, retain: Records, forget: Records, config: RandomLabelConfig, seed: int
) -> Model:
    """Learn wrong answers for the forget set beside the right ones for the retain set."""

    def mistaught(draw: torch.Generator) -> Tensor:
        forgotten = draw_batch(forget, config.forget_batch, draw)
        views = paradigm.views(forgotten.images, draw)
        return mistaught_loss(model, paradigm, forgotten, views, draw).mean()

    return minimise(model, paradigm, retain, mistaught, config, seed=seed, purpose="random_label")
