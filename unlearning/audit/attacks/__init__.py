"""Every attack, by name."""

from __future__ import annotations

from unlearning.audit.attacks.base import Attack, AuditedSignals, MembershipScores
from unlearning.audit.attacks.combined import combined_forget, combined_retained
from unlearning.audit.attacks.lira_encoder import ReferencedFeatures, lira_encoder
from unlearning.audit.attacks.referenced import REFERENCE_ATTACKS, ReferencedLosses
from unlearning.audit.attacks.representation import representation
from unlearning.audit.attacks.threshold import threshold
from unlearning.audit.attacks.u_lira import u_lira
from unlearning.audit.signals import SIGNALS
from unlearning.core.seeding import derive

__all__ = [
    "ASKING_REFERENCES",
    "ATTACKS",
    "BESIDE_REFERENCES",
    "BLACK_BOX",
    "REFERENCE_ATTACKS",
    "Attack",
    "AuditedSignals",
    "MembershipScores",
    "ReferencedFeatures",
    "ReferencedLosses",
    "attack_all",
    "expected_attacks",
    "lira_encoder",
    "representation",
    "u_lira",
]

ATTACKS: dict[str, Attack] = {signal: threshold(signal) for signal in SIGNALS} | {
    "combined_retained": combined_retained,
    "combined_forget": combined_forget,
}
"""Attacks on what the model shows of the records alone."""

ASKING_REFERENCES = (*REFERENCE_ATTACKS, "lira_encoder")
"""Attacks that know how records look to reference models."""

BESIDE_REFERENCES = ("u_lira",)
"""Attacks that are compared with references wherever the retrained model decides too: they tell models that forgot a
record from models that forgot others, and a retrained model has forgotten nothing."""

BLACK_BOX = ("encoder_similarity", "representation", "lira_encoder")
"""Of the audited model these need the encoder's output only, which is all that a served one gives; the others look
inside: at the projector or classifier, the loss, the gradient. `lira_encoder` also needs models trained with the
same recipe."""


def attack_all(signals: AuditedSignals, seed: int) -> dict[str, MembershipScores]:
    """The scores of all `ATTACKS`."""
    return {name: attack(signals, derive(seed, name)) for name, attack in ATTACKS.items()}


def expected_attacks(references: int, unlearned: int = 0) -> tuple[str, ...]:
    """The attacks that a complete audit has run.

    Args:
        references: how many reference models there are.
        unlearned: how many of them were unlearned too.
    """
    beside = (*(ASKING_REFERENCES if references else ()), *(("u_lira",) if unlearned else ()))
    return (*ATTACKS, "representation", *beside)
