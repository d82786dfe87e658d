"""The escalation policy: what follows a candidate's verdict.

    first → stronger_1 → stronger_2 → retrained → a person

| outcome | before exact retraining | after it |
|---|---|---|
| `passed` | `promote` | `promote` |
| `leaks` | `stronger` while another is allowed, then as `on_failure` says | `person` |
| `over_forgotten`, `utility_lost` | as `on_failure` says: an escalated setting would make it worse | `person` |
| `diverged`: the method made no model | the same | does not occur: there the run ends |
| `inconclusive` | as `on_inconclusive` says | `accept` if `on_inconclusive` allows it, otherwise `person` |

`on_failure` says `retrain` or `stop` (`person`); `on_inconclusive` says `retrain`, `stop` (`person`),
`accept`, `accept_retrained`: retrain, and accept what was retrained exactly, or `qualified`: accept a first candidate
whose method is qualified to forget so many records and against which nothing in its own audit speaks, and otherwise
as `accept_retrained`. Accepted is only what was audited in full and could not be told for want of records: a
candidate of which an attack is missing is left to a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import AliasChoices, Field, TypeAdapter, ValidationError

from unlearning.audit.policy import OnInconclusive, Policy
from unlearning.audit.results import Outcome, Verdict
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json

Action = Literal["promote", "accept", "stronger", "retrain", "person"]
"""What follows a verdict; `promote` and `accept` let the candidate serve."""

AttemptName = Literal["first", "stronger_1", "stronger_2", "retrained"]
"""The setting asked for, escalated ones, and training again without the forgotten records."""

ATTEMPTS: tuple[AttemptName, ...] = get_args(AttemptName)
SERVING: tuple[Action, ...] = ("promote", "accept")
"""After these the candidate serves."""
RETRAINED: AttemptName = "retrained"
NO_ATTEMPT = "none"
"""Said where no other attempt follows."""

ACTIONS: tuple[Action, ...] = get_args(Action)
Name = TypeVar("Name", bound=str)


def attempt_named(text: str) -> AttemptName:
    """An attempt by its name.

    Raises:
        UserError: there is none of that name.
    """
    return _named(text, "attempt", ATTEMPTS)


def action_named(text: str) -> Action:
    """An action by its name.

    Raises:
        UserError: there is none of that name.
    """
    return _named(text, "action", ACTIONS)


def _named(text: str, kind: str, known: tuple[Name, ...]) -> Name:
    for name in known:
        if name == text:
            return name
    raise UserError(f"{kind} {text!r} is unknown: choose {', '.join(known[:-1])} or {known[-1]}")


def escalation_level(attempt: AttemptName) -> int:
    """How many times the first setting was escalated; exact retraining is no setting of the method."""
    return 0 if attempt == RETRAINED else ATTEMPTS.index(attempt)


def described(attempt: AttemptName) -> str:
    """The attempt in words."""
    if attempt == RETRAINED:
        return "exact retraining"
    return f"escalated setting {escalation_level(attempt)}" if escalation_level(attempt) else "first setting"


def may_serve(
    outcome: Outcome, on_inconclusive: OnInconclusive, *, retrained: bool, complete: bool, qualified: bool = False
) -> Literal["promote", "accept"] | None:
    """Whether a candidate may serve, and on what ground; None if it may not.

    Args:
        outcome: of its verdict.
        on_inconclusive: of the policy.
        retrained: whether the candidate was trained again from the beginning, without the forgotten records.
        complete: whether everything was measured that a verdict rests on.
        qualified: whether its method is qualified for it, see `unlearning.audit.qualified`.
    """
    if outcome == "passed":
        return "promote"
    accepts = {
        "accept": True,
        "accept_retrained": retrained,
        "qualified": retrained or qualified,
    }.get(on_inconclusive, False)
    if outcome == "inconclusive" and accepts and complete:
        return "accept"
    return None


def serving_action(
    outcome: Outcome, on_inconclusive: OnInconclusive, *, retrained: bool, complete: bool, qualified: bool = False
) -> Literal["promote", "accept"]:
    """On what ground a candidate may serve; as `may_serve`.

    Raises:
        UserError: it may not.
    """
    action = may_serve(outcome, on_inconclusive, retrained=retrained, complete=complete, qualified=qualified)
    if action is None:
        asked = on_inconclusive if outcome == "inconclusive" else ""
        unless = ", and of the others one that was audited in full" if asked.startswith("accept") else ""
        if asked == "qualified":
            unless = ", and of the others one whose method is qualified for it, or that was retrained exactly"
        raise UserError(f"verdict {outcome}: only a passed candidate can be promoted{unless}")
    return action


def next_attempt(action: Action, attempt: str) -> str:
    """The attempt that an action leads to after this one; `NO_ATTEMPT` where the run ends.

    Raises:
        UserError: there is no such attempt, or no escalated setting after it.
    """
    made_by = attempt_named(attempt)
    if action == "stronger":
        level = escalation_level(made_by) + 1
        if made_by == RETRAINED or ATTEMPTS[level] == RETRAINED:
            raise UserError(f"no setting is escalated further after the attempt {attempt}: retrain instead")
        return ATTEMPTS[level]
    return RETRAINED if action == "retrain" else NO_ATTEMPT


def rejecting_action(text: str) -> Action:
    """What follows the rejection of a candidate, by its name.

    Raises:
        UserError: there is none of that name, or it lets the candidate serve.
    """
    action = action_named(text)
    if action in SERVING:
        raise UserError(f"action {text} lets the candidate serve: promote it instead of rejecting it")
    return action


def next_action(
    outcome: Outcome, attempt: AttemptName, policy: Policy, *, complete: bool = True, qualified: bool = False
) -> Action:
    """What follows a verdict, by the table above.

    Args:
        outcome: of the candidate's verdict.
        attempt: what the candidate was made by.
        policy: how far to go; `stronger` is 0 for a method that cannot be escalated.
        complete: whether everything was measured that a verdict rests on.
        qualified: whether the method is qualified for the candidate.
    """
    known = {"retrained": attempt == RETRAINED, "complete": complete, "qualified": qualified}
    serves = may_serve(outcome, policy.on_inconclusive, **known)
    if serves is not None:
        return serves
    if attempt == RETRAINED:
        return "person"
    if outcome == "leaks" and escalation_level(attempt) < policy.stronger:
        return "stronger"
    follows = policy.on_inconclusive if outcome == "inconclusive" else policy.on_failure
    return "retrain" if follows in ("retrain", "accept_retrained", "qualified") else "person"


def accepted_statement(reasons: Sequence[str], *, retrained: bool = False) -> str:
    """What is said wherever a model is shown that was accepted without having passed."""
    how = "Trained again from the beginning without the records, and accepted" if retrained else "Accepted"
    return f"{how} although the audit could not tell whether they were forgotten: {'; '.join(reasons)}."


class AttemptSummary(Config):
    """An attempt: what was tried, how it was judged, and what followed."""

    name: AttemptName = Field(validation_alias=AliasChoices("name", "rung"))
    method: str
    settings: dict[str, Any]
    """Of the method, as they were used."""
    digest: str
    seconds: float = Field(ge=0)
    """Wall time of the unlearning or retraining that made it."""
    verdict: Verdict
    action: Action
    """What followed the verdict."""
    version: str
    """Registered version, which holds the candidate's own audit; `none` where the method diverged."""
    statement: str = ""
    """Under which it was accepted; empty where it was not, or by an earlier release."""


_SUMMARIES = TypeAdapter(tuple[AttemptSummary, ...])


def save_attempts(attempts: tuple[AttemptSummary, ...], path: Path) -> None:
    """Write what was tried so far."""
    write_json(path, _SUMMARIES.dump_python(attempts, mode="json"))


def load_attempts(path: Path) -> tuple[AttemptSummary, ...]:
    """Read what was tried so far.

    Raises:
        UserError: missing or damaged.
    """
    try:
        return _SUMMARIES.validate_python(read_json(path, "attempts"))
    except ValidationError as error:
        raise UserError(f"attempts {path} are not valid: {error.errors()[0]['msg']}") from None


def last_unlearned(attempts: tuple[AttemptSummary, ...]) -> AttemptSummary:
    """The last candidate before exact retraining, the one called `unlearned`.

    Raises:
        UserError: the first attempt is exact retraining.
    """
    found = [each for each in attempts if each.name != RETRAINED]
    if not found:
        raise UserError("there is no attempt before exact retraining: give the attempts of the whole run")
    return found[-1]
