"""Usefulness: what the features and the classifier can still do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from unlearning.audit.results import Accuracies, Interval, UtilityReference
from unlearning.audit.statistics import mean_difference, proportion_interval
from unlearning.core.config import Config
from unlearning.data.records import Records, as_pixels
from unlearning.learning.features import features, parts
from unlearning.learning.models import Model

Hits = npt.NDArray[np.bool_]
"""(N,) whether each record was classified correctly."""


class EvaluationConfig(Config):
    """Settings of the accuracies."""

    neighbours: int = Field(20, gt=0, description="k of weighted kNN.")
    temperature: float = Field(0.1, gt=0, description="Temperature of weighted kNN.")


@dataclass(frozen=True)
class Evaluation:
    """Which records a model classifies correctly, by measure."""

    knn: Hits
    linear_probe: Hits
    classifier: Hits | None = None
    forget_knn: Hits | None = None

    def accuracies(self) -> Accuracies:
        """Shares with exact 95 % intervals."""
        return Accuracies(
            knn=proportion_interval(int(self.knn.sum()), len(self.knn)),
            linear_probe=proportion_interval(int(self.linear_probe.sum()), len(self.linear_probe)),
            classifier=_share(self.classifier),
            forget_knn=_share(self.forget_knn),
        )

    def lost_against(self, reference: Evaluation) -> dict[str, Interval]:
        """Accuracy of `reference` minus this model's on the same test records, 90 % intervals."""
        return {name: mean_difference(theirs, ours) for name, (theirs, ours) in self._beside(reference).items()}

    def each_lost_against(self, reference: Evaluation) -> dict[str, npt.NDArray[np.float64]]:
        """The same of every test record, (N,): 1 where `reference` alone is right, −1 where this model alone is."""
        return {name: theirs.astype(np.float64) - ours for name, (theirs, ours) in self._beside(reference).items()}

    def _beside(self, reference: Evaluation) -> dict[str, tuple[Hits, Hits]]:
        measures = {"knn": (reference.knn, self.knn), "linear_probe": (reference.linear_probe, self.linear_probe)}
        if self.classifier is not None and reference.classifier is not None:
            measures["classifier"] = (reference.classifier, self.classifier)
        return measures


def _share(hits: Hits | None) -> Interval | None:
    return None if hits is None else proportion_interval(int(hits.sum()), len(hits))


def weighted_knn(
    gallery: Tensor, gallery_labels: Tensor, queries: Tensor, *, neighbours: int, temperature: float, classes: int
) -> Tensor:
    """Weighted k-nearest-neighbour classification (Wu et al. 2018, 1805.01978, section 3.4).

    Args:
        gallery: (G, D) features with (G,) int64 labels.
        queries: (Q, D) features.
        neighbours: k; at most G are used.
        temperature: each neighbour votes with exp(cosine / temperature).
        classes: number of classes.

    Returns:
        (Q,) predicted labels.
    """
    similarity = F.normalize(queries, dim=1) @ F.normalize(gallery, dim=1).T
    nearest, rows = similarity.topk(min(neighbours, len(gallery)), dim=1)
    # Shifted by the largest, which changes no vote's share and cannot overflow.
    weights = ((nearest - nearest[:, :1]) / temperature).exp()
    votes = torch.zeros(len(queries), classes, device=queries.device)
    return votes.scatter_add_(1, gallery_labels[rows], weights).argmax(dim=1)


def linear_probe(gallery: Tensor, gallery_labels: Tensor, queries: Tensor) -> Tensor:
    """Multinomial logistic regression on standardised features; (Q,) predicted labels."""
    if (gallery_labels == gallery_labels[0]).all():  # nothing to tell apart, and scikit-learn refuses
        return gallery_labels[:1].expand(len(queries))
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(gallery.cpu().numpy(), gallery_labels.cpu().numpy())
    return torch.from_numpy(probe.predict(queries.cpu().numpy())).to(queries.device)


@torch.no_grad()
def classify(model: Model, images: Tensor) -> Tensor:
    """(N,) labels predicted by a supervised model's own classifier."""
    return torch.cat([model(as_pixels(part)).argmax(dim=1) for part in parts(images)])


def _hits(predicted: Tensor, labels: Tensor) -> Hits:
    return (predicted == labels).cpu().numpy()


def evaluate(
    model: Model, *, gallery: Records, test: Records, forget: Records | None, config: EvaluationConfig
) -> Evaluation:
    """Weighted kNN and linear probe over the gallery's labels, and the classifier where there is one.

    Args:
        gallery: retained members, whose labels may be used.
        test: records no part of training, calibration or audit has seen.
        forget: the forget set, if there is one; its kNN accuracy should be the retrained model's.
        config: settings of kNN.
    """
    of_gallery, of_test = features(model, gallery.images), features(model, test.images)
    classes = len(model.spec.class_names)
    supervised = model.spec.paradigm == "supervised"

    def knn(queries: Tensor) -> Tensor:
        return weighted_knn(
            of_gallery,
            gallery.labels,
            queries,
            neighbours=config.neighbours,
            temperature=config.temperature,
            classes=classes,
        )

    return Evaluation(
        knn=_hits(knn(of_test), test.labels),
        linear_probe=_hits(linear_probe(of_gallery, gallery.labels, of_test), test.labels),
        classifier=_hits(classify(model, test.images), test.labels) if supervised else None,
        forget_knn=_hits(knn(features(model, forget.images)), forget.labels) if forget else None,
    )


def compared_against(measured: Collection[str]) -> UtilityReference | None:
    """Whose accuracy the candidate's is compared with, out of the models that were measured."""
    if "candidate" not in measured:
        return None
    if "retrained" in measured:
        return "retrained"
    return "original" if "original" in measured else None
