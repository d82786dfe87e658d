from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unlearning.browser.conftest import DESK, PHONE, Open, problems, too_wide
from unlearning.compliance.certificates import dsse, keys, statement
from unlearning.compliance.certificates import html as page
from unlearning.compliance.certificates.statement import Statement

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("how", ["unlearned", "retrained", "accepted", "never_trained"])
def test_the_page_of_a_certificate_is_accessible_and_fits(
    make_statement: Callable[..., Statement], opened: Open, tmp_path: Path, how: str, size: dict[str, int], dark: bool
) -> None:
    path = tmp_path / "certificate.html"
    signed = dsse.sign(statement.to_bytes(make_statement(how)), [keys.new()])
    path.write_text(page.render(signed, "certificate.json"))
    shown = opened(path, size=size, dark=dark)
    assert problems(shown) == []
    assert too_wide(shown) == []
