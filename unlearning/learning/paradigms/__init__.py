"""Every training paradigm, by name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from unlearning.learning.paradigms.base import Paradigm
from unlearning.learning.paradigms.byol import BYOL, BYOLConfig
from unlearning.learning.paradigms.moco import MoCo, MoCoConfig
from unlearning.learning.paradigms.simclr import SimCLR, SimCLRConfig
from unlearning.learning.paradigms.supervised import Supervised, SupervisedConfig

__all__ = ["PARADIGMS", "Paradigm", "ParadigmConfig", "make_paradigm"]

ParadigmConfig = Annotated[SimCLRConfig | MoCoConfig | BYOLConfig | SupervisedConfig, Field(discriminator="name")]

PARADIGMS = ("simclr", "moco", "byol", "supervised")


def make_paradigm(config: ParadigmConfig) -> Paradigm:
    """The objective a configuration asks for."""
    match config:
        case SimCLRConfig():
            return SimCLR(config)
        case MoCoConfig():
            return MoCo(config)
        case BYOLConfig():
            return BYOL(config)
        case SupervisedConfig():
            return Supervised(config)
