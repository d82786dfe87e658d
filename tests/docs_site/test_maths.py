from __future__ import annotations

from docs_site.maths import drawn


def test_an_equation_becomes_mathml_and_keeps_its_number() -> None:
    page = drawn('<p><div class="arithmatex">\\[a &lt; b^2 \\tag{3}\\]</div></p>')
    assert page.startswith('<p><div class="equation"><math')
    assert 'display="block"' in page
    assert '<span class="number">(3)</span></div></p>' in page
    assert "tag" not in page


def test_one_in_a_sentence_stays_in_it() -> None:
    page = drawn('if <span class="arithmatex">\\(x\\)</span> is')
    assert page.startswith('if <span class="equation"><math')
    assert 'display="inline"' in page
    assert page.endswith("</span> is")


def test_other_html_is_left_alone() -> None:
    assert drawn("<code>$x$</code>") == "<code>$x$</code>"
