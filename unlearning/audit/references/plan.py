"""How many reference models there are, and which task trains which."""

from __future__ import annotations

from typing import NoReturn

from unlearning.core.errors import UserError

GROUPS = ("class", "cluster")
"""Kinds of forget sets that go together: every reference has seen others of the group."""

FEWEST = 8
"""Four outside and four inside for every record: fewer have next to no spread."""
MOST = 256


def check_count(count: int, name: str = "references") -> None:
    """Refuse a number of references that no audit can use.

    Args:
        count: how many.
        name: what they are asked for under.

    Raises:
        UserError: odd, fewer than 8 but not none, or beyond reason.
    """
    if count != 0 and (count % 2 or not FEWEST <= count <= MOST):
        raise UserError(f"{name} {count}: give 0 for none, or an even number from {FEWEST} to {MOST}")


def shards(count: int, parts: int) -> list[list[int]]:
    """The numbers of the references, divided over `parts` tasks as evenly as can be, none of them empty
    unless there is nothing to do at all."""
    check_count(count)
    if parts < 1:
        raise UserError(f"reference_tasks {parts}: give 1 or more")
    parts = max(1, min(parts, count))
    return [list(range(first, count, parts)) for first in range(parts)]


def check_comparable(kind: str) -> None:
    """Refuse to judge by references what a model shows of a whole group that it was not trained on.

    References were not trained on half of the records, but on others like them: beside references a model that knows
    nothing of the group looks over-forgotten, and one that still knows it could pass.

    Raises:
        UserError: the kind of forget set is one of `GROUPS`.
    """
    if kind in GROUPS:
        raise UserError(
            f"forget kind {kind} cannot be compared with references, each of which has seen others of the {kind}: "
            "give compare_with retrained"
        )


def check_unlearned(asked: int, there: int) -> None:
    """Refuse to unlearn more references than an original has.

    Raises:
        UserError: there are not as many.
    """
    if asked > there:
        raise UserError(
            f"unlearned_references {asked}: the original has {there} references: give at most as many or 0, or make "
            "more with unlearn step references"
        )


def check_unlearned_in(asked: int, done: int, *, retrained: bool, diverged: bool) -> None:
    """Refuse an audit that left out U-LiRA where the policy asks for it.

    There is nothing to unlearn by exact retraining, and no method whose model could be attacked where it diverged.

    Raises:
        UserError: fewer references were unlearned than are asked for.
    """
    if done < asked and not retrained and not diverged:
        raise UserError(
            f"unlearned_references {asked}: in the audit {done} references were unlearned: audit again with as many, "
            "or give 0"
        )


def refuse_without_references(model: str, *, unlearned: bool) -> NoReturn:
    """Say what to do where a model has no references to compare candidates with.

    Args:
        model: its name and version.
        unlearned: whether it has forgotten before, so that none can be made for it.

    Raises:
        UserError: always.
    """
    if unlearned:
        raise UserError(
            f"{model} has forgotten before, so it has no references to compare with: give compare_with retrained"
        )
    raise UserError(
        f"{model} has no references to compare with: pretrain with reference_models, "
        "make them with unlearn step references, or give compare_with retrained"
    )
