"""Every attack, by name."""

from __future__ import annotations

from unlearning.audit.attacks.base import Attack, AuditedSignals, MembershipScores
from unlearning.audit.attacks.combined import combined_forget, combined_retained
from unlearning.audit.attacks.threshold import threshold
from unlearning.audit.signals import SIGNALS

__all__ = ["ATTACKS", "Attack", "AuditedSignals", "MembershipScores"]

ATTACKS: dict[str, Attack] = {signal: threshold(signal) for signal in SIGNALS} | {
    "combined_retained": combined_retained,
    "combined_forget": combined_forget,
}
