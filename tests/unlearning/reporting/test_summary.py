from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unlearning.audit.escalation import last_unlearned, load_attempts, save_attempts
from unlearning.core.errors import UserError
from unlearning.reporting.summary import Summary, load, save, strongest_attack

Make = Callable[..., Summary]
DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(
    ("arguments", "supervised", "compared_with"),
    [
        (("passed",), False, "retrained"),
        (("leaks", "retrained", "passed"), True, "retrained"),
        (("leaks", None), False, "references"),
        (("inconclusive", "unlearned"), False, "retrained"),
    ],
)
def test_a_summary_comes_back_as_it_was_saved(
    make_summary: Make, tmp_path: Path, arguments: tuple[Any, ...], supervised: bool, compared_with: str
) -> None:
    summary = make_summary(*arguments, supervised=supervised, compared_with=compared_with)
    save(summary, tmp_path / "summary.json")
    assert load(tmp_path / "summary.json") == summary


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("surprise",), 1, "surprise"),
        (("models", "original", "surprise"), 1, "models.original.surprise"),
        (("seed",), "seven", "seed"),
        (("models", "unlearned", "seconds"), -1, "models.unlearned.seconds"),
        (("verdict", "outcome"), "fine", "verdict.outcome"),
        (("promoted",), "original", "promoted"),
        (("schema_version",), 2, "schema_version"),
        (("verdict", "compared_with"), "nothing", "verdict.compared_with"),
        (("attempts",), [], "attempts"),
        (("attempts", 0, "action"), "pray", "attempts.0.action"),
        (("attempts", 0, "name"), "stronger_9", "attempts.0.name"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    make_summary: Make, tmp_path: Path, path: tuple[str | int, ...], value: Any, where: str
) -> None:
    document = make_summary().model_dump(mode="json")
    place: Any = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    (tmp_path / "summary.json").write_text(json.dumps(document))
    with pytest.raises(UserError) as caught:
        load(tmp_path / "summary.json")
    message = str(caught.value)
    assert "\n" not in message
    assert f"summary.json: {where}: " in message


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load(tmp_path / "summary.json")
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        load(tmp_path / "summary.json")


def test_the_strongest_attack_is_chosen_on_the_original_alone(make_summary: Make, edited: Make) -> None:
    summary = make_summary()
    assert strongest_attack(summary) == "combined_retained"
    louder = edited(summary, 0.99, "models", "unlearned", "audit", "attacks", 1, "auc", "estimate")
    assert strongest_attack(louder) == "combined_retained"
    louder = edited(summary, 0.99, "models", "original", "audit", "attacks", 1, "auc", "estimate")
    assert strongest_attack(louder) == "loss"


def test_without_an_original_there_is_no_strongest_attack(make_summary: Make, edited: Make) -> None:
    with pytest.raises(UserError, match="no attack on the original"):
        strongest_attack(make_summary().model_copy(update={"models": {}}))
    with pytest.raises(UserError, match="no attack on the original"):
        strongest_attack(edited(make_summary(), [], "models", "original", "audit", "attacks"))


def test_the_published_schema_is_the_codes() -> None:
    published = json.loads((DOCS / "summary.schema.json").read_text())
    assert published == Summary.model_json_schema(), (
        "docs/summary.schema.json is out of date; see docs/summary.md for the command that makes it"
    )


def test_every_field_is_documented() -> None:
    text = (DOCS / "summary.md").read_text()
    schema = Summary.model_json_schema()
    parts = {"Summary": schema, **schema["$defs"]}
    for name, part in parts.items():
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        documented = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
        assert documented == list(part["properties"]), name


def test_attempts_come_back_as_they_were_saved(make_summary: Make, tmp_path: Path) -> None:
    attempts = make_summary("leaks", "retrained", "passed", stronger=1).attempts
    save_attempts(attempts, tmp_path / "attempts")
    assert load_attempts(tmp_path / "attempts") == attempts
    with pytest.raises(UserError, match=r"attempts: .* does not exist"):
        load_attempts(tmp_path / "nowhere")
    (tmp_path / "attempts").write_text('[{"name": "roof"}]')
    with pytest.raises(UserError, match="are not valid"):
        load_attempts(tmp_path / "attempts")


def test_documents_with_the_names_of_version_3_are_read(make_summary: Make, tmp_path: Path) -> None:
    summary = make_summary("leaks", "retrained", "passed", stronger=1)
    save(summary, tmp_path / "summary.json")
    written = json.loads((tmp_path / "summary.json").read_text())
    assert (written["schema_version"], written["attempts"][1]["name"]) == (4, "stronger_1")
    before = [{"rung" if key == "name" else key: value for key, value in each.items()} for each in written["attempts"]]
    (tmp_path / "attempts").write_text(json.dumps(before))
    assert load_attempts(tmp_path / "attempts") == summary.attempts
    old = written | {"schema_version": 3, "rungs": before}
    (tmp_path / "summary.json").write_text(json.dumps(old))
    with pytest.raises(UserError, match="rungs"):  # both names at once have no meaning
        load(tmp_path / "summary.json")
    del old["attempts"]
    (tmp_path / "summary.json").write_text(json.dumps(old))
    assert load(tmp_path / "summary.json") == summary


def test_the_unlearned_model_is_the_last_before_exact_retraining(make_summary: Make) -> None:
    attempts = make_summary("leaks", "retrained", "passed", stronger=1).attempts
    assert [attempt.name for attempt in attempts] == ["first", "stronger_1", "retrained"]
    assert last_unlearned(attempts) == attempts[1]
    assert last_unlearned(attempts[:1]) == attempts[0]
    with pytest.raises(UserError, match="no attempt before exact retraining"):
        last_unlearned(attempts[2:])
