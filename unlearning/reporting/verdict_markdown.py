"""A verdict in Markdown, as the node that decides shows it in Kubeflow's pages: the answer at a glance."""

from __future__ import annotations

from markupsafe import escape

from unlearning.audit.escalation import Action
from unlearning.audit.results import Verdict
from unlearning.reporting.html import points, signed
from unlearning.reporting.phrases import OUTCOMES, WORDS, record_margin, single_record, why

FOLLOWS: dict[Action, str] = {
    "promote": "It is promoted.",
    "accept": "It is accepted without having passed, as the run's parameters say.",
    "stronger": "It is kept as rejected, and an escalated setting is tried.",
    "retrain": "It is kept as rejected, and a model is retrained exactly.",
    "person": "It is kept as rejected, and a person has to decide.",
}


def markdown(verdict: Verdict, action: Action) -> str:
    """The outcome, what follows, the reasons, every difference with its interval, and the limits."""
    words = WORDS[verdict.compared_with]
    lines = [f"# The candidate {OUTCOMES[verdict.outcome]}", "", f"{_sentence(why(verdict))} {FOLLOWS[action]}", ""]
    lines += [f"- {_text(reason)}" for reason in verdict.reasons]
    if verdict.comparisons:
        lines += ["", f"AUC on the candidate minus {words.minus}; ideal 0, margin ±{verdict.auc_margin:g}:", ""]
        lines += ["| attack | difference | interval |", "|---|---|---|"]
        for each in verdict.comparisons:
            lines.append(f"| {_text(each.attack)} | {' | '.join(signed(each.difference))} |")
    if verdict.single_records:
        lines += ["", "Single records, beside models not trained on them; ideal 0:", ""]
        lines += ["| measure | candidate | expected | difference | interval | margin |", "|---|---|---|---|---|---|"]
        for test in verdict.single_records:
            cells = (_text(single_record(test)), f"{test.shown:.3f}", f"{test.expected:.3f}", *signed(test.difference))
            lines.append(f"| {' | '.join(cells)} | {record_margin(test, verdict)} |")
    lines += _forgotten_before(verdict)
    if verdict.utility_lost:
        margin = f"{100 * verdict.utility_margin:g}"
        allowed = f"in points; ideal 0 or below, at most {margin}"
        lines += ["", f"Accuracy of {words.accuracy} minus the candidate's, {allowed}:", ""]
        lines += ["| measure | lost | interval |", "|---|---|---|"]
        for name, lost in sorted(verdict.utility_lost.items()):
            lines.append(f"| {_text(name)} | {' | '.join(points(lost))} |")
    if verdict.limits:
        lines += ["", "Limits:", "", *(f"- {_text(limit)}" for limit in verdict.limits)]
    return "\n".join([*lines, ""])


def _forgotten_before(verdict: Verdict) -> list[str]:
    """What the attacks say of records that were forgotten before; nothing where none were attacked."""
    before = verdict.forgotten_before
    if before is None or not before.comparisons:
        return []
    told = f"Records forgotten before, {before.records} of them: AUC on the candidate minus the retrained model's"
    lines = ["", f"{told}; ideal 0, margin ±{verdict.auc_margin:g}:", ""]
    lines += ["| attack | difference | interval |", "|---|---|---|"]
    return lines + [f"| {_text(each.attack)} | {' | '.join(signed(each.difference))} |" for each in before.comparisons]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _text(text: str) -> str:
    """Neither HTML nor the end of a table's cell; a name's underscores are no emphasis."""
    return str(escape(text)).replace("|", "\\|").replace("_", "\\_").replace("*", "\\*")
