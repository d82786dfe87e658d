"""Threshold attack: the signal itself is the score (Yeom et al. 2018, 1709.01604, for the loss;
EncoderMI-T of Liu et al. 2021, 2108.11023, for the similarity of views)."""

from __future__ import annotations

import numpy as np

from unlearning.audit.attacks.base import Attack, AuditedSignals, MembershipScores


def threshold(signal: str) -> Attack:
    """The attack that guesses "member" above a threshold on `signal`; no fitting, so nothing to
    overfit. Score direction: larger means member."""

    def attack(signals: AuditedSignals, seed: int) -> MembershipScores:
        return MembershipScores(np.asarray(signals.forget[signal]), np.asarray(signals.holdout[signal]))

    return attack
