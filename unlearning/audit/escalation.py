"""The ladder: what follows a candidate's verdict.

    first → stronger_1 → stronger_2 → retrained → a person

| outcome | before exact retraining | after it |
|---|---|---|
| `passed` | `promote` | `promote` |
| `leaks` | `stronger` while another is allowed, then as `on_failure` says | `person` |
| `over_forgotten`, `utility_lost` | as `on_failure` says: a stronger setting would make it worse | `person` |
| `diverged`: the method made no model | the same | does not occur: there the run ends |
| `inconclusive` | as `on_inconclusive` says | `accept` if `on_inconclusive` allows it, otherwise `person` |

`on_failure` says `retrain` or `stop` (`person`); `on_inconclusive` says `retrain`, `stop` (`person`),
`accept`, or `accept_retrained`: retrain, and accept what was retrained exactly. Accepted is only what was
audited in full and could not be told for want of records: a candidate of which an attack is missing is left
to a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar, get_args

from pydantic import Field

from unlearning.audit.results import Outcome, Reference
from unlearning.core.config import Config
from unlearning.core.errors import UserError

Action = Literal["promote", "accept", "stronger", "retrain", "person"]
"""What follows a verdict; `promote` and `accept` let the candidate serve."""

Rung = Literal["first", "stronger_1", "stronger_2", "retrained"]
"""The setting asked for, stronger ones, and training again without the forgotten records."""

RUNGS: tuple[Rung, ...] = get_args(Rung)
SERVING: tuple[Action, ...] = ("promote", "accept")
"""After these the candidate serves."""

RETRAINED: Rung = "retrained"
MAX_STRONGER = len(RUNGS) - 2

ACTIONS: tuple[Action, ...] = get_args(Action)
OnFailure = Literal["retrain", "stop"]
OnInconclusive = Literal["retrain", "stop", "accept", "accept_retrained"]
Name = TypeVar("Name", bound=str)


class Policy(Config):
    """How far the ladder is climbed by itself."""

    stronger: int = Field(1, ge=0, le=MAX_STRONGER, description="Stronger settings to try.")
    on_failure: OnFailure = "retrain"
    on_inconclusive: OnInconclusive = "retrain"


def policy(stronger: int, on_failure: str, on_inconclusive: str) -> Policy:
    """A checked policy.

    Raises:
        UserError: a value that has no meaning.
    """
    if not 0 <= stronger <= MAX_STRONGER:
        raise UserError(f"stronger {stronger} is not possible: try 0 to {MAX_STRONGER} stronger settings")
    return Policy(
        stronger=stronger,
        on_failure=_named(on_failure, "on_failure", get_args(OnFailure)),
        on_inconclusive=_named(on_inconclusive, "on_inconclusive", get_args(OnInconclusive)),
    )


def rung_named(text: str) -> Rung:
    """A rung by its name.

    Raises:
        UserError: there is none of that name.
    """
    return _named(text, "rung", RUNGS)


def action_named(text: str) -> Action:
    """An action by its name.

    Raises:
        UserError: there is none of that name.
    """
    return _named(text, "action", ACTIONS)


def compare_with_named(text: str) -> Reference:
    """What every candidate is compared with, by its name.

    Raises:
        UserError: there is nothing of that name.
    """
    return _named(text, "compare_with", get_args(Reference))


def _named(text: str, kind: str, known: tuple[Name, ...]) -> Name:
    for name in known:
        if name == text:
            return name
    raise UserError(f"{kind} {text!r} is unknown: choose {', '.join(known[:-1])} or {known[-1]}")


def strength(rung: Rung) -> int:
    """How many times the first setting was strengthened; exact retraining is no setting of the method."""
    return 0 if rung == RETRAINED else RUNGS.index(rung)


def described(rung: Rung) -> str:
    """The rung in words."""
    if rung == RETRAINED:
        return "exact retraining"
    return f"stronger setting {strength(rung)}" if strength(rung) else "first setting"


def may_serve(
    outcome: Outcome, on_inconclusive: OnInconclusive, *, retrained: bool, complete: bool
) -> Literal["promote", "accept"] | None:
    """Whether a candidate may serve, and on what ground; None if it may not.

    Args:
        outcome: of its verdict.
        on_inconclusive: of the policy.
        retrained: whether the candidate was trained again from the beginning, without the forgotten records.
        complete: whether everything was measured that a verdict rests on.
    """
    if outcome == "passed":
        return "promote"
    accepts = on_inconclusive == "accept" or (on_inconclusive == "accept_retrained" and retrained)
    if outcome == "inconclusive" and accepts and complete:
        return "accept"
    return None


def next_rung(outcome: Outcome, rung: Rung, policy: Policy, *, complete: bool = True) -> Action:
    """What follows a verdict, by the table above.

    Args:
        outcome: of the candidate's verdict.
        rung: what the candidate was made by.
        policy: how far to go; `stronger` is 0 for a method that cannot be strengthened.
        complete: whether everything was measured that a verdict rests on.
    """
    serves = may_serve(outcome, policy.on_inconclusive, retrained=rung == RETRAINED, complete=complete)
    if serves is not None:
        return serves
    if rung == RETRAINED:
        return "person"
    if outcome == "leaks" and strength(rung) < policy.stronger:
        return "stronger"
    follows = policy.on_inconclusive if outcome == "inconclusive" else policy.on_failure
    return "retrain" if follows in ("retrain", "accept_retrained") else "person"


def accepted_statement(reasons: Sequence[str], *, retrained: bool = False) -> str:
    """What is said wherever a model is shown that was accepted without having passed."""
    how = "Trained again from the beginning without the records, and accepted" if retrained else "Accepted"
    return f"{how} although the audit could not tell whether they were forgotten: {'; '.join(reasons)}."
