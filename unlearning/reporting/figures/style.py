"""What all figures share: how they look, and how they become accessible SVG text.

Everything neutral is drawn in `currentColor`, so a page sets it with CSS; a figure opened on its own
falls back to a grey that reads on white and on black. Models are told apart by marker and line style
as well as by colours after Okabe & Ito, which colour-blind readers can distinguish; each has a contrast
of at least 3 on white and on the dark page.
"""

from __future__ import annotations

import html
import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

COLOURS = {"original": "#D55E00", "unlearned": "#1F82C9", "retrained": "#009E73"}
MARKERS = {"original": "o", "unlearned": "s", "retrained": "D"}
LINES = {"original": "-", "unlearned": "--", "retrained": "-."}
FORGET = "#AA4499"
INK = "#010203"  # stands for currentColor, which matplotlib cannot spell
STANDALONE_INK = "#757575"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # names are shown as they are: a dollar sign must not fail the report
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.0,
    "legend.frameon": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an `<svg>` element with an accessible name and ids no other figure has."""
    prefix = re.sub(r"[^a-z0-9-]+", "-", name.lower())
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": prefix}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{prefix}-", text)
    said = html.escape(label)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{said}" color="{STANDALONE_INK}" ', 1)
    return text.replace(">", f"><title>{said}</title>", 1)
