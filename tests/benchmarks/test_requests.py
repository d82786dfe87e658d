"""The benchmark of many requests, at its smallest."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import requests
from unlearning.core.files import read_json

pytestmark = pytest.mark.slow


def test_every_part_is_timed_and_half_of_the_requests_is_certified(tmp_path: Path) -> None:
    output = tmp_path / "requests.json"
    requests.main(size=[20], same=6, output=output)
    found = requests.Report.model_validate(read_json(output, "report")).costs
    parts = ["add", "add again", "collect", "certify"]
    assert [each.what for each in found] == [*parts, *(f"{part}, one record" for part in parts)]
    assert [each.requests for each in found] == [20] * 4 + [6] * 4
    # Content, index, entry, event and seal of each; adding again writes nothing.
    added, again, collected, certified = (each.objects for each in found[:4])
    assert added == again
    assert collected > added
    assert certified - collected >= 2 * 10, "a certificate and its page for each of the ten that were held out"
    page = output.with_suffix(".md").read_text()
    assert all(f"| {each.what} |" in page for each in found)
