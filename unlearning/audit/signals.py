"""Signals: numbers per record that tell members from non-members. Larger always means "member"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unlearning.core.config import Config
from unlearning.core.seeding import generator
from unlearning.data.records import Records
from unlearning.learning.input_gradients import losses_and_norms
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm

Signals = Mapping[str, npt.NDArray[np.float64]]
"""Signal name to (N,) values."""

SIGNALS = ("view_similarity", "encoder_similarity", "loss", "gradient_norm")


REPRESENTATION = ("length", "spread", "active", "peak")
"""What any encoder's output says of a record, however it was trained; see `representation`. These have no
direction: only a learned attack uses them."""

NAMES = (*SIGNALS, *REPRESENTATION)
"""Everything that is measured of a record, in the order of what `measure_each` fills in."""

ENCODER_SIGNALS = ("encoder_similarity", *REPRESENTATION)


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


def representation(features: Tensor) -> Tensor:
    """(K, B, D) features of K views to (4, B) numbers that any encoder has, named in `REPRESENTATION`.

    Length of the mean feature and mean squared distance of the views from it, both as logarithms;
    share of the coordinates that are active; the largest coordinate's share of the length.
    """
    mean = features.mean(dim=0)
    length = mean.norm(dim=1).clamp_min(1e-12)
    spread = (features - mean).square().sum(dim=2).mean(dim=0).clamp_min(1e-12)
    active = (features > 0).float().mean(dim=(0, 2))
    peak = mean.abs().amax(dim=1) / length
    return torch.stack([length.log(), spread.log(), active, peak])


@torch.no_grad()
def _similarities(
    models: Sequence[Model], paradigm: Paradigm, batch: Records, draw: torch.Generator, queries: int
) -> list[list[Tensor]]:
    """Of each model the view similarities of outputs and features, and the representation's numbers, (B,) each."""
    shown: list[list[tuple[Tensor, Tensor]]] = [[] for _ in models]
    # One set of views at a time: what a set gives stays in the processor's cache.
    for _ in range(max(queries, 2)):
        views = paradigm.views(batch.images, draw)
        for model, sets in zip(models, shown, strict=True):
            features = model.features(views.flatten(0, 1))
            sets.append((features.view(*views.shape[:2], -1), model.head(features).view(*views.shape[:2], -1)))
    return [_compared(*map(torch.cat, zip(*sets, strict=True))) for sets in shown]


def _compared(features: Tensor, outputs: Tensor) -> list[Tensor]:
    return [mean_pairwise_cosine(outputs), mean_pairwise_cosine(features), *representation(features)]


def _losses_and_norms(
    models: Sequence[Model], paradigm: Paradigm, batch: Records, draw: torch.Generator, queries: int
) -> list[tuple[Tensor, Tensor]]:
    """Of each model (Q, B) losses and (Q, B) log gradient norms, one row per query."""
    found: list[list[tuple[Tensor, Tensor]]] = [[] for _ in models]
    for _ in range(queries):
        views = paradigm.views(batch.images, draw)
        for model, rows in zip(models, found, strict=True):
            rows.append(losses_and_norms(model, paradigm, views, batch.labels))
    return [(torch.stack([loss for loss, _ in rows]), torch.stack([norm.log() for _, norm in rows])) for rows in found]


@dataclass(frozen=True)
class Measured:
    """What one model shows of N records."""

    signals: dict[str, npt.NDArray[np.float64]]
    """Name to (N,), of `SIGNALS`."""
    encoder: dict[str, npt.NDArray[np.float64]]
    """Name to (N,), of `encoder_similarity` and `REPRESENTATION`: all that whoever sees the encoder's output knows."""
    losses: npt.NDArray[np.float64]
    """(N, Q) losses, one per query: what the per-record attacks are made of."""

    def rows(self, chosen: npt.NDArray[np.intp]) -> Measured:
        """Some of the records."""
        return Measured(
            signals={name: value[chosen] for name, value in self.signals.items()},
            encoder={name: value[chosen] for name, value in self.encoder.items()},
            losses=self.losses[chosen],
        )


def measure_each(
    models: Sequence[Model], paradigm: Paradigm, records: Records, config: SignalConfig, *, seed: int
) -> list[Measured]:
    """What each of several models of one paradigm shows of the same views, which are drawn once for all of them.

    Records are shuffled before batching, so that in contrastive losses every group meets the same
    mixture of negatives; give all audited groups in one call, and the same seed for every model
    to be compared, so that the views are the same too.

    Returns:
        For each model
        `view_similarity`: mean cosine of the model's outputs over augmented views.
        `encoder_similarity`: the same of the backbone's features, all that a served encoder shows.
        `loss`: minus the mean per-record loss.
        `gradient_norm`: minus the mean log g (see `input_gradients`).
    """
    device = next(models[0].parameters()).device
    draw = generator(seed, "signals", device)
    order = torch.randperm(len(records), generator=draw, device=device)
    values = np.empty((len(models), len(NAMES), len(records)))
    singles = np.empty((len(models), len(records), config.queries))
    for rows in order.tensor_split(-(-len(order) // config.batch_size)):
        batch, places = records[rows], rows.cpu().numpy()
        similarities = _similarities(models, paradigm, batch, draw, config.queries)
        for number, (losses, norms) in enumerate(_losses_and_norms(models, paradigm, batch, draw, config.queries)):
            view, encoder, *represented = similarities[number]
            signals = [view, encoder, -losses.mean(dim=0), -norms.mean(dim=0), *represented]
            values[number][:, places] = torch.stack(signals).double().cpu().numpy()
            singles[number][places] = losses.T.double().cpu().numpy()
    return [_named(*each) for each in zip(values, singles, strict=True)]


def _named(values: npt.NDArray[np.float64], losses: npt.NDArray[np.float64]) -> Measured:
    found = dict(zip(NAMES, values, strict=True))
    return Measured(
        signals={name: found[name] for name in SIGNALS},
        encoder={name: found[name] for name in ENCODER_SIGNALS},
        losses=losses,
    )


def measure(model: Model, paradigm: Paradigm, records: Records, config: SignalConfig, *, seed: int) -> Measured:
    """Every signal of every record, and the losses of single queries; see `measure_each`."""
    return measure_each([model], paradigm, records, config, seed=seed)[0]


def measure_signals(
    model: Model, paradigm: Paradigm, records: Records, config: SignalConfig, *, seed: int
) -> dict[str, npt.NDArray[np.float64]]:
    """The signals alone; see `measure`."""
    return measure(model, paradigm, records, config, seed=seed).signals
