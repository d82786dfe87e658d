"""What a batch is asked for."""

from __future__ import annotations

from pydantic import Field

from unlearning.core.config import Config

MOST_HOURS = 24.0 * 60
"""Of a batch's claims: longer ones would keep a request from every other batch until it is overdue."""

GRACE_DAYS = 30


MOST_MODELS = 4
"""Models of a batch on a cluster: with every attempt of each, more would not fit in what Argo stores of a workflow
(`pipelines.cluster.workflow_size`)."""


class BatchParameters(Config):
    """Which requests a batch takes, and for how long."""

    model_name: str = ""
    """Only requests that concern this registered model. Empty for all."""
    due_within_days: float = Field(0.0, ge=0)
    """Only requests due so soon. 0 for all that are open."""
    most_models: int = Field(MOST_MODELS, ge=0)
    """Models that one batch unlearns, those with the earliest deadlines first; the others wait for the next batch. 0
    for all, which a cluster may not be able to store: it stops such a run."""
    lease_hours: float = Field(24.0, gt=0, le=MOST_HOURS)
    """How long this batch may take before another may take over its requests."""
    grace_days: int = Field(GRACE_DAYS, ge=0)
    """How long versions that hold erased records are kept before they are deleted."""
