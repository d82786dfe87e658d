"""Signals: numbers per record that tell members from non-members. Larger always means "member"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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


MEASURED = 2
"""Which way of measuring this is: what was measured in another way cannot be held against it."""


class SignalConfig(Config):
    """How often each record is looked at."""

    queries: int = Field(8, gt=0, description="Augmented view sets per record.")
    gradient_queries: int = Field(
        2,
        gt=0,
        description="At most so many of them are differentiated, for the gradient norm; that doubles what they cost.",
    )
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


@dataclass(frozen=True)
class Look:
    """What a model shows of a batch in one set of views."""

    losses: Tensor
    """(B,)."""
    norms: Tensor | None
    """(B,) log gradient norms; None where nothing was differentiated."""
    features: Tensor
    """(V, B, D), of the views that the loss passes through the model."""
    outputs: Tensor
    """(V, B, P)."""


@contextmanager
def _watched(model: Model) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Features and outputs of every pass through the model, so that whatever a loss computes is computed once."""
    seen: list[tuple[Tensor, Tensor]] = []
    hook = model.head.register_forward_hook(lambda _, given, made: seen.append((given[0].detach(), made.detach())))
    try:
        yield seen
    finally:
        hook.remove()


def _look(model: Model, paradigm: Paradigm, views: Tensor, labels: Tensor, *, differentiated: bool) -> Look:
    norms: Tensor | None = None
    with _watched(model) as seen:
        if differentiated:
            losses, norms = losses_and_norms(model, paradigm, views, labels)
        else:
            with torch.no_grad():
                losses = paradigm.per_sample_loss(model, views, labels, isolate=True)
    ((features, outputs),) = seen
    count = len(labels)
    norms = None if norms is None else norms.log()
    return Look(losses, norms, features.view(-1, count, features.shape[1]), outputs.view(-1, count, outputs.shape[1]))


def _shown(looks: Sequence[Look], queries: int) -> tuple[Tensor, Tensor]:
    """(len(NAMES), B) values and (Q, B) losses of one model."""
    features, outputs = (torch.cat([getattr(look, name) for look in looks]) for name in ("features", "outputs"))
    losses = torch.stack([look.losses for look in looks[:queries]])
    norms = torch.stack([look.norms for look in looks if look.norms is not None])
    signals = (mean_pairwise_cosine(outputs), mean_pairwise_cosine(features), -losses.mean(dim=0), -norms.mean(dim=0))
    return torch.stack([*signals, *representation(features)]), losses


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
        All of them are of the same views, those that the loss passes through the model.
    """
    device = next(models[0].parameters()).device
    draw = generator(seed, "signals", device)
    order = torch.randperm(len(records), generator=draw, device=device)
    values = np.empty((len(models), len(NAMES), len(records)))
    singles = np.empty((len(models), len(records), config.queries))
    for rows in order.tensor_split(-(-len(order) // config.batch_size)):
        batch, places = records[rows], rows.cpu().numpy()
        looks: list[list[Look]] = [[] for _ in models]
        # One set of views at a time: what a set gives stays in the processor's cache. Similarities need two of them.
        for query in range(max(config.queries, 2)):
            views, differentiated = paradigm.views(batch.images, draw), query < config.gradient_queries
            for model, found in zip(models, looks, strict=True):
                found.append(_look(model, paradigm, views, batch.labels, differentiated=differentiated))
        for number, found in enumerate(looks):
            shown, losses = _shown(found, config.queries)
            values[number][:, places] = shown.double().cpu().numpy()
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
