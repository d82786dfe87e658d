"""The audit: every attack on original, candidate and retrained model, over the same records."""

from __future__ import annotations

import numpy as np

from unlearning.audit.attacks import ATTACKS, AuditedSignals, MembershipScores
from unlearning.audit.results import AttackResult, Audit, Comparison, ModelAudit, SignalHistogram
from unlearning.audit.signals import SIGNALS, SignalConfig, measure_signals
from unlearning.audit.statistics import auc_difference, auc_interval, roc, tpr_at_fpr
from unlearning.models import Model
from unlearning.paradigms import Paradigm
from unlearning.records import Records, concatenate
from unlearning.seeding import derive

HISTOGRAM_BINS = 30


def measure_groups(
    model: Model,
    paradigm: Paradigm,
    *,
    forget: Records,
    holdout: Records,
    retained: Records,
    config: SignalConfig,
    seed: int,
) -> AuditedSignals:
    """The signals of all three groups, measured in one mixed pass."""
    values = measure_signals(model, paradigm, concatenate(forget, holdout, retained), config, seed=seed)
    ends = np.cumsum([len(forget), len(holdout)])
    parts = {name: np.split(value, ends) for name, value in values.items()}
    groups = [{name: part[index] for name, part in parts.items()} for index in range(3)]
    return AuditedSignals(*groups)


def attack_all(signals: AuditedSignals, seed: int) -> dict[str, MembershipScores]:
    """Every attack's scores."""
    return {name: attack(signals, derive(seed, name)) for name, attack in ATTACKS.items()}


def _attack_result(name: str, scores: MembershipScores) -> AttackResult:
    return AttackResult(
        name=name,
        auc=auc_interval(*scores.pair, error_factor=scores.error_factor),
        tpr_at_1_fpr=tpr_at_fpr(*scores.pair),
        roc=roc(*scores.pair),
    )


def _histogram(name: str, signals: AuditedSignals) -> SignalHistogram:
    groups = {"forget": signals.forget, "holdout": signals.holdout, "retained": signals.retained}
    edges = np.histogram_bin_edges(np.concatenate([group[name] for group in groups.values()]), HISTOGRAM_BINS)
    counts = {
        group: tuple(int(count) for count in np.histogram(values[name], edges)[0]) for group, values in groups.items()
    }
    means = {f"mean_{group}": float(np.mean(values[name])) for group, values in groups.items()}
    return SignalHistogram(
        name=name,
        edges=tuple(float(edge) for edge in edges),
        forget=counts["forget"],
        holdout=counts["holdout"],
        retained=counts["retained"],
        **means,
    )


def _model_audit(digest: str, signals: AuditedSignals, scores: dict[str, MembershipScores]) -> ModelAudit:
    return ModelAudit(
        model=digest,
        attacks=tuple(_attack_result(name, score) for name, score in scores.items()),
        retained_auc=auc_interval(np.asarray(signals.retained["loss"]), np.asarray(signals.holdout["loss"])),
        signals=tuple(_histogram(name, signals) for name in SIGNALS),
    )


def _comparison(attack: str, candidate: MembershipScores, retrained: MembershipScores) -> Comparison:
    difference = auc_difference(candidate.pair, retrained.pair, error_factor=candidate.error_factor)
    return Comparison(attack=attack, difference=difference)


def audit(
    models: dict[str, tuple[str, Model]],
    paradigm: Paradigm,
    *,
    forget: Records,
    holdout: Records,
    retained: Records,
    config: SignalConfig,
    seed: int,
    split: str,
    forget_digest: str,
) -> Audit:
    """Attack every model and compare the candidate with the retrained one.

    Args:
        models: `original`, `candidate` and `retrained`, each with the digest of its weights.
        forget, holdout, retained: the audited records; holdout was never seen by any model.
        config: how often each record is looked at.
        seed: of views, batches and folds, the same for every model.
        split, forget_digest: identities of the data, for the record.

    Returns:
        The audit with 95 % intervals per model and 90 % intervals of the paired differences.
    """
    audits, scores = {}, {}
    for name, (digest, model) in models.items():
        signals = measure_groups(
            model, paradigm, forget=forget, holdout=holdout, retained=retained, config=config, seed=seed
        )
        scores[name] = attack_all(signals, seed)
        audits[name] = _model_audit(digest, signals, scores[name])
    comparisons = tuple(
        _comparison(attack, scores["candidate"][attack], scores["retrained"][attack]) for attack in ATTACKS
    )
    return Audit(
        records={"forget": len(forget), "holdout": len(holdout), "retained": len(retained)},
        seed=seed,
        split=split,
        forget=forget_digest,
        models=audits,
        comparisons=comparisons,
    )
