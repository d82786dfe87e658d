"""Representation probe: a learned attack on the encoder's output alone, whatever it was trained with.

The features of Liu et al. 2021 (EncoderMI, 2108.11023), how well views of a record agree, together with
length, spread, activity and peak of its representation; fitted like `combined_retained`.
"""

from __future__ import annotations

from unlearning.audit.attacks.base import AuditedSignals, MembershipScores
from unlearning.audit.attacks.combined import combined_retained


def representation(encoder: AuditedSignals, seed: int) -> MembershipScores:
    """Fitted on retained members against holdout, scored on forget set and the holdout left out.

    Score direction: larger means "represented like the members the model was trained on".

    Args:
        encoder: signals of `ENCODER_SIGNALS`.
        seed: of the folds.
    """
    return combined_retained(encoder, seed)
