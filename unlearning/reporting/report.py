"""The run as one page for people, and as a short table for the terminal.

The page needs no network and no scripts: it is opened from Kubeflow's artifact viewer, mailed, printed
and archived. Everything on it comes from the summary, and from the evidence of the paper's figures
where that was measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup
from rich.table import Table
from rich.text import Text

from unlearning.audit import inspection_results
from unlearning.audit.escalation import RETRAINED, AttemptName, AttemptSummary, described, last_unlearned
from unlearning.audit.inspection_results import EVIDENCE_FILE, InspectionResults
from unlearning.audit.results import AttackResult, PerRecord, Rates, TwoVersions, Verdict
from unlearning.core.errors import UserError
from unlearning.core.files import write_text
from unlearning.reporting.figures import audit as figures
from unlearning.reporting.figures import lineage, paper, roc
from unlearning.reporting.figures.gallery import GalleryRow
from unlearning.reporting.html import Cell, cell, environment, percent, signed
from unlearning.reporting.phrases import (
    ACTIONS,
    OUTCOMES,
    RETAINED,
    WORDS,
    Ideals,
    record_margin,
    single_record,
    why,
    worst_single_record,
)
from unlearning.reporting.summary import (
    ModelSummary,
    Summary,
    farthest_attack,
    retained_fate,
    retained_loss,
    retraining_seconds,
    strongest_attack,
)

FIGURES_FILE = "figures.html"


@dataclass(frozen=True)
class TableRow:
    """One measure of every model, in reading order."""

    label: str
    note: str
    cells: tuple[Cell, ...]


def _environment() -> jinja2.Environment:
    found = environment()
    found.filters |= {"without_login": _without_login, "single_record": single_record, "record_margin": record_margin}
    return found


def render(summary: Summary, evidence: InspectionResults | None = None, gallery: Sequence[GalleryRow] = ()) -> str:
    """The report as one self-contained HTML page.

    Args:
        summary: of the run.
        evidence: for the paper's figures and the neighbours; without it the page has none.
        gallery: forgotten images and their neighbours, which are personal data; shown beside the evidence.

    Raises:
        UserError: the summary lacks a model, attack or signal that the page compares, or the evidence
            is of other models.
    """
    assert evidence is not None or not gallery
    if evidence is not None:
        _check_belongs(evidence, summary)
    names = [histogram.name for histogram in figures.ordered_models(summary)["original"].audit.signals]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            summary=summary,
            answer=answer(summary),
            repetitions=repetitions(summary),
            outcomes=OUTCOMES,
            actions=ACTIONS,
            beside=beside(summary),
            strongest=strongest_attack(summary),
            words=WORDS[summary.verdict.compared_with],
            roc=roc_captions(summary),
            smallest_rates=roc.smallest_rates(summary),
            records=roc.audited_records(summary),
            lead=lead(summary),
            rows=measure_rows(summary),
            models=figures.ordered_models(summary),
            figures={key: Markup(svg) for key, svg in _figures(summary)},  # noqa: S704 - drawn and escaped by figures.py
            signals={name: Markup(figures.signal_histograms(summary, name)) for name in names},  # noqa: S704
            paper=paper.all_figures(evidence) if evidence is not None else {},
            evidence=evidence,
            gallery=gallery,
        )
    )


def render_figures(evidence: InspectionResults) -> str:
    """The paper's figures alone, as one self-contained HTML page."""
    template = _environment().get_template("figures.html.j2")
    return template.render(
        evidence=evidence,
        paper=paper.all_figures(evidence),
        digests=paper.in_order(evidence.digests),
        shown=paper.most_records(evidence),
        missing=list(_missing(evidence)),
    )


def write_figures(evidence: InspectionResults, folder: Path) -> dict[str, Path]:
    """Write the page with all figures, one SVG file for each, and the numbers behind them; paths by name.

    A figure that an earlier evidence had and this one has not is removed.
    """
    drawn = paper.all_figures(evidence)
    paths = {"page": folder / FIGURES_FILE, "numbers": folder / EVIDENCE_FILE}
    paths |= {name: folder / f"{name}.svg" for name in drawn}
    inspection_results.save(evidence, paths["numbers"])
    for name, figure in drawn.items():
        write_text(paths[name], figure.svg)
    for name in set(paper.NAMES) - set(drawn):
        (folder / f"{name}.svg").unlink(missing_ok=True)
    write_text(paths["page"], render_figures(evidence))
    return paths


def _missing(evidence: InspectionResults) -> Iterator[str]:
    """Why some of the figures are not there."""
    if not evidence.training:
        yield "The training was not done again, so there are no figures of a model as it overfits."
        return
    if not paper.shows_views(evidence):
        yield "The model was trained without augmentation, so a record's views are all alike and not compared."
    if not paper.shows_probabilities(evidence):
        yield "Its loss is no likelihood, so there is no figure of predicted probabilities."


def write(
    summary: Summary, path: Path, evidence: InspectionResults | None = None, gallery: Sequence[GalleryRow] = ()
) -> None:
    """Write the page in one step."""
    write_text(path, render(summary, evidence, gallery))


def _check_belongs(evidence: InspectionResults, summary: Summary) -> None:
    if evidence.digests != {name: model.digest for name, model in summary.models.items()}:
        raise UserError(
            f"the figures' evidence is of other models than those of run {summary.run_id}: "
            "measure it again with unlearn figures, or delete it"
        )


def answer(summary: Summary) -> str:
    """What happened, in a few sentences, no stronger than the verdict."""
    verdict = summary.verdict
    first = f"The unlearned model {OUTCOMES[verdict.outcome]}: {why(verdict)}.{_tried_before(summary)}"
    last = summary.attempts[-1]
    if summary.promoted is None:
        either = f" Nor did a model retrained exactly pass: it {OUTCOMES[last.verdict.outcome]}."
        serving = f"version {summary.registry.champion} keeps serving and a person has to decide."
        return f"{first}{either if last.name == RETRAINED else ''} Nothing was promoted; {serving}"
    version = summary.registry.versions.get(summary.promoted, summary.registry.champion)
    which = "It" if summary.promoted == "unlearned" else "A model retrained exactly, without the forget set,"
    if summary.accepted is None:
        return f"{first} {which} was promoted as version {version}."
    return f"{first} {which} was accepted as version {version}, although the audit could not tell."


def _tried_before(summary: Summary) -> str:
    """The attempts before that of the unlearned model."""
    below = [attempt for attempt in summary.attempts if attempt.name != RETRAINED][:-1]
    if not below:
        return ""
    told = [f"the {described(attempt.name)} {OUTCOMES[attempt.verdict.outcome]}" for attempt in below]
    return f" Before it, {' and '.join(told)}."


def repetitions(summary: Summary) -> str:
    """What was found that nearly repeats the forget set, in words."""
    counts = summary.forget.near_duplicates
    if counts is None:
        return "not looked for"
    if counts.repeated == 0:
        return f"none; alike to the model besides: {counts.alike}"
    done = "forgotten too" if counts.included else "kept"
    return f"{counts.repeated} found by their pixels, {done}; alike to the model besides: {counts.alike}"


def beside(summary: Summary) -> list[AttemptSummary]:
    """The candidates that were tried beside the one called unlearned, which the page shows in full."""
    shown = last_unlearned(summary.attempts)
    return [attempt for attempt in summary.attempts if attempt is not shown]


def roc_captions(summary: Summary) -> dict[str, str]:
    """Attacks whose ROC curves are shown, and why these."""
    shown = roc.attacks_shown(summary)
    if len(shown) == 1:
        return {shown[0]: "the strongest attack on the original and on the unlearned model"}
    told = ("the strongest attack on the original", "the strongest attack on the unlearned model")
    return dict(zip(shown, told, strict=True))


def lead(summary: Summary) -> list[dict[str, str]]:
    """The results of the first screen: leak, single records, accuracy, side effects, cost."""
    words = WORDS[summary.verdict.compared_with]
    models = figures.ordered_models(summary)
    knn = [f"{100 * model.accuracies.knn.estimate:.1f}" for model in models.values()]
    return [
        _leak(summary),
        _single_records(summary.verdict),
        {
            "title": "Accuracy",
            "numbers": " → ".join(knn) + " %",
            "note": f"kNN on test records. Ideal: {words.ideals.accuracy}.",
        },
        _side_effects(summary),
        {
            "title": "Cost",
            "numbers": f"{models['unlearned'].seconds:,.1f} s",
            "note": f"{_cost(summary)} Audits not counted.",
        },
    ]


def _leak(summary: Summary) -> dict[str, str]:
    """The attack that speaks most against the unlearned model, on every model."""
    models, attack, strongest = figures.ordered_models(summary), farthest_attack(summary), strongest_attack(summary)
    aucs = [f"{figures.attack_on(model, attack).auc.estimate:.2f}" for model in models.values()]
    ideal = "the retrained value" if "retrained" in models else _shown_by_references(summary, attack)
    which = "the farthest from its ideal" if summary.verdict.comparisons else "the strongest on the original"
    if attack != strongest:
        before = figures.attack_on(models["original"], strongest).auc.estimate
        which += f" (strongest on the original: {strongest}, {before:.2f})"
    return {"title": "Leak", "numbers": " → ".join(aucs), "note": f"AUC of {attack}, {which}. Ideal: {ideal}."}


def _side_effects(summary: Summary) -> dict[str, str]:
    """What became of the members that stay: forgetting should not blur them."""
    models = figures.ordered_models(summary)
    aucs = [model.audit.retained_auc for model in models.values()]
    losses = [retained_loss(model) for model in models.values()]
    against = "retrained" if "retrained" in models else "original"
    fate = retained_fate(
        models["unlearned"].audit.retained_auc, models[against].audit.retained_auc, summary.verdict.auc_margin
    )
    told = f" Their mean loss: {' → '.join(f'{each:.3g}' for each in losses)}." if None not in losses else ""
    return {
        "title": "Side effects",
        "numbers": " → ".join(f"{each.estimate:.2f}" for each in aucs),
        "note": f"AUC of the loss on members that stay. Ideal: the {against} value. {RETAINED[fate]}{told}",
    }


def _single_records(verdict: Verdict) -> dict[str, str]:
    """Whether attacks on single records ran, and the worst that they found."""
    worst = worst_single_record(verdict)
    if worst is None:
        return {
            "title": "Single records",
            "numbers": "not tested",
            "note": "No reference models could be asked: a model that gives a few records away, and is like any other "
            "on average, would not have been found.",
        }
    return {
        "title": "Single records",
        "numbers": f"{worst.shown:.2f}, expected {worst.expected:.2f}",
        "note": f"The worst measure of {len(verdict.single_records)}: {single_record(worst)}, unlearned, beside models "
        f"not trained on the records; margin {record_margin(worst, verdict)}.",
    }


def _shown_by_references(summary: Summary, attack: str) -> str:
    """The AUC that models not trained on the records show: the candidate's, less what it is above theirs."""
    candidate = figures.attack_on(summary.models["unlearned"], attack).auc.estimate
    for each in summary.verdict.comparisons:
        if each.attack == attack:
            return f"{candidate - each.difference.estimate:.2f}, as references not trained on the records show"
    return "as references not trained on the records show"


def _cost(summary: Summary) -> str:
    models, whole = summary.models, retraining_seconds(summary)
    if whole is None:
        ratio = _ratio(models["unlearned"].seconds, models["original"].seconds)
        return f"{ratio} × the time of training the original. Nothing was retrained to compare with."
    return f"{_ratio(models['unlearned'].seconds, whole)} × the time of exact retraining. Below 1 is cheaper."


def measure_rows(summary: Summary) -> list[TableRow]:
    """The table of every measure of every model."""
    models = list(figures.ordered_models(summary).values())
    names = [attack.name for attack in models[0].audit.attacks]

    def attacked(name: str, read: Callable[[AttackResult], Cell]) -> tuple[Cell, ...]:
        return tuple(read(figures.attack_on(model, name)) for model in models)

    ideals = WORDS[summary.verdict.compared_with].ideals
    rows = [
        TableRow(f"{name}: AUC", _ideal(models[0], name, ideals), attacked(name, lambda a: cell(a.auc)))
        for name in names
    ]
    low = ideals.rare.format("1 %")
    rows += [TableRow(f"{n}: TPR at 1 % FPR", low, attacked(n, lambda a: percent(a.tpr_at_1_fpr))) for n in names]
    strongest = strongest_attack(summary)
    rows += _yes_or_no(strongest, ideals, [figures.attack_on(model, strongest).rates for model in models])
    rows += _record_by_record([model.audit.per_record for model in models])
    retained = tuple(cell(model.audit.retained_auc) for model in models)
    rows.append(TableRow("Retained members: AUC", ideals.retained, retained))
    rows += _who_stays([model.audit.two_versions for model in models[1:]], ideals)
    notes = dict.fromkeys(figures.MEASURES, "higher is better") | {"forget_knn": ideals.forget_knn}
    for measure, label in figures.MEASURES.items():
        values = [getattr(model.accuracies, measure) for model in models]
        if any(values):
            rows.append(TableRow(label, notes[measure], tuple(map(percent, values))))
    whole = retraining_seconds(summary)
    beside, of = ("training the original", models[0].seconds) if whole is None else ("retraining", whole)
    seconds = tuple((f"{model.seconds:,.1f}", f"{_ratio(model.seconds, of)} × {beside}") for model in models)
    rows.append(TableRow("Seconds", "lower is cheaper", seconds))
    return rows


def _ideal(original: ModelSummary, name: str, ideals: Ideals) -> str:
    seen = "sees the encoder's output only; " if figures.attack_on(original, name).black_box else ""
    return f"{seen}{ideals.attack}"


def _yes_or_no(name: str, ideals: Ideals, found: list[Rates | None]) -> list[TableRow]:
    """Rates of one attack as the paper reports them, where they were measured on every model."""
    rates = [each for each in found if each is not None]
    if len(rates) < len(found):
        return []
    coarse = "too few non-members for 0.1 %: no false positive is allowed"
    finest = ideals.rare.format("0.1 %") if rates[0].resolved else coarse
    return [
        TableRow(f"{name}: TPR at 0.1 % FPR", finest, tuple(percent(each.tpr_at_01_fpr) for each in rates)),
        TableRow(f"{name}: balanced accuracy", ideals.balanced, tuple((f"{each.accuracy:.3f}", "") for each in rates)),
        TableRow(f"{name}: precision", ideals.precision, tuple(percent(each.precision) for each in rates)),
        TableRow(f"{name}: recall", ideals.recall, tuple(percent(each.recall) for each in rates)),
    ]


def _record_by_record(found: list[PerRecord | None]) -> list[TableRow]:
    """How many single records look as they do to models not trained on them."""
    records = [each for each in found if each is not None]
    if len(records) < len(found):
        return []
    return [
        TableRow(
            "Records flagged as members", "p < 0.05; ideal: 5 %", tuple(percent(each.suspicious) for each in records)
        ),
        TableRow(
            "Records less familiar than new",
            "p > 0.95; ideal: 5 %",
            tuple(percent(each.unfamiliar) for each in records),
        ),
        TableRow(
            "Forget set like the holdout, p-value",
            "record by record, pooled; small: differs, whichever way",
            tuple((f"{each.pooled:.2g}", "") for each in records),
        ),
    ]


def _who_stays(found: list[TwoVersions | None], ideals: Ideals) -> list[TableRow]:
    """What somebody learns of retained members who kept the original, where it was measured."""
    pairs = [each for each in found if each is not None]
    if len(pairs) < len(found):
        return []
    return [
        TableRow(
            "Who stays, by old and new version: AUC",
            "all signals of both, retained members against holdout; of the original its own alone",
            (cell(pairs[0].old_alone), *(cell(each.both) for each in pairs)),
        ),
        TableRow(
            "Who stays, by both minus by the old alone",
            ideals.two_versions,
            (("none", ""), *(signed(each.difference) for each in pairs)),
        ),
    ]


def short_table(summary: Summary) -> Table:
    """The essence for the terminal: one row per model."""
    models, farthest = figures.ordered_models(summary), farthest_attack(summary)
    classifier = any(model.accuracies.classifier for model in models.values())
    table = Table(title=Text(answer(summary)), title_justify="left")
    if summary.accepted is not None:
        table.caption, table.caption_justify = Text(summary.accepted), "left"
    table.add_column("model")
    headings = [f"AUC of {farthest}", "TPR at 1 % FPR", "kNN", "linear probe"]
    for heading in [*headings, *(["classifier"] if classifier else []), "seconds"]:
        table.add_column(Text(heading), justify="right")
    for name, model in models.items():
        attack, scores = figures.attack_on(model, farthest), model.accuracies
        cells = [" ".join(cell(attack.auc)), percent(attack.tpr_at_1_fpr)[0]]
        cells += [percent(scores.knn)[0], percent(scores.linear_probe)[0]]
        cells += [percent(scores.classifier)[0]] if classifier else []
        table.add_row(name, *map(Text, cells), f"{model.seconds:,.1f}")
    return table


def _figures(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "Leak", figures.leak_dots(summary, farthest_attack(summary))
    yield "Accuracy", figures.accuracy_dots(summary, ("knn", "linear_probe", "classifier"), small=True)
    yield "Cost", figures.cost_bars(summary)
    for attack in roc.attacks_shown(summary):
        yield f"roc {attack}", roc.roc_curves(summary, attack)
        yield f"roc log {attack}", roc.roc_curves(summary, attack, "log")
    yield "attacks", figures.attack_forest(summary)
    yield "accuracies", figures.accuracy_dots(summary)
    yield "lineage", lineage.graph(summary.registry.model_name, summary.registry.history)
    yield "comparison", _comparison(summary.verdict)
    for attempt in beside(summary):
        yield f"comparison {attempt.name}", _comparison(attempt.verdict, attempt.name)


def _comparison(verdict: Verdict, attempt: AttemptName | None = None) -> str:
    return figures.comparison_forest(verdict, attempt) if verdict.comparisons else ""


def _ratio(seconds: float, whole: float) -> str:
    return f"{seconds / whole:.2f}" if whole else "?"


def _without_login(uri: str) -> str:
    return re.sub(r"//.*@", "//", uri)
