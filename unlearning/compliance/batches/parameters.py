"""What a batch is asked for."""

from __future__ import annotations

from pydantic import Field

from unlearning.core.config import Config

MOST_HOURS = 24.0 * 60
"""Of a batch's claims: longer ones would keep a request from every other batch until it is overdue."""

GRACE_DAYS = 30


class BatchParameters(Config):
    """Which requests a batch takes, and for how long."""

    model_name: str = ""
    """Only requests that concern this registered model. Empty for all."""
    due_within_days: float = Field(0.0, ge=0)
    """Only requests due so soon. 0 for all that are open."""
    lease_hours: float = Field(24.0, gt=0, le=MOST_HOURS)
    """How long this batch may take before another may take over its requests."""
    grace_days: int = Field(GRACE_DAYS, ge=0)
    """How long versions that hold erased records are kept before they are deleted."""
