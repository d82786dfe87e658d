"""What an audit of so many forgotten records can see, and what it can show to be equal: formulas and simulations.

    minimum detectable AUC, by one attack with power .8 (`unlearning.audit.power.detectable_auc`)
    smallest margin     inside which two equal models are shown to be with power .8:
                        (z_.95 + z_.90) · SE (Schuirmann 1987; the inverse of `equivalence_power`)

Each point is checked with score sets drawn from normals of exactly that AUC, or of two equal models whose scores
have nothing to do with each other. Models that see the same records agree to some degree, so that a real margin is
smaller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from pydantic import TypeAdapter
from rich.progress import track
from scipy.stats import norm

from unlearning.audit.power import detectable_auc
from unlearning.audit.results import Interval
from unlearning.audit.statistics import auc_difference, auc_interval, proportion_interval
from unlearning.core.config import Config
from unlearning.core.files import read_json
from unlearning.reporting.figures.style import COLOURS, INK, LINES, MARKERS, STYLE, svg

POWER = 0.8
FORGOTTEN = (10, 20, 50, 100, 200, 500, 1000, 2000)
HOLDOUTS = (300, 2000, 5000)
"""Of the recipes: digits, Fashion-MNIST, CIFAR-10."""
SETS = 2000
LEVEL = 0.90
"""Of the intervals that are one-sided tests at 5 %."""
NINETY = float(norm.ppf(0.95))
"""Standard errors from the middle of a 90 % interval to its end."""
_LOOKS = tuple(zip(COLOURS.values(), LINES.values(), MARKERS.values(), strict=True))


class Simulated(Config):
    """Score sets of one size, and what came of them."""

    forgotten: int
    holdout: int
    sets: int
    auc: float
    """The true one: the smallest that should be found with power .8."""
    found: int
    """Sets in which Mann and Whitney's test at 5 % finds it, of which the formula speaks."""
    found_by_interval: int
    """Sets in which the audit's own interval (DeLong) lies above one half."""
    margin: float
    """Inside which two equal models should be shown to be with power .8."""
    passed: int
    """Sets in which the audit's own interval of their difference lies inside."""


SIMULATED = TypeAdapter(tuple[Simulated, ...])


def load(path: Path) -> tuple[Simulated, ...]:
    """Simulations in a file, none if there is no file.

    Raises:
        UserError: damaged.
    """
    return SIMULATED.validate_python(read_json(path, "simulated audits")) if path.exists() else ()


def null_error(members: int, non_members: int) -> float:
    """Standard error of the AUC where there is nothing to find (Mann & Whitney 1947)."""
    return math.sqrt((members + non_members + 1) / (12 * members * non_members))


def passable_margin(standard_error: float, power: float = POWER) -> float:
    """The smallest margin inside which two equal models are shown to be with the given power."""
    return (NINETY + float(norm.ppf((1 + power) / 2))) * standard_error


def unrelated_margin(members: int, non_members: int) -> float:
    """The same for two models whose scores have nothing to do with each other."""
    return passable_margin(math.sqrt(2) * null_error(members, non_members))


def simulate(forgotten: int, holdout: int, *, sets: int, seed: int) -> Simulated:
    """Draw score sets with the AUC and for the margin that the formulas give, and test them."""
    auc, margin = detectable_auc(forgotten, holdout, power=POWER), unrelated_margin(forgotten, holdout)
    shift = math.sqrt(2) * norm.ppf(auc)
    threshold = 0.5 + NINETY * null_error(forgotten, holdout)
    draw = np.random.default_rng((seed, forgotten, holdout))

    def scores(centre: float = 0.0) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return draw.normal(centre, 1, forgotten), draw.normal(size=holdout)

    leaks = [auc_interval(*scores(shift), level=LEVEL) for _ in range(sets)]
    equals = [auc_difference(scores(), scores(), level=LEVEL) for _ in range(sets)]
    return Simulated(
        forgotten=forgotten,
        holdout=holdout,
        sets=sets,
        auc=auc,
        found=sum(each.estimate > threshold for each in leaks),
        found_by_interval=sum(each.low > 0.5 for each in leaks),
        margin=margin,
        passed=sum(-margin <= each.low and each.high <= margin for each in equals),
    )


def simulate_all(*, sets: int, seed: int = 0) -> tuple[Simulated, ...]:
    """Every size; the same seed gives the same sets."""
    sizes = [(forgotten, holdout) for holdout in HOLDOUTS for forgotten in FORGOTTEN]
    return tuple(simulate(*size, sets=sets, seed=seed) for size in track(sizes, "simulating"))


def share(hits: int, each: Simulated) -> Interval:
    """Of the sets, with an exact 95 % interval."""
    return proportion_interval(hits, each.sets)


def figure(simulated: Sequence[Simulated], measured: dict[int, list[float]]) -> str:
    """Formulas above, what was simulated below, by forgotten records and holdout.

    Args:
        simulated: at least one.
        measured: standard errors of real differences from retrained models, by forgotten records.
    """
    with mpl.rc_context(STYLE):
        drawing = Figure((7.6, 5.6), layout="constrained")
        (seen, passable), (found, passed) = drawing.subplots(2, 2, sharex=True, height_ratios=(3, 2))
        for holdout, look in zip(dict.fromkeys(each.holdout for each in simulated), _LOOKS, strict=False):
            own = [each for each in simulated if each.holdout == holdout]
            _formula(seen, own, [each.auc for each in own], look)
            _formula(passable, own, [each.margin for each in own], look)
            _shares(found, own, [each.found for each in own], look)
            _shares(passed, own, [each.passed for each in own], look)
        for forgotten, errors in measured.items():
            margins = [passable_margin(error) for error in errors]
            passable.plot([forgotten] * len(margins), margins, "_", color=INK, markersize=9, label="measured attacks")
        seen.set(title="Minimum detectable AUC of one attack", ylabel=f"AUC, power {POWER}", ylim=(0.5, None))
        passable.set(title="Smallest margin that equal models keep", ylabel=f"± AUC, power {POWER}", ylim=(0, None))
        passed.sharey(found)
        for axes, what in ((found, "share found"), (passed, "share inside")):
            axes.axhline(POWER, color=INK, linestyle=":", linewidth=1)
            axes.set(ylabel=what, xlabel="forgotten records", title=f"Simulated: {what}, {simulated[0].sets:,} sets")
        _sizes(found)
        drawing.legend(*passable.get_legend_handles_labels(), loc="outside upper center", ncols=4)
        label = "Minimum detectable AUC and smallest margin kept by forgotten records and holdout, and simulated shares"
        return svg(drawing, "audit-power", f"{label}, which should be {POWER}.")


Look = tuple[str, str, str]


def _formula(axes: Axes, own: Sequence[Simulated], values: Sequence[float], look: Look) -> None:
    colour, line, marker = look
    sizes = [each.forgotten for each in own]
    label = f"{own[0].holdout:,} in the holdout"
    axes.plot(sizes, values, color=colour, linestyle=line, marker=marker, markersize=4, label=label)


def _shares(axes: Axes, own: Sequence[Simulated], hits: Sequence[int], look: Look) -> None:
    colour, _, marker = look
    apart = 1 + 0.08 * (HOLDOUTS.index(own[0].holdout) - 1) if own[0].holdout in HOLDOUTS else 1.0
    sizes = [apart * each.forgotten for each in own]
    shares = [share(count, each) for count, each in zip(hits, own, strict=True)]
    axes.vlines(sizes, [each.low for each in shares], [each.high for each in shares], color=colour, linewidth=1.4)
    axes.plot(sizes, [each.estimate for each in shares], marker, color=colour, markersize=4)


def _sizes(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_xticks(FORGOTTEN)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _cell(hits: int, each: Simulated) -> str:
    found = share(hits, each)
    return f"{found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _off(simulated: Sequence[Simulated], name: str, what: str) -> str:
    """Whether a simulated share is what the formula says, in words."""
    shares = [(each, share(getattr(each, name), each)) for each in simulated]
    more = [pair for pair in shares if pair[1].low > POWER]
    less = [pair for pair in shares if pair[1].high < POWER]
    if not more + less:
        return f"{what}: no interval misses {POWER}."
    each, worst = max(more + less, key=lambda pair: abs(pair[1].estimate - POWER))
    return (
        f"{what}: of {len(shares)} intervals {len(more)} lie above {POWER}, {len(less)} below; furthest off, "
        f"{worst.estimate:.3f}, with {each.forgotten} forgotten beside {each.holdout}."
    )


def lines(simulated: Sequence[Simulated], picture: str) -> list[str]:
    """The part of the page: the figure, what it shows, whether the formulas hold, and every number."""
    if not simulated:
        return []
    told = [
        _off(simulated, "found", "Found by the test of the formula (Mann and Whitney)"),
        _off(simulated, "found_by_interval", "Found by the audit's own interval (DeLong)"),
        _off(simulated, "passed", "Equal models inside the margin"),
    ]
    head = ("forgotten", "holdout", "minimum AUC", "found", "found by interval", "smallest margin", "inside it")
    rows = [
        (str(each.forgotten), str(each.holdout), f"{each.auc:.3f}", _cell(each.found, each),
         _cell(each.found_by_interval, each), f"{each.margin:.3f}", _cell(each.passed, each))
        for each in simulated
    ]  # fmt: skip
    return [
        "", "## What it can see", "",
        f"![Minimum detectable AUC and smallest margin that is kept, by forgotten records]({picture})", "",
        f"Of one attack alone, with power {POWER}; a verdict asks more: `leaks` an interval that holds for all attacks",
        "together, `passed` every attack inside its margin. The margins are of two equal models whose scores have",
        "nothing to do with each other; dashes are the attacks above on retrained models, which agree with what they",
        f"are compared with to some degree. Checked with {simulated[0].sets:,} simulated score sets of each size,",
        "normal with the AUC claimed, and exact 95 % intervals, of which one in twenty misses by chance:", "",
        *(f"- {each}" for each in told), "",
        f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(row)} |" for row in rows), "",
        "Command: `python -m benchmarks.audit --power-only`.",
    ]  # fmt: skip
