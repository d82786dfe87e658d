"""The audit: every attack on original, candidate and retrained model, over the same records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from unlearning.audit.attacks import BESIDE_REFERENCES, BLACK_BOX, AuditedSignals, MembershipScores
from unlearning.audit.attacks.lira import logit_confidence
from unlearning.audit.attacks.referenced import normal_scores
from unlearning.audit.attacks.two_versions import two_versions
from unlearning.audit.decision_rates import rates
from unlearning.audit.record_p_values import p_values, per_record
from unlearning.audit.reference_baseline import (
    AuditedModel,
    OutOfTraining,
    OwnAttacks,
    Placements,
    ReferenceBaseline,
    attack_model,
    out_of_training,
    own_attacks,
    referenced_losses,
)
from unlearning.audit.references.signals import load_for
from unlearning.audit.results import (
    AttackResult,
    Audit,
    Comparison,
    ModelAudit,
    PerRecord,
    RecordMeasure,
    RecordTest,
    Reference,
    SignalHistogram,
)
from unlearning.audit.signals import SIGNALS, SignalConfig, measure
from unlearning.audit.simultaneous import Placed, simultaneous_intervals
from unlearning.audit.single_records import RecordGap, between_references, record_gaps
from unlearning.audit.statistics import auc_interval, placed_interval, roc, tpr_at_fpr
from unlearning.core.seeding import derive, generator
from unlearning.data.forget_set import ForgetSet
from unlearning.data.records import Records, concatenate
from unlearning.data.splits import Split
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm

Floats = npt.NDArray[np.float64]

HISTOGRAM_BINS = 30
FEWEST_RETAINED = 500
"""Audited retained members, where there are so many, however few the others are: attacks are fitted on them."""
FEWEST_FOR_RATES = 4
"""Two to fit a threshold on and two to judge."""


def measure_model(
    model: Model,
    paradigm: Paradigm,
    *,
    forget: Records,
    holdout: Records,
    retained: Records,
    config: SignalConfig,
    seed: int,
) -> AuditedModel:
    """What all three groups show, measured in one mixed pass; of many retained members some, see `sampled`."""
    retained = sampled(retained, len(forget) + len(holdout), seed)
    whole = measure(model, paradigm, concatenate(forget, holdout, retained), config, seed=seed)
    ends = np.cumsum([len(forget), len(holdout)])
    return AuditedModel(*(whole.rows(rows) for rows in np.split(np.arange(len(whole.losses)), ends)))


def sampled(retained: Records, others: int, seed: int) -> Records:
    """Retained members that are audited: beside `others` records of the other groups, more than as many hardly narrow
    an interval, and would take most of an audit's time."""
    most = max(others, FEWEST_RETAINED)
    if len(retained) <= most:
        return retained
    device = retained.images.device
    rows = torch.randperm(len(retained), generator=generator(seed, "retained members", device), device=device)
    return retained[rows[:most].sort().values]


def shown_by_original(forgotten: ReferenceBaseline) -> AuditedModel | None:
    """What the original shows, as it was measured with its references; None where it was not."""
    whole, members = forgotten.references.original, forgotten.references.trained.shape[1]
    if whole is None:
        return None
    kept = np.setdiff1d(np.arange(members), forgotten.rows)
    return AuditedModel(whole.rows(forgotten.rows), whole.rows(np.arange(members, len(whole.losses))), whole.rows(kept))


def measure_like_references(
    model: Model,
    paradigm: Paradigm,
    *,
    forget: Records,
    holdout: Records,
    retained: Records,
    forgotten: ReferenceBaseline,
) -> AuditedModel:
    """The same with the very views, batches and queries that the references were shown, since what a view
    shows of a record is no evidence of training on it."""
    manifest, rows = forgotten.references.manifest, forgotten.rows
    kept = np.setdiff1d(np.arange(forgotten.references.trained.shape[1]), rows)
    order = np.argsort(np.concatenate([rows, kept]))
    members = concatenate(forget, retained)[torch.from_numpy(order).to(forget.images.device)]
    whole = measure(model, paradigm, concatenate(members, holdout), manifest.signals, seed=manifest.seed)
    non_members = np.arange(len(members), len(whole.losses))
    return AuditedModel(whole.rows(rows), whole.rows(non_members), whole.rows(kept))


def _attack_result(name: str, scores: MembershipScores) -> AttackResult:
    return AttackResult(
        name=name,
        black_box=name in BLACK_BOX,
        auc=auc_interval(*scores.pair, error_factor=scores.error_factor),
        tpr_at_1_fpr=tpr_at_fpr(*scores.pair),
        rates=rates(*scores.pair) if min(map(len, scores.pair)) >= FEWEST_FOR_RATES else None,
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


def _per_record(shown: AuditedModel, forgotten: ReferenceBaseline) -> PerRecord:
    """By the mean logit confidence, as normal scores among each model's own holdout: references know less
    than a model trained on all members. A holdout record asks as many references as a forgotten one."""
    references, rows = forgotten.references, forgotten.rows

    def scores(losses: Floats, holdout: Floats) -> Floats:
        values, among = (logit_confidence(each).mean(axis=-1, keepdims=True) for each in (losses, holdout))
        return normal_scores(values, among)[..., 0]

    target = [scores(each.losses, shown.holdout.losses) for each in (shown.forget, shown.holdout)]
    others = [
        scores(each, references.holdout_losses)
        for each in (references.member_losses[:, rows], references.holdout_losses)
    ]
    masks = (forgotten.trained, forgotten.left_out)
    return per_record(*(p_values(*given) for given in zip(target, others, masks, strict=True)))


def _model_audit(
    digest: str, shown: AuditedModel, scores: dict[str, MembershipScores], forgotten: ReferenceBaseline | None
) -> ModelAudit:
    """All but what takes the original beside it."""
    signals = shown.signals
    return ModelAudit(
        model=digest,
        attacks=tuple(_attack_result(name, score) for name, score in scores.items()),
        per_record=None if forgotten is None else _per_record(shown, forgotten),
        retained_auc=auc_interval(np.asarray(signals.retained["loss"]), np.asarray(signals.holdout["loss"])),
        signals=tuple(_histogram(name, signals) for name in SIGNALS),
    )


class Compared(NamedTuple):
    """A candidate beside a model not trained on the records."""

    attacks: tuple[Comparison, ...]
    single_records: tuple[RecordTest, ...]


def compare(
    candidate: dict[str, MembershipScores],
    expected: Mapping[str, Placements],
    reference: Reference,
    seed: int,
    single_records: Sequence[RecordGap] = (),
) -> Compared:
    """Every attack on the candidate beside what the reference says it should find, and the measures of single records.

    Args:
        candidate: scores, by attack.
        expected: placements of a model not trained on the records; an attack that has none is placed at ½.
        reference: whose they are.
        seed: of the critical value that holds for all together.
        single_records: measures that are tested with them.
    """
    differences = {}
    for name, scores in candidate.items():
        members, non_members = scores.placements
        # References compared with themselves are placed at one half: see `out_of_training`.
        should = expected.get(name, (np.full_like(members, 0.5), np.zeros_like(non_members)))
        differences[name] = Placed(members - should[0], non_members - should[1], scores.comparison_factor)
    return tested_together(differences, len(candidate["loss"].holdout), reference, seed, single_records)


def tested_together(
    differences: Mapping[str, Placed],
    holdout: int,
    reference: Reference,
    seed: int,
    single_records: Sequence[RecordGap],
) -> Compared:
    """Attacks and measures of single records, each with an interval of its own and one that holds for all of them.

    Args:
        differences: by attack, from what the reference says that it should find.
        holdout: how many non-members the attacks share.
        reference: with whom the candidate is compared.
        seed: of the critical value that holds for all together.
        single_records: measures that are tested with them.
    """
    tested = {**differences, **{gap.name: gap.placed for gap in single_records}}
    together = simultaneous_intervals(tested, holdout, bounds=(-1.0, 1.0), seed=derive(seed, "simultaneous"))
    return Compared(
        tuple(
            Comparison(
                attack=name,
                reference="references" if name in BESIDE_REFERENCES else reference,
                difference=placed_interval(each.members, each.non_members, error_factor=each.error_factor),
                simultaneous=together[name],
            )
            for name, each in differences.items()
        ),
        tuple(gap.tested(together[gap.name], len(tested)) for gap in single_records),
    )


class Expectation(NamedTuple):
    """What references show of the forgotten records; the same for every model that is audited."""

    attacks: dict[str, OutOfTraining]
    between: dict[RecordMeasure, float]
    """See `single_records.between_references`."""

    @property
    def placements(self) -> dict[str, Placements]:
        """By attack."""
        return {name: (each.members, each.non_members) for name, each in self.attacks.items()}


def expectation(forgotten: ReferenceBaseline, seed: int, own: OwnAttacks = own_attacks) -> Expectation:
    """Put the references in the place of an audited model.

    Args:
        forgotten: the references and the forgotten records.
        seed: the audit's own.
        own: what is tried without references.
    """
    return Expectation(out_of_training(forgotten, seed, own), between_references(forgotten.references))


def gaps_of(
    shown: AuditedModel, scores: dict[str, MembershipScores], forgotten: ReferenceBaseline, expected: Expectation
) -> tuple[RecordGap, ...]:
    """The measures of single records on one model: all that was measured of it, and its scores by attack."""
    losses = referenced_losses(shown, forgotten, forgotten.left_out, forgotten.rmia_scale)
    return record_gaps(losses, scores, expected.attacks, expected.between)


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
    forgotten: ReferenceBaseline | None = None,
    grouped: bool = False,
) -> Audit:
    """Attack every model and compare the candidate with what a model not trained on the records shows.

    That is the retrained model where there is one, and otherwise the reference models; with both, the
    second comparison is kept beside the first.

    Args:
        models: `original`, `candidate` and, unless there are references, `retrained`, each with the digest of
            its weights.
        forget, holdout, retained: the audited records; no model was trained on holdout. With references,
            holdout and retained are in the order of the split.
        config: how often each record is looked at.
        seed: of views, batches and folds, the same for every model.
        split, forget_digest: identities of the data, for the record.
        forgotten: references of the original and the rows of the forget set; None for none.
        grouped: whether a whole class or cluster is forgotten.

    Returns:
        The audit with 95 % intervals per model and 90 % intervals of the paired differences.
    """
    if "retrained" not in models and forgotten is None:
        raise ValueError("neither a retrained model nor references: nothing to compare the candidate with")
    audits, scores, measured = {}, {}, {}
    known = None if forgotten is None else shown_by_original(forgotten)
    for name, (digest, model) in models.items():
        groups = {"forget": forget, "holdout": holdout, "retained": retained}
        if forgotten is None:
            shown = measure_model(model, paradigm, **groups, config=config, seed=seed)
        elif name == "original" and known is not None:
            shown = known
        else:
            shown = measure_like_references(model, paradigm, **groups, forgotten=forgotten)
        measured[name] = shown
        scores[name] = attack_model(shown, forgotten, seed)
        audits[name] = _model_audit(digest, shown, scores[name], forgotten)
    for name in [each for each in models if each != "original"]:
        pair = two_versions(measured["original"].signals, measured[name].signals, derive(seed, "two versions"))
        audits[name] = audits[name].model_copy(update={"two_versions": pair})
    decisive, cross_check = _compared(scores, measured["candidate"], forgotten, seed, grouped=grouped)
    unlearned = None if forgotten is None else forgotten.unlearned
    return Audit(
        records={
            "forget": len(forget),
            "holdout": len(holdout),
            "retained": len(measured["candidate"].retained.losses),
        },
        seed=seed,
        split=split,
        forget=forget_digest,
        references=0 if forgotten is None else len(forgotten.references.trained),
        unlearned_references=0 if unlearned is None else len(unlearned.forget_losses),
        unlearned_seconds=0.0 if unlearned is None else unlearned.seconds,
        models=audits,
        comparisons=decisive.attacks,
        cross_check=cross_check,
        single_records=decisive.single_records,
        grouped=grouped,
    )


def _compared(
    scores: Mapping[str, dict[str, MembershipScores]],
    shown: AuditedModel,
    forgotten: ReferenceBaseline | None,
    seed: int,
    *,
    grouped: bool,
) -> tuple[Compared, tuple[Comparison, ...]]:
    """With what decides, and beside it with the references where the retrained model does.

    Single records are tested with what decides, so that all intervals hold together, but not where a group is
    forgotten: see `references.plan.check_comparable`.
    """
    candidate = scores["candidate"]
    expected = None if forgotten is None else expectation(forgotten, seed)
    gaps: tuple[RecordGap, ...] = ()
    if forgotten is not None and expected is not None and not grouped:
        gaps = gaps_of(shown, candidate, forgotten, expected)
    known = {} if expected is None else expected.placements
    if "retrained" not in scores:
        return compare(candidate, known, "references", seed, gaps), ()
    retrained = {name: each.placements for name, each in scores["retrained"].items() if name not in BESIDE_REFERENCES}
    beside = () if expected is None else compare(candidate, known, "references", seed).attacks
    return compare(candidate, retrained, "retrained", seed, gaps), beside


def forgotten_of(path: Path | None, original: str, split: Split, forget: ForgetSet) -> ReferenceBaseline | None:
    """The references, with the rows of the forget set; None where there are none."""
    if path is None:
        return None
    found = load_for(path, original, split.digest)
    return ReferenceBaseline.of(found, split, forget.ids) if found.manifest.count else None
