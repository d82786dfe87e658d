from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from benchmarks import rows
from benchmarks.rows import Row, code_digest, settings_digest
from unlearning import recipes
from unlearning.core.errors import UserError

MakeRow = Callable[..., Row]


def test_rows_come_back_as_they_were_saved_in_a_fixed_order(make_row: MakeRow, tmp_path: Path) -> None:
    given = [make_row(seed=seed, method=method) for seed in (1, 0) for method in ("retrain", "finetune")]
    rows.save(given, tmp_path / "rows.json")
    first = (tmp_path / "rows.json").read_bytes()
    assert sorted(rows.load(tmp_path / "rows.json"), key=str) == sorted(given, key=str)
    rows.save(given[::-1], tmp_path / "rows.json")
    assert (tmp_path / "rows.json").read_bytes() == first


def test_no_file_has_no_rows_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    assert rows.load(tmp_path / "none.json") == []
    (tmp_path / "bad.json").write_text('[{"seed": 1}]')
    with pytest.raises(UserError, match="move the file away to begin anew"):
        rows.load(tmp_path / "bad.json")


def test_the_strongest_attack_and_the_largest_gap(make_row: MakeRow) -> None:
    row = make_row(auc=0.6, gap_0=0.02, gap_1=-0.05)
    assert row.strongest == 0.6
    assert row.largest_gap == -0.05


def test_the_digest_of_settings_knows_its_own_method_and_the_training_only() -> None:
    recipe = recipes.load("digits-simclr")
    other_method = recipes.load("digits-simclr", "methods: {finetune: {epochs: 3}}")
    other_training = recipes.load("digits-simclr", "training: {epochs: 3}")
    renamed = recipe.model_copy(update={"name": "another", "description": "words"})
    for method in ("original", "retrain", "gradient_matching"):
        digest = settings_digest(recipe, method)
        assert settings_digest(renamed, method) == digest
        assert settings_digest(other_method, method) == digest
        assert settings_digest(other_training, method) != digest
    assert settings_digest(other_method, "finetune") != settings_digest(recipe, "finetune")


def test_the_digest_of_code_knows_what_is_learned_and_how_and_no_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a copy of the sources, changed file by file."""
    root = Path(rows.__file__).parents[1]
    for package in ("unlearning", "benchmarks"):
        shutil.copytree(root / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "results"))
    monkeypatch.setattr(rows, "__file__", str(tmp_path / "benchmarks" / "rows.py"))
    monkeypatch.setattr(resources, "files", lambda name: tmp_path / name)
    before = code_digest()
    for page in (
        "unlearning/reporting/report.py",
        "unlearning/storage/store.py",
        "benchmarks/table.py",
        "benchmarks/run.py",
    ):
        (tmp_path / page).write_text("changed")
    assert code_digest() == before
    for source in (
        "unlearning/methods/finetune.py",
        "unlearning/audit/attacks/combined.py",
        "unlearning/learning/training.py",
        "unlearning/recipes/pretraining.py",
        "benchmarks/measure.py",
        "benchmarks/workbench.py",
    ):
        assert (tmp_path / source).exists()
        (tmp_path / source).write_text("changed")
        assert code_digest() != before
        before = code_digest()
