"""Equations as MathML, which browsers show without a script."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

MARKED = re.compile(
    r'<(?P<tag>div|span) class="arithmatex">\\(?P<open>[\[(])(?P<latex>.*?)\\[\])]</(?P=tag)>', re.DOTALL
)
"""What pymdownx.arithmatex makes of $…$ and $$…$$."""


def drawn(page: str) -> str:
    """The page's HTML with its equations as MathML."""

    def equation(found: re.Match[str]) -> str:
        display = "block" if found["open"] == "[" else "inline"
        latex = html.unescape(found["latex"]).strip()
        return f'<{found["tag"]} class="equation">{convert(latex, display=display)}</{found["tag"]}>'

    return MARKED.sub(equation, page)
