"""Against RFC 6962's recursive definition, and roots that others published."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from unlearning.compliance.checkpoints.tree import Tree


def by_definition(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1: split at the largest power of two below the length."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\x01" + by_definition(leaves[:half]) + by_definition(leaves[half:])).digest()


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_the_root_is_that_of_the_definition_at_every_length(leaves: list[bytes]) -> None:
    tree = Tree()
    for size, leaf in enumerate(leaves):
        assert (tree.size, tree.root()) == (size, by_definition(leaves[:size]).hex())
        tree.append(leaf)
    assert tree.root() == Tree(leaves).root() == by_definition(leaves).hex()


def test_published_roots() -> None:
    """Test vectors of certificate-transparency-go."""
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    roots = {
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    for size, root in roots.items():
        assert Tree(bytes.fromhex(each) for each in inputs[:size]).root() == root
