from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats
from torch import Tensor

from unlearning.audit.accuracy import (
    Evaluation,
    EvaluationConfig,
    classify,
    compared_against,
    evaluate,
    linear_probe,
    weighted_knn,
)
from unlearning.audit.results import Interval
from unlearning.data.records import Records, as_pixels
from unlearning.learning import features as features_module
from unlearning.learning.features import features
from unlearning.learning.models import Model
from unlearning.learning.paradigms.simclr import SimCLR
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.learning.training import OptimisationConfig, train

BuildModel = Callable[..., Model]
MakeRecords = Callable[..., Records]
Array = npt.NDArray[np.float64]


def points(count: int, seed: int, size: int = 5) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def classes_of(count: int, seed: int, classes: int = 3) -> Tensor:
    return torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed))


def slow_knn(gallery: Array, labels: list[int], queries: Array, k: int, temperature: float, classes: int) -> list[int]:
    """Wu et al. (2018), section 3.4, by loops and without any shift of the exponent."""
    answers = []
    for query in queries:
        cosines = [float(query @ each / math.sqrt(query @ query) / math.sqrt(each @ each)) for each in gallery]
        nearest = sorted(range(len(gallery)), key=lambda row: -cosines[row])[:k]
        votes = [0.0] * classes
        for row in nearest:
            votes[labels[row]] += math.exp(cosines[row] / temperature)
        answers.append(max(range(classes), key=lambda label: votes[label]))
    return answers


@pytest.mark.parametrize("neighbours", [1, 2, 5, 20, 30, 200])
@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0, 5.0])
def test_weighted_knn_is_that_of_explicit_loops(neighbours: int, temperature: float) -> None:
    gallery, labels, queries = points(30, 0), classes_of(30, 1), points(40, 2)
    found = weighted_knn(gallery, labels, queries, neighbours=neighbours, temperature=temperature, classes=3)
    expected = slow_knn(gallery.double().numpy(), labels.tolist(), queries.double().numpy(), neighbours, temperature, 3)
    assert found.dtype == torch.int64
    assert found.tolist() == expected


def knn(gallery: list[list[float]], labels: list[int], query: list[float], k: int, temperature: float) -> int:
    tensors = torch.tensor(gallery), torch.tensor(labels), torch.tensor([query])
    found = weighted_knn(*tensors, neighbours=k, temperature=temperature, classes=3)
    return int(found.item())


def test_near_neighbours_outvote_many_far_ones_only_while_the_temperature_is_low() -> None:
    gallery, labels = [[1.0, 0.0], [0.0, 1.0], [0.1, 1.0], [0.0, 2.0]], [2, 1, 1, 1]
    assert knn(gallery, labels, [1.0, 0.01], 4, 0.1) == 2
    assert knn(gallery, labels, [1.0, 0.01], 4, 100.0) == 1
    assert knn(gallery, labels, [1.0, 0.01], 1, 100.0) == 2


def test_a_tiny_temperature_does_not_overflow() -> None:
    """exp(1 / 0.001) is more than a float holds."""
    assert knn([[1.0, 0.0], [0.9, 0.1], [0.8, 0.2]], [2, 0, 0], [5.0, 0.0], 3, 1e-3) == 2


def test_the_length_of_features_does_not_matter_to_knn() -> None:
    gallery, labels, queries = points(30, 0), classes_of(30, 1), points(40, 2)
    first, second = (
        weighted_knn(g, labels, q, neighbours=7, temperature=0.1, classes=3)
        for g, q in ((gallery, queries), (gallery * torch.arange(1, 31)[:, None], 100 * queries))
    )
    assert torch.equal(first, second)


def test_a_class_without_gallery_records_is_never_predicted_and_a_missing_label_never_breaks_it() -> None:
    found = weighted_knn(points(9, 0), torch.full((9,), 4), points(3, 1), neighbours=5, temperature=0.1, classes=6)
    assert found.tolist() == [4, 4, 4]


def test_the_linear_probe_separates_what_a_plane_separates() -> None:
    labels = classes_of(300, 0)
    corners = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    # The second feature in other units: the probe standardises.
    values = (corners[labels] + 0.3 * points(300, 1, 2)) * torch.tensor([1.0, 1e-4]) + 7
    found = linear_probe(values[:200], labels[:200], values[200:])
    assert (found == labels[200:]).float().mean() == 1.0


def test_the_linear_probe_is_linear() -> None:
    """Exclusive or cannot be learned from its two inputs, though nearest neighbours find it easy."""
    corners = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]).repeat(100, 1) - 0.5
    labels = torch.tensor([0, 0, 1, 1]).repeat(100)
    values = corners + 0.05 * points(400, 0, 2)
    found = linear_probe(values[:200], labels[:200], values[200:])
    assert (found == labels[200:]).float().mean() < 0.8
    near = weighted_knn(values[:200], labels[:200], values[200:], neighbours=5, temperature=0.1, classes=2)
    assert (near == labels[200:]).float().mean() == 1.0


def test_the_linear_probe_keeps_the_names_of_the_labels() -> None:
    labels = 3 + 4 * classes_of(60, 0, 2)
    values = labels[:, None].float()
    assert torch.equal(linear_probe(values, labels, values), labels)


def test_features_and_classes_do_not_depend_on_the_batches(
    supervised: Supervised, build_model: BuildModel, noise: MakeRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, records = build_model(supervised).eval(), noise(10)
    pixels = as_pixels(records.images)
    expected, logits = model.backbone(pixels), model(pixels)
    for batch in (1, 3, 10, 1024):
        monkeypatch.setattr(features_module, "BATCH", batch)
        found = features(model, records.images)
        assert not found.requires_grad
        torch.testing.assert_close(found, expected.detach())
        assert torch.equal(classify(model, records.images), logits.argmax(dim=1))


@pytest.fixture
def trained(supervised: Supervised, build_model: BuildModel, separable: MakeRecords) -> Model:
    config = OptimisationConfig(epochs=20, batch_size=40, learning_rate=0.02)
    return train(build_model(supervised), supervised, separable(40), config, seed=0)


def test_a_good_encoder_on_separable_records_is_right_about_everything(trained: Model, separable: MakeRecords) -> None:
    found = evaluate(
        trained, gallery=separable(40), test=separable(30, 1), forget=separable(7, 2), config=EvaluationConfig()
    )
    assert found.classifier is not None
    assert found.forget_knn is not None
    assert [len(each) for each in (found.knn, found.linear_probe, found.classifier, found.forget_knn)] == [
        30,
        30,
        30,
        7,
    ]
    assert all(each.all() for each in (found.knn, found.linear_probe, found.classifier, found.forget_knn))


def test_every_hit_belongs_to_its_record(trained: Model, separable: MakeRecords) -> None:
    """With every third label turned round, exactly those records are wrong."""
    test, forget = separable(30, 1), separable(9, 2)
    turned = torch.arange(30) % 3 == 0
    wrong = Records(test.images, torch.where(turned, 1 - test.labels, test.labels))
    wrong_forget = Records(forget.images, torch.where(turned[:9], 1 - forget.labels, forget.labels))
    found = evaluate(trained, gallery=separable(40), test=wrong, forget=wrong_forget, config=EvaluationConfig())
    for each in (found.knn, found.linear_probe, found.classifier):
        assert each is not None
        assert each.tolist() == (~turned).tolist()
    assert found.forget_knn is not None
    assert found.forget_knn.tolist() == (~turned[:9]).tolist()


def test_the_labels_come_from_the_gallery(trained: Model, separable: MakeRecords) -> None:
    """A gallery whose labels are exchanged makes kNN and probe wrong, and not the classifier."""
    gallery, test = separable(40), separable(30, 1)
    swapped = Records(gallery.images, 1 - gallery.labels)
    found = evaluate(trained, gallery=swapped, test=test, forget=None, config=EvaluationConfig())
    assert not found.knn.any()
    assert not found.linear_probe.any()
    assert found.classifier is not None
    assert found.classifier.all()


def test_contrastive_models_have_no_classifier(simclr: SimCLR, build_model: BuildModel, separable: MakeRecords) -> None:
    model = build_model(simclr).eval()
    found = evaluate(model, gallery=separable(20), test=separable(9, 1), forget=None, config=EvaluationConfig())
    assert found.classifier is None
    assert found.forget_knn is None
    assert found.accuracies().classifier is None
    assert found.accuracies().forget_knn is None


def test_the_settings_of_knn_are_used(simclr: SimCLR, build_model: BuildModel, separable: MakeRecords) -> None:
    """With as many neighbours as gallery records and no preference for near ones, the majority always wins."""
    model, gallery, test = build_model(simclr).eval(), separable(21), separable(10, 1)
    majority = EvaluationConfig(neighbours=500, temperature=1e6)
    found = evaluate(model, gallery=gallery, test=test, forget=None, config=majority)
    assert found.knn.tolist() == (test.labels == 0).tolist()
    assert evaluate(model, gallery=gallery, test=test, forget=None, config=EvaluationConfig(neighbours=1)).knn.all()


def test_evaluating_changes_nothing_about_the_model(trained: Model, separable: MakeRecords) -> None:
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    random_state = torch.get_rng_state()
    evaluate(trained, gallery=separable(20), test=separable(9, 1), forget=separable(3, 2), config=EvaluationConfig())
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)


def hits(right: int, wrong: int) -> npt.NDArray[np.bool_]:
    return np.array([True] * right + [False] * wrong)


def assert_share(found: Interval | None, right: int, total: int) -> None:
    exact = stats.binomtest(right, total).proportion_ci(0.95, method="exact")
    assert found is not None
    assert (found.estimate, found.level) == (right / total, 0.95)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_accuracies_are_shares_of_hits_with_exact_intervals() -> None:
    found = Evaluation(hits(8, 2), hits(5, 5), hits(10, 0), hits(1, 3)).accuracies()
    assert_share(found.knn, 8, 10)
    assert_share(found.linear_probe, 5, 10)
    assert_share(found.classifier, 10, 10)
    assert_share(found.forget_knn, 1, 4)


def test_what_is_lost_is_the_references_accuracy_minus_ones_own() -> None:
    worse, better = Evaluation(hits(6, 4), hits(5, 5)), Evaluation(hits(9, 1), hits(5, 5))
    lost, gained = worse.lost_against(better), better.lost_against(worse)
    assert list(lost) == ["knn", "linear_probe"]
    assert lost["knn"].estimate == pytest.approx(0.3)
    assert lost["linear_probe"] == Interval(estimate=0, low=0, high=0, level=0.9)
    assert gained["knn"].estimate == pytest.approx(-0.3)
    # Three of ten records differ: variance 0.3 × 0.7 × 10 / 9.
    half = 1.6448536 * math.sqrt(0.3 * 0.7 / 9)
    assert (lost["knn"].low, lost["knn"].high) == pytest.approx((0.3 - half, 0.3 + half))


def test_the_loss_is_paired_by_record() -> None:
    """The same accuracy from other records is no certain equality."""
    ours, theirs = hits(5, 5), hits(5, 5)[::-1].copy()
    lost = Evaluation(ours, ours).lost_against(Evaluation(theirs, ours))["knn"]
    assert lost.estimate == 0
    assert lost.low < -0.4


@pytest.mark.parametrize(("ours", "theirs"), [(True, True), (True, False), (False, True), (False, False)])
def test_the_classifier_counts_where_both_have_one(ours: bool, theirs: bool) -> None:
    one, other = (Evaluation(hits(1, 1), hits(1, 1), hits(2, 0) if has else None) for has in (ours, theirs))
    assert ("classifier" in one.lost_against(other)) == (ours and theirs)


@pytest.mark.parametrize("wrong", [{"neighbours": 0}, {"temperature": 0}])
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EvaluationConfig.model_validate(wrong)


@pytest.mark.parametrize(
    ("measured", "against"),
    [
        ((), None),
        (("original", "retrained"), None),
        (("candidate",), None),
        (("candidate", "original"), "original"),
        (("candidate", "retrained"), "retrained"),
        (("original", "candidate", "retrained"), "retrained"),
    ],
)
def test_a_candidate_is_compared_with_the_retrained_model_where_there_is_one(
    measured: tuple[str, ...], against: str | None
) -> None:
    assert compared_against(measured) == against
