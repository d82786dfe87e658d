from __future__ import annotations

import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unlearning.core.seeding import derive, generator, initialisation


def test_a_derived_seed_is_the_top_63_bits_of_the_hash_of_seed_and_purpose() -> None:
    bits = bin(int(hashlib.sha256(b"7:split").hexdigest(), 16))[2:].zfill(256)
    assert derive(7, "split") == int(bits[:63], 2)


@given(seed=st.integers(-(2**70), 2**70), purpose=st.text())
def test_any_seed_gives_one_that_torch_accepts(seed: int, purpose: str) -> None:
    assert 0 <= derive(seed, purpose) < 2**63
    assert generator(seed, purpose).initial_seed() == derive(seed, purpose)


def test_no_two_seeds_or_purposes_share_a_stream() -> None:
    derived = {derive(seed, purpose) for seed in range(-50, 50) for purpose in ("", "split", "train", "1", ":")}
    assert len(derived) == 500


def test_a_generator_repeats_itself_for_the_same_seed_and_purpose_only() -> None:
    def draw(seed: int, purpose: str) -> list[float]:
        return torch.rand(4, generator=generator(seed, purpose)).tolist()

    assert draw(1, "train") == draw(1, "train")
    assert draw(1, "train") != draw(1, "split")
    assert draw(1, "train") != draw(2, "train")


def test_initialisation_seeds_what_modules_draw() -> None:
    def weights(seed: int, purpose: str) -> list[float]:
        with initialisation(seed, purpose):
            return torch.nn.Linear(3, 1).weight.flatten().tolist()

    assert weights(1, "model") == weights(1, "model")
    assert weights(1, "model") != weights(2, "model")
    assert weights(1, "model") != weights(1, "retrain")


def test_initialisation_gives_the_global_generator_back_as_it_was() -> None:
    before = torch.get_rng_state()
    with initialisation(1, "model"):
        torch.rand(3)
        assert not torch.equal(torch.get_rng_state(), before)
    assert torch.equal(torch.get_rng_state(), before)


def test_initialisation_gives_the_global_generator_back_after_a_failure() -> None:
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), initialisation(1, "model"):
        torch.rand(1 // 0)
    assert torch.equal(torch.get_rng_state(), before)
