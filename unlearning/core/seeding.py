"""Independent random streams derived from one explicit seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from unlearning.core import lazy

if TYPE_CHECKING:
    import torch
else:
    torch = lazy.module("torch")


def derive(seed: int, purpose: str) -> int:
    """A 63-bit seed for one named purpose, so that two purposes never share a stream."""
    digest = hashlib.sha256(f"{seed}:{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on `device` for one named purpose."""
    return torch.Generator(device=device).manual_seed(derive(seed, purpose))


@contextmanager
def initialisation(seed: int, purpose: str) -> Iterator[None]:
    """Module constructors draw from torch's global generator: seed it, and give it back as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, purpose))
        yield
