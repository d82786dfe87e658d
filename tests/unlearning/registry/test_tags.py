"""Tags are read as they were written, however long they are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unlearning.registry.tags import LONGEST, NONE, Tags

REQUESTS = st.lists(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True), min_size=1, max_size=40, unique=True
)


@given(REQUESTS, st.integers(1, 40))
def test_a_list_of_requests_of_any_length_is_read_as_it_was_written(requests: list[str], times: int) -> None:
    whole = ",".join(f"{request}-{number}" for number in range(times) for request in requests)
    written = Tags(withdrawn_for=whole, status="withdrawn").written()
    assert max(map(len, written.values())) <= LONGEST
    assert len(written) == 1 + -(-len(whole) // LONGEST)
    read = Tags.model_validate(written)
    assert (read.withdrawn_for, read.status, read.others) == (whole, "withdrawn", {})


def test_the_part_by_which_a_withdrawal_is_seen_is_written_last() -> None:
    written = Tags(withdrawn_for="x" * (2 * LONGEST + 1)).written()
    assert list(written) == ["withdrawn_for.3", "withdrawn_for.2", "withdrawn_for"]
    assert [len(value) for value in written.values()] == [1, LONGEST, LONGEST]


def test_a_part_without_the_first_says_nothing() -> None:
    """A withdrawal that was cut off: whoever reads it takes the version for one that was not withdrawn."""
    read = Tags.model_validate({"withdrawn_for.2": "R-1", "status": "serving"})
    assert (read.withdrawn_for, read.others) == (NONE, {})


def test_what_only_looks_like_a_part_is_somebody_elses() -> None:
    assert Tags.model_validate({"withdrawn_for.x": "y"}).others == {"withdrawn_for.x": "y"}
