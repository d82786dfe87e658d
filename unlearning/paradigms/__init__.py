"""Every training paradigm, by name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from unlearning.paradigms.base import Paradigm
from unlearning.paradigms.byol import BYOL, BYOLConfig
from unlearning.paradigms.moco import MoCo, MoCoConfig
from unlearning.paradigms.simclr import SimCLR, SimCLRConfig
from unlearning.paradigms.supervised import Supervised, SupervisedConfig

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
