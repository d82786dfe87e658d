"""Statistics of attacks: areas under ROC curves, rates and proportions, each with an interval."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import special

from unlearning.audit.results import Interval, Roc

Scores = npt.NDArray[np.float64]

ROC_POINTS = 201


def placements(members: Scores, non_members: Scores) -> tuple[Scores, Scores]:
    """For each record, the share of the other group on its right side; ties count one half.

    The structural components V10 and V01 of DeLong et al. (1988).
    """
    return _beaten(members, non_members), 1 - _beaten(non_members, members)


def _beaten(scores: Scores, others: Scores) -> Scores:
    """Of each score the share of the others that lie below it."""
    known = np.sort(others)
    below, at_most = np.searchsorted(known, scores, "left"), np.searchsorted(known, scores, "right")
    return np.asarray((below + at_most) / 2 / len(known), dtype=np.float64)


def standard_error(of_members: Scores, of_non_members: Scores) -> float:
    """DeLong's; infinite when a group is a single record, whose spread nobody knows."""
    if min(len(of_members), len(of_non_members)) < 2:
        return math.inf
    variance = of_members.var(ddof=1) / len(of_members) + of_non_members.var(ddof=1) / len(of_non_members)
    return float(np.sqrt(variance))


def degrees_of_freedom(of_members: Scores, of_non_members: Scores) -> float:
    """Of that error: what two groups say of a variance that is the sum of both of theirs (Welch 1947, Satterthwaite
    1946). A handful of forgotten records tell little of their spread, and normal quantiles would take it for known.

    Returns:
        At least 1; infinite where nothing is spread.
    """
    groups = [each for each in (of_members, of_non_members) if len(each) > 1]
    parts = [float(each.var(ddof=1)) / len(each) for each in groups]
    spread = sum(part**2 / (len(each) - 1) for part, each in zip(parts, groups, strict=True))
    return max(1.0, sum(parts) ** 2 / spread) if spread > 0 else math.inf


def quantile(probability: float, freedom: float) -> float:
    """Of Student's t; of the normal distribution where the freedom is infinite."""
    return float(special.ndtri(probability) if math.isinf(freedom) else special.stdtrit(freedom, probability))


def _interval(
    estimate: float, error: float, level: float, low: float, high: float, freedom: float = math.inf
) -> Interval:
    reach = quantile(0.5 + level / 2, freedom) * error
    return Interval(estimate=estimate, low=max(low, estimate - reach), high=min(high, estimate + reach), level=level)


def auc_interval(members: Scores, non_members: Scores, level: float = 0.95, *, error_factor: float = 1.0) -> Interval:
    """Area under the ROC curve with DeLong's interval (DeLong, DeLong & Clarke-Pearson 1988), by quantiles of t.

    Args:
        members: (m,) scores of the records under suspicion.
        non_members: (n,) scores of records never trained on.
        level: coverage.
        error_factor: widens the interval where DeLong's error is known to be too small.

    Returns:
        0.5 for scores that tell nothing, 1 when every member scores above every non-member. With
        complete separation the variance is estimated as 0 and the interval is a point; with a
        single record in a group it is everything that is possible.
    """
    of_members, of_non_members = placements(members, non_members)
    error = error_factor * standard_error(of_members, of_non_members)
    freedom = degrees_of_freedom(of_members, of_non_members)
    return _interval(float(of_members.mean()), error, level, 0.0, 1.0, freedom)


def auc_difference(
    first: tuple[Scores, Scores], second: tuple[Scores, Scores], level: float = 0.90, *, error_factor: float = 1.0
) -> Interval:
    """AUC of the first scoring minus AUC of the second, paired on the same records (DeLong 1988).

    Args:
        first, second: (members, non-members) scores; row i is the same record in both.
        level: coverage; 0.90 makes the interval equal to two one-sided tests at 5 %.
        error_factor: widens the interval where DeLong's error is known to be too small.
    """
    a_members, a_non_members = placements(*first)
    b_members, b_non_members = placements(*second)
    return placed_interval(a_members - b_members, a_non_members - b_non_members, level, error_factor=error_factor)


def placed_interval(
    members: Scores, non_members: Scores, level: float = 0.90, *, error_factor: float = 1.0
) -> Interval:
    """The same from (m,) and (n,) differences of `placements`, of which either may be a mean over several models."""
    error = error_factor * standard_error(members, non_members)
    return _interval(float(members.mean()), error, level, -1.0, 1.0, degrees_of_freedom(members, non_members))


def clustered_error(members: Scores, non_members: Scores, cluster: npt.NDArray[np.intp]) -> float:
    """Standard error of the AUC when non-members come in clusters, one around each member.

    Obuchowski 1997 (Biometrics 53, 567-578): what belongs to one record moves together.

    Args:
        members: (m,) scores, one per record.
        non_members: (n,) scores, several per record.
        cluster: (n,) the record of each non-member, a row of `members`.

    Returns:
        The error; infinite for a single record.
    """
    if len(members) < 2:
        return math.inf
    of_members, of_non_members = placements(members, non_members)
    count = len(members)
    sums = np.bincount(cluster, of_non_members - of_non_members.mean(), minlength=count)
    influence = (of_members - of_members.mean()) / count + sums / len(non_members)
    return float(np.sqrt(count / (count - 1) * np.square(influence).sum()))


def proportion_interval(hits: int, total: int, level: float = 0.95) -> Interval:
    """Share of hits with the exact interval of Clopper & Pearson (1934)."""
    tail = (1 - level) / 2
    low = float(special.betaincinv(hits, total - hits + 1, tail)) if hits else 0.0
    high = float(special.betaincinv(hits + 1, total - hits, 1 - tail)) if hits < total else 1.0
    return Interval(estimate=hits / total, low=low, high=high, level=level)


def mean_difference(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_], level: float = 0.90) -> Interval:
    """Share of hits of the first minus the second, paired on the same records, normal interval."""
    differences = first.astype(np.float64) - second.astype(np.float64)
    error = float(differences.std(ddof=1) / np.sqrt(len(differences)))
    return _interval(float(differences.mean()), error, level, -1.0, 1.0)


def tpr_at_fpr(members: Scores, non_members: Scores, rate: float = 0.01, level: float = 0.95) -> Interval:
    """Share of members above the threshold that at most `rate` of the non-members exceed.

    The interval (Clopper–Pearson) is for the members at that threshold; it does not include the
    uncertainty of the threshold itself.
    """
    return proportion_interval(int((members > threshold_at(non_members, rate)).sum()), len(members), level)


def threshold_at(non_members: Scores, rate: float) -> float:
    """The smallest of the scores that at most `rate` of the non-members exceed."""
    allowed = int(rate * len(non_members) + 1e-9)
    return float(np.sort(non_members)[::-1][allowed])


def predictions(members: Scores, non_members: Scores) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whom an attack calls members, by the threshold that does best on others.

    The threshold that scores best on every other record judges the rest, and the other way round,
    so no record is judged by a threshold fitted on it.

    Args:
        members: (m ≥ 2,) scores of the records under suspicion.
        non_members: (n ≥ 2,) scores of records never trained on.

    Returns:
        (m,) and (n,), true for "member".
    """
    called = np.zeros(len(members), dtype=bool), np.zeros(len(non_members), dtype=bool)
    for half in (0, 1):
        threshold = _best_threshold(members[half::2], non_members[half::2])
        for group, answers in zip((members, non_members), called, strict=True):
            answers[1 - half :: 2] = group[1 - half :: 2] > threshold
    return called


def balanced_accuracy(members: Scores, non_members: Scores) -> float:
    """Accuracy of `predictions`, with both groups and both halves counting the same.

    0.5 tells nothing and is what a model that forgot should have; 1 tells everybody apart.

    Args:
        members: (m ≥ 2,) scores of the records under suspicion.
        non_members: (n ≥ 2,) scores of records never trained on.
    """
    of_members, of_non_members = predictions(members, non_members)
    shares = [(of_members[half::2].mean() + (~of_non_members[half::2]).mean()) / 2 for half in (0, 1)]
    return float(np.mean(shares))


def _best_threshold(members: Scores, non_members: Scores) -> float:
    from sklearn.metrics import roc_curve

    truth = np.concatenate([np.ones(len(members)), np.zeros(len(non_members))])
    scores = np.concatenate([members, non_members])
    false_rate, true_rate, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    # roc_curve calls a score at the threshold a member; ours must be above it.
    return float(np.nextafter(thresholds[np.argmax(true_rate - false_rate)], -np.inf))


def roc(members: Scores, non_members: Scores) -> Roc:
    """The ROC curve, thinned to `ROC_POINTS` points."""
    from sklearn.metrics import roc_curve

    truth = np.concatenate([np.ones(len(members)), np.zeros(len(non_members))])
    false_rate, true_rate, _ = roc_curve(truth, np.concatenate([members, non_members]))
    kept = np.unique(np.linspace(0, len(false_rate) - 1, ROC_POINTS).round().astype(int))
    return Roc(
        false_positive_rate=tuple(float(value) for value in false_rate[kept]),
        true_positive_rate=tuple(float(value) for value in true_rate[kept]),
    )
