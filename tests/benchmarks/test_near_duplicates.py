from __future__ import annotations

from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from benchmarks import near_duplicates as benchmark
from benchmarks.near_duplicates import MEASURED, MeasuredPairs, compressed, copies_of, measure, moved, render, scaled
from benchmarks.workbench import prepare
from unlearning import recipes
from unlearning.core.files import read_json, write_json
from unlearning.learning.near_duplicates import NearDuplicateConfig


@pytest.fixture(scope="module")
def measured(tiny_recipe: Path) -> MeasuredPairs:
    return measure(prepare(recipes.load(str(tiny_recipe)), 0))


def test_pictures_are_moved_and_black_comes_in() -> None:
    picture = torch.arange(1, 10, dtype=torch.uint8).view(1, 1, 3, 3)
    assert moved(picture, 0, 1).view(3, 3).tolist() == [[0, 1, 2], [0, 4, 5], [0, 7, 8]]
    assert moved(picture, 1, -1).view(3, 3).tolist() == [[0, 0, 0], [2, 3, 0], [5, 6, 0]]
    assert torch.equal(moved(picture, 0, 0), picture)


def test_brightness_stays_within_the_bytes() -> None:
    assert scaled(torch.tensor([0, 100, 250], dtype=torch.uint8), 1.03).tolist() == [0, 103, 255]


@pytest.mark.parametrize("channels", [1, 3])
def test_compression_changes_little_and_lower_quality_more(channels: int) -> None:
    smooth = torch.linspace(0, 255, 32 * 32).view(1, 1, 32, 32).repeat(2, channels, 1, 1).to(torch.uint8)
    lost = [(compressed(smooth, quality).float() - smooth.float()).abs().mean() for quality in (95, 10)]
    assert 0 < lost[0] < lost[1] < 10


def test_the_measures_are_shares_and_fall_with_the_bound(measured: MeasuredPairs) -> None:
    assert measured.members == 300
    for shares in (measured.unrelated, *(each.correlation for each in measured.copies.values())):
        values = list(shares.values())
        assert all(0 <= each <= 1 for each in values)
        assert values == sorted(values, reverse=True)
    for each in measured.copies.values():
        assert each.both <= min(each.cosine, each.correlation[NearDuplicateConfig().correlation])
    assert list(measured.nearest.values()) == sorted(measured.nearest.values())
    assert measured.copies["3 % darker"].correlation[0.97] == 1
    assert measured.unrelated[0.995] < 0.05


def test_every_copy_differs_from_its_original() -> None:
    images = torch.randint(50, 200, (4, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    for kind, copies in copies_of(images).items():
        assert copies.shape == images.shape, kind
        assert all(not torch.equal(one, other) for one, other in zip(copies, images, strict=True)), kind


def test_the_page_shows_every_kind_of_copy_and_the_range_over_seeds(measured: MeasuredPairs) -> None:
    other = measured.model_copy(update={"seed": 5, "unrelated": dict.fromkeys(measured.unrelated, 0.5)})
    page = render([measured, other], "digits")
    assert "seeds 0, 5" in page
    assert all(page.count(f"| copies: {kind} |") == 2 for kind in measured.copies)
    unrelated = next(line for line in page.splitlines() if line.startswith("| unrelated: "))
    assert unrelated.count(" to 50.0 |") == 5


def test_originals_that_were_measured_are_not_measured_again(
    measured: MeasuredPairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "near.json"
    write_json(output, [measured.model_dump(mode="json")])
    done: list[int] = []

    def fresh(recipe: object, seed: int) -> int:
        done.append(seed)
        return seed

    monkeypatch.setattr(benchmark, "prepare", fresh)
    monkeypatch.setattr(benchmark, "measure", lambda seed: measured.model_copy(update={"seed": seed}))
    arguments = ["--dataset", "digits", "--paradigm", "supervised", "--seed", "0", "--seed", "3"]
    app = typer.Typer()
    app.command()(benchmark.main)
    assert CliRunner().invoke(app, [*arguments, "--output", str(output)]).exit_code == 0
    assert done == [3]
    assert [each.seed for each in MEASURED.validate_python(read_json(output, "measured"))] == [0, 3]
    assert output.with_suffix(".md").exists()
