"""What the paper's figures show, measured: gradients, losses, features, and a training as it overfits.

Measuring and drawing are apart: this module turns models into the numbers of `figures.numbers`, and
`figures.paper` draws from those numbers alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from unlearning.audit.inspection_results import GROUPS, SIDES, Epoch, ModelEvidence, Sample
from unlearning.audit.neighbours import neighbourhoods
from unlearning.audit.signals import SignalConfig, Signals, mean_pairwise_cosine, measure_signals
from unlearning.core.seeding import generator
from unlearning.data.records import Records, concatenate
from unlearning.learning.features import features
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.training import OptimisationConfig, train

Points = npt.NDArray[np.float64]

SHOWN = 400
"""Records of a group that are measured at most."""
POINTS = 150
"""Records of a group on the map of embeddings at most."""
GALLERY = 5_000
"""Retained members among which neighbours are looked for at most."""


def _first(records: Records, count: int) -> Records:
    return records[torch.arange(min(count, len(records)), device=records.images.device)]


def _by_group(signals: Signals, name: str, sizes: Sequence[int], sign: float) -> dict[str, Sample]:
    parts = np.split(sign * signals[name], np.cumsum(sizes)[:-1])
    return {group: Sample.rounded(part.tolist()) for group, part in zip(GROUPS, parts, strict=True)}


def _aligned(points: Points, onto: Points) -> Points:
    """Turned and mirrored, but not stretched, so as to lie as near to `onto` as it goes."""
    left, _, right = np.linalg.svd(points.T @ onto)
    turned: Points = points @ (left @ right)
    return turned


def _map(model: Model, records: Records) -> Points:
    """(N, 2) first principal components of the features, at a mean square distance of 1 from their centre."""
    found = features(model, records.images).double().cpu().numpy()
    left, sizes, _ = np.linalg.svd(found - found.mean(axis=0), full_matrices=False)
    points: Points = left[:, :2] * sizes[:2]
    return points / max(float(np.sqrt((points**2).sum(axis=1).mean())), 1e-12)


def measure_models(
    models: Mapping[str, Model],
    paradigm: Paradigm,
    *,
    forget: Records,
    retained: Records,
    holdout: Records,
    config: SignalConfig,
    seed: int,
) -> dict[str, ModelEvidence]:
    """Gradients, losses, neighbours and a map of features of every model, over the same records and views.

    The map is each model's own first two principal components, turned to lie on the first model's:
    components are free to turn and mirror, and only what is left afterwards is a difference.

    Args:
        models: by name, the original first.
        forget, retained, holdout: at most `SHOWN` of each are measured, the first ones.
        config: how often each record is looked at.
        seed: of views and batches.
    """
    groups = [_first(records, SHOWN) for records in (forget, retained, holdout)]
    shown = [_first(group, POINTS) for group in groups]
    sizes = [len(group) for group in groups]
    around = neighbourhoods(models, {"forget": groups[0], "holdout": groups[2]}, _first(retained, GALLERY))
    found: dict[str, ModelEvidence] = {}
    reference: Points | None = None
    for name, model in models.items():
        signals = measure_signals(model, paradigm, concatenate(*groups), config, seed=seed)
        points = _map(model, concatenate(*shown))
        reference = points if reference is None else reference
        parts = np.split(_aligned(points, reference), np.cumsum([len(group) for group in shown])[:-1])
        found[name] = ModelEvidence(
            log_gradients=_by_group(signals, "gradient_norm", sizes, -1),
            losses=_by_group(signals, "loss", sizes, -1),
            embedding={
                group: tuple((round(float(x), 4), round(float(y), 4)) for x, y in part)
                for group, part in zip(GROUPS, parts, strict=True)
            },
            neighbours=around[name],
        )
    return found


@torch.no_grad()
def observe(
    model: Model, paradigm: Paradigm, members: Records, non_members: Records, *, epoch: int, seed: int
) -> Epoch:
    """How sure a model is of records it is trained on and of others; leaves its mode as it was.

    Both groups are measured in one batch, so that contrastive losses have the same negatives.
    """
    was_training = model.training
    model.eval()
    groups = [_first(records, SHOWN // 2) for records in (members, non_members)]
    batch, draw = concatenate(*groups), generator(seed, "observe", members.images.device)
    views = torch.cat([paradigm.views(batch.images, draw) for _ in range(2)])
    similarity = mean_pairwise_cosine(torch.stack([model(view) for view in views]))
    likelihood = (-paradigm.per_sample_loss(model, paradigm.views(batch.images, draw), batch.labels)).exp()
    model.train(was_training)

    def parts(values: torch.Tensor) -> dict[str, Sample]:
        halves = (values[: len(groups[0])], values[len(groups[0]) :])
        return {side: Sample.rounded(half.tolist()) for side, half in zip(SIDES, halves, strict=True)}

    probability = {} if paradigm.name == "byol" else parts(likelihood)
    return Epoch(epoch=epoch, view_similarity=parts(similarity), probability=probability)


def trace_training(
    model: Model,
    paradigm: Paradigm,
    members: Records,
    non_members: Records,
    config: OptimisationConfig,
    *,
    seed: int,
    looks: int = 8,
) -> tuple[Epoch, ...]:
    """Train `model` as pretraining does, looking at it `looks` times, more often at the beginning.

    Watching draws from a generator of its own, so the training is the one that made the model.
    """
    at = {round(config.epochs ** (look / (looks - 1))) for look in range(looks)} if looks > 1 else {config.epochs}
    found = [observe(model, paradigm, members, non_members, epoch=0, seed=seed)]

    def watch(epoch: int) -> None:
        if epoch in at:
            found.append(observe(model, paradigm, members, non_members, epoch=epoch, seed=seed))

    train(model, paradigm, members, config, seed=seed, purpose="pretrain", after_epoch=watch)
    return tuple(found)
