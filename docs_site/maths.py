"""Equations as MathML, which browsers show without a script."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

MARKED = re.compile(
    r'<(?P<tag>div|span) class="arithmatex">\\(?P<open>[\[(])(?P<latex>.*?)\\[\])]</(?P=tag)>', re.DOTALL
)
"""What pymdownx.arithmatex makes of $…$ and $$…$$."""


NUMBER = re.compile(r"\\tag\{([^}]*)\}")


def drawn(page: str) -> str:
    """The page's HTML with its equations as MathML, and their numbers beside them."""

    def equation(found: re.Match[str]) -> str:
        latex, display = html.unescape(found["latex"]), "block" if found["open"] == "[" else "inline"
        number = NUMBER.search(latex)
        beside = f'<span class="number">({number[1]})</span>' if number else ""
        maths = convert(NUMBER.sub("", latex).strip(), display=display)
        return f'<{found["tag"]} class="equation">{maths}{beside}</{found["tag"]}>'

    return MARKED.sub(equation, page)
