"""Reject: a candidate that did not pass is kept on record.

The branch of the DAG is not trusted: the evidence is judged again when it is read, see `unlearning.steps.promote`.
"""

from __future__ import annotations

from pathlib import Path

from unlearning.core import settings
from unlearning.registry import candidate, descriptions
from unlearning.registry.candidate import CandidateEvidence
from unlearning.registry.client import Registry, Version
from unlearning.registry.tags import NONE


def reject(
    evidence: CandidateEvidence,
    *,
    model_name: str,
    parent: str,
    run_name: str,
    action: str = "person",
    batch: str = "",
    attempts_path: Path | None = None,
) -> Version:
    """Register the candidate as rejected, so that the record is complete; `champion` stays.

    Args:
        action: what follows: `stronger`, `retrain` or `person`.
        batch: the compliance batch that it was made for; empty for none.
        attempts_path: where the attempts so far are written, this one included; None for nowhere.

    Raises:
        UserError: the candidate passed, so there is nothing to reject, its method made no model, or the action
            is none that follows.
    """
    follows = candidate.rejecting_action(evidence, action)
    registry = Registry(settings.from_environment().tracking_uri)
    before = candidate.parent_of(registry, evidence, model_name, parent)
    version = candidate.register(registry, evidence, before, run_name=run_name, batch=batch, action=follows)
    descriptions.tell(registry, version.name)
    candidate.record(evidence, version.version, follows, attempts_path)
    return registry.resolve(version.name, version.version)


def note_diverged(evidence: CandidateEvidence, *, action: str, attempts_path: Path) -> None:
    """Keep on record that a method made no model. Nothing is registered: the candidate is a model that exists.

    Args:
        action: what follows: `retrain` or `person`.
        attempts_path: where the attempts so far are written, this one included.

    Raises:
        UserError: the method made a model, or the action is none that follows.
    """
    candidate.record(evidence, NONE, candidate.diverged_action(evidence, action), attempts_path)
