from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unlearning import recipes
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.data.provenance import PROVENANCE_FILE, load_record
from unlearning.methods import FORMER_NAMES
from unlearning.recipes import provenance
from unlearning.recipes.provenance import Provenance


@pytest.fixture
def made() -> Provenance:
    return Provenance(
        method="gradient_matching",
        recipe=recipes.load("digits-simclr"),
        seed=7,
        seconds=1.5,
        device="cpu",
        commit="0123abc",
        snapshot="a" * 64,
        split="b" * 64,
        parent="c" * 64,
        forget="d" * 64,
    )


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as refused:
        provenance.load(folder)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_saving_and_loading_gives_everything_back_the_recipe_included(made: Provenance, tmp_path: Path) -> None:
    provenance.save(made, tmp_path / "model")
    found = provenance.load(tmp_path / "model")
    assert found == made
    assert found.recipe.digest == made.recipe.digest


@pytest.mark.parametrize("name", recipes.names())
def test_every_shipped_recipe_survives_the_file(made: Provenance, tmp_path: Path, name: str) -> None:
    written = made.model_copy(update={"recipe": recipes.load(name)})
    provenance.save(written, tmp_path)
    assert provenance.load(tmp_path) == written


def test_a_file_that_calls_the_attempt_a_rung_is_read(made: Provenance, tmp_path: Path) -> None:
    escalated = made.model_copy(update={"attempt": "stronger_1"})
    document = escalated.model_dump(mode="json")
    document["rung"] = document.pop("attempt")
    write_json(tmp_path / PROVENANCE_FILE, document)
    assert provenance.load(tmp_path) == escalated
    assert load_record(tmp_path) == escalated.record()


@pytest.mark.parametrize("name", recipes.names())
def test_methods_that_a_stored_recipe_calls_by_former_names_are_those_of_today(
    made: Provenance, tmp_path: Path, name: str
) -> None:
    """An original of before can still be made to forget, and what is read of it as it stands stays as it is."""
    written = made.model_copy(update={"recipe": recipes.load(name)})
    document = written.model_dump(mode="json")
    former = {present: each for each, present in FORMER_NAMES.items()}
    document["recipe"]["methods"] = {
        former.get(method, method): settings for method, settings in document["recipe"]["methods"].items()
    }
    write_json(tmp_path / PROVENANCE_FILE, document)
    assert provenance.load(tmp_path) == written
    assert load_record(tmp_path).recipe == document["recipe"] != written.record().recipe


def test_an_original_has_neither_parent_nor_forget_set(made: Provenance, tmp_path: Path) -> None:
    document = made.model_dump(mode="json")
    del document["parent"], document["forget"]
    write_json(tmp_path / PROVENANCE_FILE, document)
    found = provenance.load(tmp_path)
    assert (found.parent, found.forget) == ("", "")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert f"provenance of the model: {tmp_path / PROVENANCE_FILE} does not exist" in refusal(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "provenance"])
def test_a_truncated_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / PROVENANCE_FILE).write_text(content)
    assert "cannot be read as JSON" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"seconds": -1}, ": seconds: Input should be greater than or equal to 0"),
        ({"seed": "seven"}, ": seed: Input should be a valid integer"),
        ({"note": "unknown"}, ": note: Extra inputs are not permitted"),
        ({"recipe": {"name": "x"}}, ": recipe.description: Field required"),
    ],
)
def test_a_damaged_value_is_named(made: Provenance, tmp_path: Path, change: dict[str, Any], where: str) -> None:
    provenance.save(made, tmp_path)
    write_json(tmp_path / PROVENANCE_FILE, read_json(tmp_path / PROVENANCE_FILE, "") | change)
    assert where in refusal(tmp_path)


def test_what_is_no_mapping_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / PROVENANCE_FILE, ["method"])
    assert ": top level: Input should be" in refusal(tmp_path)
