from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.unlearning.histories import MODEL, SHOP, SHOP_1, SHOP_2, History
from unlearning.registry import descriptions
from unlearning.registry.client import DESCRIPTION, Registry
from unlearning.registry.versions import Version


def version(number: int, parent: int = 0, aliases: tuple[str, ...] = (), name: str = "m", **tags: str) -> Version:
    every = {"kind": "unlearned" if parent else "original", "parent": str(parent) if parent else "none"}
    every |= {"status": "superseded", "method": "finetune", "snapshot": f"s{number}", "verdict": "none"}
    return Version(name=name, version=str(number), aliases=aliases, tags=every | tags, description=f"made {number}")


def at(number: int) -> str:
    return f"[version {number}](#/models/{MODEL}/versions/{number})"


def test_the_page_of_a_model_tells_who_serves_and_what_became_of_the_others(history: History) -> None:
    assert descriptions.model_description(history.versions(MODEL)) == (
        f"[Version 4](#/models/{MODEL}/versions/4) serves since 2027-03-01T03:10:00+00:00. It replaced {at(3)}. "
        f"It honours 3 erasure requests. Withdrawn: {at(2)}, {at(3)}. "
        f"Withdrawn, with their weights deleted: {at(1)}."
    )


def test_the_page_of_a_version_tells_its_life(history: History) -> None:
    versions = history.versions(MODEL)
    told = {each.version: descriptions.version_description(each, versions) for each in versions}
    assert told["1"] == (
        f"The original, trained on snapshot `{SHOP}`. Made from it: {at(2)}, {at(3)}. "
        f"It served from 2027-01-04T09:00:00+00:00 until {at(3)} replaced it on 2027-02-01T03:20:00+00:00. "
        "It was withdrawn on 2027-02-01T03:20:00+00:00 for R1, R2. "
        "Its weights were deleted on 2027-03-01T03:10:00+00:00."
    )
    assert f"Made from {at(1)} by gradient\\_matching and audited. It stands for snapshot `{SHOP_1}`" in told["2"]
    assert "It did not pass its audit: it still leaks. It never served. It was withdrawn" in told["2"]
    assert "It passed its audit." in told["3"]
    assert "It was the first to honour 2 erasure requests, of batch batch-1: R1, R2." in told["3"]
    assert "Its weights are to be deleted after 2027-04-01T00:00:00+00:00." in told["3"]
    assert told["4"].endswith(
        "It was the first to honour 1 erasure request, of batch batch-2: R3. "
        "It goes on honouring 2 earlier requests. It serves since 2027-03-01T03:10:00+00:00."
    )
    assert SHOP_2 in told["4"]


def test_an_original_says_which_methods_are_qualified_on_it() -> None:
    told: dict[str, Any] = {
        "qualification.finetune.3": "qualified: 100 sets of 3",
        "qualification.gradient_ascent.1": "not_qualified",
    }
    original = version(1, aliases=("champion",), status="serving", **told)
    page = descriptions.version_description(original, [original])
    assert "Qualification of finetune: qualified: 100 sets of 3." in page
    assert "Qualification of gradient\\_ascent: not\\_qualified." in page


def test_an_accepted_version_says_on_the_models_page_under_which_statement() -> None:
    accepted = version(2, 1, ("champion",), statement="Accepted although <b>the</b> audit_could not tell.")
    told = descriptions.model_description([version(1, superseded_by="2"), accepted])
    assert "Accepted although &lt;b&gt;the&lt;/b&gt; audit\\_could not tell." in told
    assert "It honours no erasure requests." in told


def test_without_a_champion_it_is_said() -> None:
    assert descriptions.model_description([version(1)]) == "No version serves."


def test_an_escalated_attempt_is_named() -> None:
    versions = [version(1), version(2, 1, attempt="stronger_1"), version(3, 1, attempt="first")]
    assert "by finetune, escalated setting 1, and audited" in descriptions.version_description(versions[1], versions)
    assert "by finetune and audited" in descriptions.version_description(versions[2], versions)


@pytest.mark.parametrize("tags", [{}, {"kind": "original"}, {"parent": "7", "verdict": "unheard of"}])
def test_what_something_else_registered_has_a_page_too(tags: dict[str, str]) -> None:
    alone = Version(name="m", version="1", aliases=(), tags=tags, description="")
    assert descriptions.version_description(alone, [alone])
    assert descriptions.model_description([alone]) == "No version serves."


def test_what_was_written_before_stays_above_the_rule() -> None:
    once = descriptions.with_generated("A person's note.\n\n---\n\nand more", "first")
    assert once.startswith("A person's note.\n\n---\n\nand more")
    twice = descriptions.with_generated(once, "second")
    assert twice == once.replace("first", "second")
    assert descriptions.with_generated(twice, "second") == twice


def test_no_description_is_longer_than_every_database_takes() -> None:
    many = [version(1), *(version(number, 1, name="x" * 200, status="withdrawn") for number in range(2, 400))]
    assert len(descriptions.model_description(many)) <= DESCRIPTION
    told = descriptions.version_description(many[0], many)
    assert "and 378 more" in told
    assert len(descriptions.with_generated("y" * 9000, told)) == DESCRIPTION
    assert descriptions.with_generated("y" * 9000, "kept to the end").endswith("kept to the end")


def test_a_models_name_is_spelled_as_in_an_address() -> None:
    assert descriptions.link(version(1, name="a b#c?(d)")) == "[version 1](#/models/a%20b%23c%3F%28d%29/versions/1)"


def test_links_lead_to_versions_that_exist(history: History) -> None:
    versions = history.versions(MODEL)
    texts = [descriptions.model_description(versions)]
    texts += [descriptions.version_description(each, versions) for each in versions]
    found = {match for text in texts for match in re.findall(r"#/models/([\w-]+)/versions/(\d+)", text)}
    assert found == {(each.name, each.version) for each in versions}


def test_pages_are_written_and_only_where_they_changed(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(history.home / "mlflow.db", tmp_path / "mlflow.db")
    registry = Registry(f"sqlite:///{tmp_path / 'mlflow.db'}")
    descriptions.tell(registry, MODEL)
    versions = registry.versions(MODEL)
    assert registry.client.get_registered_model(MODEL).description == descriptions.model_description(versions)
    for each in versions:
        written = f"{each.tags.kind} number {each.version}"
        generated = descriptions.version_description(each, versions)
        assert each.description == descriptions.with_generated(written, generated)
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(registry, "describe", lambda *arguments: calls.append(arguments))
    descriptions.tell(registry, MODEL)
    assert [call[0] for call in calls] == [MODEL]
    assert len(calls[0]) == 2, "the model's own page only"
    descriptions.tell(registry, "nobody")
    assert len(calls) == 1
