"""Which members are to be forgotten, as people say it."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import AliasChoices, Field

from unlearning.core.config import Config

Kind = Literal["random", "class", "cluster", "records"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Ways to choose members of a split."""


class ForgetSelection(Config):
    """What a run is to make the model forget."""

    forget_kind: Literal[Kind, "batch"] = "random"
    """random (a share of the members), class (all members of one class), cluster (a random member and its nearest in
    pixels), records (given ids) or batch (what requests of a compliance batch ask for)."""
    forget_fraction: float = Field(0.2, gt=0, lt=1)
    """Share of the members to forget, for forget_kind random or cluster."""
    forget_class: str = ""
    """Class name, for forget_kind class."""
    forget_ids: str = ""
    """Record ids as a JSON list, for forget_kind records."""
    include_near_duplicates: bool = False
    """Whether members that nearly repeat a forgotten record, by their pixels, are forgotten too. How many there are is
    told either way."""


class NearDuplicateCounts(Config):
    """Kept members that nearly repeat what was asked to be forgotten."""

    repeated: int = Field(ge=0, validation_alias=AliasChoices("repeated", "found"))
    """By their pixels: nearly the same picture."""
    alike: int = Field(ge=0)
    """Others that the model hardly tells apart from a forgotten record; most of them are unrelated."""
    included: bool
    """Whether those found were added to the forget set."""
