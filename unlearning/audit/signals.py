"""Signals: numbers per record that tell members from strangers. Larger always means "member"."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unlearning.config import Config
from unlearning.input_gradients import input_gradient_norms
from unlearning.models import Model
from unlearning.paradigms import Paradigm
from unlearning.records import Records
from unlearning.seeding import generator

Signals = Mapping[str, npt.NDArray[np.float64]]
"""Signal name to (N,) values."""

SIGNALS = ("view_similarity", "encoder_similarity", "loss", "gradient_norm")


class SignalConfig(Config):
    """How often each record is looked at."""

    queries: int = Field(8, gt=0, description="Augmented view sets per record.")
    batch_size: int = Field(256, ge=4, description="Records per batch, of all groups mixed.")


def mean_pairwise_cosine(outputs: Tensor) -> Tensor:
    """(K, B, D) outputs of K ≥ 2 views to (B,) mean cosines over all pairs of views.

    The similarity of EncoderMI (Liu et al. 2021, 2108.11023): views of a member agree more.
    """
    count = len(outputs)
    units = F.normalize(outputs, dim=2)
    itself = units.square().sum(dim=(0, 2))
    return (units.sum(dim=0).square().sum(dim=1) - itself) / (count * (count - 1))


@torch.no_grad()
def _similarities(
    model: Model, paradigm: Paradigm, batch: Records, draw: torch.Generator, queries: int
) -> list[Tensor]:
    views = torch.cat([paradigm.views(batch.images, draw) for _ in range(max(queries, 2))])
    features = model.features(views.flatten(0, 1))
    outputs = model.head(features)
    shape = (len(views), len(batch), -1)
    return [mean_pairwise_cosine(values.view(shape)) for values in (outputs, features)]


def _losses_and_norms(
    model: Model, paradigm: Paradigm, batch: Records, draw: torch.Generator, queries: int
) -> list[Tensor]:
    losses, norms = [], []
    for _ in range(queries):
        views = paradigm.views(batch.images, draw)
        norms.append(input_gradient_norms(model, paradigm, views, batch.labels).log())
        with torch.no_grad():
            losses.append(paradigm.per_sample_loss(model, views, batch.labels))
    return [-torch.stack(losses).mean(dim=0), -torch.stack(norms).mean(dim=0)]


def measure_signals(
    model: Model, paradigm: Paradigm, records: Records, config: SignalConfig, *, seed: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Every signal of every record.

    Records are shuffled before batching, so that in contrastive losses every group meets the same
    mixture of negatives; give all audited groups in one call, and the same seed for every model
    to be compared, so that the views are the same too.

    Returns:
        `view_similarity`: mean cosine of the model's outputs over augmented views.
        `encoder_similarity`: the same of the backbone's features, all that a served encoder shows.
        `loss`: minus the mean per-record loss.
        `gradient_norm`: minus the mean log g (see `input_gradients`).
    """
    device = next(model.parameters()).device
    draw = generator(seed, "signals", device)
    order = torch.randperm(len(records), generator=draw, device=device)
    values = np.empty((len(SIGNALS), len(records)))
    for rows in order.tensor_split(-(-len(order) // config.batch_size)):
        batch = records[rows]
        signals = _similarities(model, paradigm, batch, draw, config.queries)
        signals += _losses_and_norms(model, paradigm, batch, draw, config.queries)
        values[:, rows.cpu().numpy()] = torch.stack(signals).double().cpu().numpy()
    return dict(zip(SIGNALS, values, strict=True))
