from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from sqlalchemy import event

from unlearning import recipes
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.core.seeding import generator, initialisation
from unlearning.data import forget_set, snapshots
from unlearning.data.forget_set import ForgetSet
from unlearning.data.provenance import PROVENANCE_FILE
from unlearning.data.records import Records
from unlearning.data.snapshots import Snapshot
from unlearning.data.splits import Split, SplitConfig, make_split
from unlearning.learning import models
from unlearning.learning.encoders import MLPConfig
from unlearning.learning.paradigms.supervised import Supervised, SupervisedConfig
from unlearning.recipes import provenance
from unlearning.recipes.provenance import Provenance
from unlearning.registry import client as registry
from unlearning.registry.client import CHAMPION, EXPERIMENT, SUPERSEDED, DatasetLink, NewVersion, Registry, Version
from unlearning.registry.tags import Tags


class Fixture:
    """One database, created once, and a model's folder that descends from a split and a forget set."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.registry = Registry(f"sqlite:///{home / 'mlflow.db'}")
        self.client = mlflow.MlflowClient(self.registry.uri)
        self.snapshot = self._snapshot()
        config = SplitConfig(members=20, calibration=5, holdout=8, test=7)
        self.split: Split = make_split(self.snapshot.manifest, config, seed=0)
        self.forget: ForgetSet = forget_set.select(self.split, self.snapshot, kind="random")
        self.folder = home / "model"
        with initialisation(0, "test"):
            model = Supervised(SupervisedConfig()).build(MLPConfig(hidden=(6,)), (1, 4, 4), ("a", "b"))
        models.save(model, self.folder)
        made = Provenance(
            method="finetune",
            recipe=recipes.load("digits-supervised"),
            seed=0,
            seconds=1,
            device="cpu",
            commit="c",
            snapshot=self.snapshot.manifest.digest,
            split=self.split.digest,
            forget=self.forget.digest,
        )
        provenance.save(made, self.folder)
        self.shown = home / "evaluation.json"
        write_json(self.shown, {"knn": 0.5, "forget": self.forget.digest})

    def _snapshot(self) -> Snapshot:
        images = torch.randint(256, (40, 1, 4, 4), generator=generator(0, "images")).to(torch.uint8)
        records = Records(images, torch.arange(40) % 2)
        return snapshots.build(records, source="made up", licence="CC0", class_names=("a", "b"))

    def new(self, name: str, operation: str = "first", **changed: Any) -> NewVersion:
        version = NewVersion(
            name=name,
            operation=operation,
            kind="original",
            folder=self.folder,
            digest=models.digest(self.folder),
            image_shape=(1, 4, 4),
            tags=Tags(status="registered", forget="none", parent="none"),
            description=f"{operation} of {name}",
        )
        if "tags" in changed:
            changed["tags"] = Tags.model_validate(changed["tags"])
        return replace(version, **changed)

    def register(self, name: str, operation: str = "first", **changed: Any) -> Version:
        return self.registry.register(self.new(name, operation, **changed))

    def run_of(self, version: Version) -> Any:
        return self.client.get_run(version.tags.run)

    def runs(self, operation: str) -> list[Any]:
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        assert experiment is not None
        return list(self.client.search_runs([experiment.experiment_id], f"tags.operation = '{operation}'"))


@pytest.fixture(scope="module")
def fixture(tmp_path_factory: pytest.TempPathFactory) -> Fixture:
    return Fixture(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Every test has a registered model of its own in the shared database."""
    return str(request.node.name).replace("[", "-").replace("]", "")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(UserError) as refused:
        call(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_first_version_is_number_one_and_serves_nobody_yet(fixture: Fixture, name: str) -> None:
    assert fixture.registry.versions(name) == []
    made = fixture.register(name)
    assert (made.name, made.version, made.aliases, made.description) == (name, "1", (), f"first of {name}")
    assert fixture.registry.versions(name) == [made]
    expected = {
        "status": "registered",
        "operation": "first",
        "kind": "original",
        "digest": models.digest(fixture.folder),
    }
    assert made.tags.written().items() >= expected.items()


def test_versions_count_up_and_come_oldest_first(fixture: Fixture, name: str) -> None:
    made = [fixture.register(name, str(number)) for number in range(2)]
    assert [each.version for each in made] == ["1", "2"]
    assert fixture.registry.versions(name) == made
    for _ in range(9):
        fixture.client.create_model_version(name, f"models:/{made[0].tags.logged_model}")
    assert [each.version for each in fixture.registry.versions(name)] == [str(number) for number in range(1, 12)]


def test_a_run_made_the_logged_model_and_records_what_is_known(fixture: Fixture, name: str) -> None:
    made = fixture.register(name, metrics={"knn": 0.75}, params={"seed": "7"}, files=(fixture.shown,))
    run = fixture.run_of(made)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"knn": 0.75}
    assert run.data.params == {"seed": "7"}
    assert run.data.tags.items() >= {"kind": "original", "operation": "first", "status": "registered"}.items()
    assert [each.model_id for each in run.outputs.model_outputs] == [made.tags.logged_model]
    assert run.inputs.model_inputs == []
    assert [each.path for each in fixture.client.list_artifacts(run.info.run_id)] == ["evaluation.json"]
    on_page = fixture.client.list_logged_model_artifacts(made.tags.logged_model)
    assert "evaluation.json" in [each.path for each in on_page]


def test_the_attempt_keeps_its_key_in_mlflow() -> None:
    tags = Tags(attempt="stronger_1")
    assert tags.written() == {"rung": "stronger_1"}
    assert Tags.model_validate(tags.written()) == tags


@pytest.mark.parametrize(
    ("attempt", "shown"),
    [("", ""), ("first", ""), ("retrained", ""), ("stronger_1", ", escalated setting 1")],
)
def test_a_run_has_a_name_of_its_own_and_says_what_its_version_says(
    fixture: Fixture, name: str, attempt: str, shown: str
) -> None:
    made = fixture.register(
        name, f"attempt {attempt}", kind="unlearned", description="It forgot.", tags={"rung": attempt}
    )
    run = fixture.run_of(made)
    assert run.info.run_name == f"unlearned {name}{shown}"
    assert run.data.tags["mlflow.note.content"] == made.description == "It forgot."
    experiment = fixture.client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    assert "Which version serves" in experiment.tags["mlflow.note.content"]


def test_the_parents_logged_model_is_an_input_of_the_childs_run(fixture: Fixture, name: str) -> None:
    parent = fixture.register(name)
    child = fixture.register(name, "second", kind="unlearned", parent=parent)
    grandchild = fixture.register(name, "third", kind="unlearned", parent=child)
    for old, new in ((parent, child), (child, grandchild)):
        run = fixture.run_of(new)
        assert [each.model_id for each in run.inputs.model_inputs] == [old.tags.logged_model]
        assert [each.model_id for each in run.outputs.model_outputs] == [new.tags.logged_model]
    assert len({each.tags.logged_model for each in (parent, child, grandchild)}) == 3
    assert fixture.client.get_logged_model(child.tags.logged_model).source_run_id == child.tags.run


def test_data_sets_are_inputs_with_role_size_and_digest(fixture: Fixture, name: str) -> None:
    source = fixture.snapshot.manifest.digest
    links = (
        DatasetLink("retain", fixture.split.digest, 16, source),
        DatasetLink("forget", fixture.forget.digest, 4, source),
        DatasetLink("holdout", fixture.split.digest, 8, source),
    )
    found = fixture.run_of(fixture.register(name, datasets=links)).inputs.dataset_inputs
    assert len(found) == 3
    by_role = {{tag.key: tag.value for tag in each.tags}["mlflow.data.context"]: each.dataset for each in found}
    for link in links:
        dataset = by_role[link.role]
        assert dataset.name == link.role
        assert len(dataset.digest) >= 32
        assert link.digest.startswith(dataset.digest)
        assert json.loads(dataset.profile) == {"records": link.records}
        assert json.loads(dataset.source) == {"snapshot": source}


def test_versions_can_be_searched_by_their_tags(fixture: Fixture, name: str) -> None:
    fixture.register(name, "a", tags={"status": "registered", "forget": "none", "verdict": "none"})
    fixture.register(name, "b", tags={"status": "registered", "forget": "f1", "verdict": "passed"})
    fixture.register(name, "c", tags={"status": "rejected", "forget": "f1", "verdict": "leaks"})

    def search(condition: str) -> list[str]:
        found = fixture.client.search_model_versions(filter_string=f"name = '{name}' and {condition}")
        return sorted(str(each.version) for each in found)

    assert search("tags.forget = 'f1'") == ["2", "3"]
    assert search("tags.forget = 'f1' and tags.verdict = 'passed'") == ["2"]
    assert search("tags.status != 'rejected'") == ["1", "2"]
    assert search("tags.operation = 'c'") == ["3"]
    assert search(f"tags.digest = '{models.digest(fixture.folder)}'") == ["1", "2", "3"]


def test_the_same_operation_twice_gives_the_same_version(fixture: Fixture, name: str) -> None:
    first = fixture.register(name, name)
    again = fixture.register(name, name, description="another", tags={"status": "changed"})
    assert again == first
    assert len(fixture.registry.versions(name)) == 1
    assert len(fixture.runs(name)) == 1


def test_an_operation_belongs_to_its_model(fixture: Fixture, name: str) -> None:
    assert fixture.register(f"{name}-a", name).tags.run != fixture.register(f"{name}-b", name).tags.run


def test_a_failed_registration_leaves_no_version_and_can_be_repeated(
    fixture: Fixture, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise ConnectionResetError("the server went away")

    with monkeypatch.context() as broken:
        broken.setattr(mlflow, "register_model", fail)
        assert "the server went away" in refusal(fixture.registry.register, fixture.new(name, name))
    assert fixture.registry.versions(name) == []
    assert fixture.register(name, name).version == "1"


def test_a_long_description_is_cut_to_what_every_database_takes(fixture: Fixture, name: str) -> None:
    assert fixture.register(name, description="x" * 7000).description == "x" * 5000


def aliases(fixture: Fixture, name: str) -> dict[str, str]:
    found = fixture.client.get_registered_model(name).aliases
    return {alias: str(version) for alias, version in found.items()}


def test_the_champion_moves_and_the_one_before_is_superseded(fixture: Fixture, name: str) -> None:
    registry = fixture.registry
    versions = [fixture.register(name, str(number)) for number in range(3)]
    assert registry.make_champion(versions[0]).aliases == (CHAMPION,)
    assert aliases(fixture, name) == {CHAMPION: "1"}
    assert registry.make_champion(versions[1]).aliases == (CHAMPION,)
    assert aliases(fixture, name) == {CHAMPION: "2", SUPERSEDED: "1"}
    registry.make_champion(versions[2])
    assert aliases(fixture, name) == {CHAMPION: "3", SUPERSEDED: "2"}
    status = [each.tags.status for each in registry.versions(name)]
    assert status == ["superseded", "superseded", "serving"]
    assert [each.tags.superseded_by for each in registry.versions(name)] == ["2", "3", "none"]


def test_a_version_that_serves_again_is_superseded_by_nothing(fixture: Fixture, name: str) -> None:
    first, second = (fixture.register(name, str(number)) for number in range(2))
    for version in (first, second, first):
        fixture.registry.make_champion(version)
    tags = [each.tags.written() for each in fixture.registry.versions(name)]
    assert [each["status"] for each in tags] == ["serving", "superseded"]
    assert [each["superseded_by"] for each in tags] == ["none", "1"]


def test_promoting_twice_changes_nothing(fixture: Fixture, name: str) -> None:
    first, second = (fixture.register(name, str(number)) for number in range(2))
    fixture.registry.make_champion(first)
    once = fixture.registry.make_champion(second)
    before = fixture.registry.versions(name)
    assert fixture.registry.make_champion(second) == once
    assert fixture.registry.versions(name) == before
    assert aliases(fixture, name) == {CHAMPION: "2", SUPERSEDED: "1"}


def test_a_promotion_that_was_interrupted_can_be_repeated(
    fixture: Fixture, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (fixture.register(name, str(number)) for number in range(2))
    fixture.registry.make_champion(first)
    real, calls = fixture.registry.client.set_registered_model_alias, []

    def fail_at_the_second(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise ConnectionResetError("the server went away")
        real(*arguments)

    with monkeypatch.context() as broken:
        broken.setattr(fixture.registry.client, "set_registered_model_alias", fail_at_the_second)
        assert "the server went away" in refusal(fixture.registry.make_champion, second)
    assert aliases(fixture, name)[CHAMPION] == "1"
    fixture.registry.make_champion(second)
    assert aliases(fixture, name) == {CHAMPION: "2", SUPERSEDED: "1"}


def times(version: Version) -> tuple[str, str]:
    return version.tags.served_at, version.tags.superseded_at


def is_recent(text: str) -> bool:
    moment = datetime.fromisoformat(text)
    return moment.tzinfo is not None and abs((datetime.now(UTC) - moment).total_seconds()) < 60


def test_when_a_version_began_to_serve_and_was_replaced_is_kept(fixture: Fixture, name: str) -> None:
    first, second = (fixture.register(name, str(number)) for number in range(2))
    assert is_recent(first.created)
    fixture.registry.make_champion(first)
    fixture.registry.make_champion(second)
    old, new = fixture.registry.versions(name)
    assert (is_recent(old.tags.served_at), old.tags.superseded_at) == (True, new.tags.served_at)
    assert new.tags.superseded_at == "none"


def test_a_repeated_promotion_keeps_the_time_of_the_first(fixture: Fixture, name: str) -> None:
    first, second = (fixture.register(name, str(number)) for number in range(2))
    fixture.registry.make_champion(first)
    served = fixture.registry.make_champion(second)
    earlier = "2020-01-01T00:00:00+00:00"
    fixture.registry.set_tags(served, Tags.model_validate({"served_at": earlier}))
    fixture.registry.set_tags(first, Tags.model_validate({"superseded_at": earlier}))
    # With what was read before it served, as a retried step has it.
    assert times(fixture.registry.make_champion(second)) == (earlier, "none")
    assert fixture.registry.resolve(name, "1").tags.superseded_at == earlier


def test_a_version_that_serves_again_does_so_from_now_on(fixture: Fixture, name: str) -> None:
    first, second = (fixture.register(name, str(number)) for number in range(2))
    fixture.registry.make_champion(first)
    fixture.registry.set_tags(first, Tags.model_validate({"served_at": "2020-01-01T00:00:00+00:00"}))
    fixture.registry.make_champion(second)
    assert is_recent(fixture.registry.make_champion(first).tags.served_at)


def test_a_promotion_cut_off_before_its_tags_is_finished_by_the_next(fixture: Fixture, name: str) -> None:
    first, second = (fixture.register(name, str(number)) for number in range(2))
    fixture.registry.make_champion(first)
    fixture.client.set_registered_model_alias(name, CHAMPION, second.version)
    served = fixture.registry.make_champion(second)
    assert served.tags.status == "serving"
    assert is_recent(served.tags.served_at)


def test_going_back_counts_from_then_on_even_where_it_was_cut_off_or_done_by_hand(fixture: Fixture, name: str) -> None:
    first, second = (fixture.register(name, str(number)) for number in range(2))
    earlier = {"served_at": "2020-01-01T00:00:00+00:00"}
    fixture.registry.make_champion(first)
    fixture.registry.set_tags(first, Tags.model_validate(earlier))
    fixture.registry.make_champion(second)
    fixture.client.set_registered_model_alias(name, CHAMPION, first.version)  # and no tags
    assert is_recent(fixture.registry.make_champion(first).tags.served_at)
    fixture.registry.set_tags(first, Tags.model_validate(earlier))
    fixture.client.set_registered_model_alias(name, CHAMPION, second.version)  # its tags still say that 1 serves
    assert is_recent(fixture.registry.make_champion(first).tags.served_at)


def test_versions_of_all_models_are_found_by_their_tags(fixture: Fixture, name: str) -> None:
    tags = {"request.R.1-x": name, "status": "registered"}
    first = fixture.register(f"{name}-b", "1", tags=tags)
    fixture.registry.make_champion(first)
    second = fixture.register(f"{name}-a", "1", tags=tags)
    third = fixture.register(f"{name}-a", "2", tags=tags | {"status": "rejected"})
    search = fixture.registry.search
    found = search(Tags.model_validate({"request.R.1-x": name}))
    assert found == [second, third, fixture.registry.resolve(first.name, "1")]
    assert [each.aliases for each in found] == [(), (), (CHAMPION,)]
    assert search(Tags.model_validate({"request.R.1-x": name, "status": "rejected"})) == [third]
    assert (
        search(Tags.model_validate({"request.R.1-x": name[:-1]}))
        == search(Tags.model_validate({"request.R.2": name}))
        == []
    )
    assert search(Tags.model_validate({"request.R.1-x": name[:-1]}), beginning=True) == found


@pytest.mark.parametrize("tags", [{"a'b": "c"}, {"a": "b' OR '1'='1"}, {"a`b": "c"}, {}])
def test_a_tag_that_would_change_the_search_is_refused(fixture: Fixture, tags: dict[str, str]) -> None:
    found = refusal(fixture.registry.search, Tags.model_validate(tags))
    assert "cannot be searched for" in found or "no tag to search for" in found


def test_more_versions_than_a_page_holds_are_all_read_while_they_change(
    fixture: Fixture, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [fixture.register(name, "0")]
    for _ in range(6):
        fixture.client.create_model_version(name, f"models:/{made[0].tags.logged_model}")
    real, pages = fixture.registry.client.search_model_versions, list[int]()

    def change_the_oldest_between_pages(*arguments: Any) -> Any:
        page = real(*arguments)
        pages.append(len(page))
        fixture.client.set_model_version_tag(name, "1", "touched", str(len(pages)))
        fixture.client.update_model_version(name, "1", description=f"touched {len(pages)}")
        return page

    monkeypatch.setattr(registry, "PAGE", 3)
    monkeypatch.setattr(fixture.registry.client, "search_model_versions", change_the_oldest_between_pages)
    assert [each.version for each in fixture.registry.versions(name)] == [str(number) for number in range(1, 8)]
    assert pages == [3, 3, 1]


class Torn:
    """Searches as MLflow does while another process changes what is searched for: a version comes without its tags."""

    def __init__(self, fixture: Fixture, times: int) -> None:
        self.real, self.left = fixture.registry.client.search_model_versions, times

    def __call__(self, *arguments: Any) -> Any:
        page = self.real(*arguments)
        if self.left:
            self.left -= 1
            for each in page:
                each._tags = {}
        return page


def test_a_version_that_comes_without_its_tags_is_looked_for_again(
    fixture: Fixture, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture.register(name, "a", tags={"status": "serving"})
    monkeypatch.setattr(fixture.registry.client, "search_model_versions", Torn(fixture, 2))
    (found,) = (
        each for each in fixture.registry.search(Tags.model_validate({"status": "serving"})) if each.name == name
    )
    assert found.tags.digest == models.digest(fixture.folder)
    monkeypatch.setattr(fixture.registry.client, "search_model_versions", Torn(fixture, 1000))
    assert "changes all the time" in refusal(fixture.registry.search, Tags(status="serving"))


def test_mlflow_gives_versions_without_tags_when_they_change_while_it_searches(fixture: Fixture, name: str) -> None:
    """Why the above is there: should MLflow mend this, it can go."""
    made = fixture.register(name, "a", tags={"status": "serving"})
    store: Any = fixture.client._get_registry_client().store  # type: ignore[no-untyped-call]
    queries: list[str] = []

    def before(*given: Any) -> None:
        reads_tags = given[2].startswith("SELECT model_version_tags")
        if reads_tags and not queries:
            queries.append(given[2])
            fixture.client.set_model_version_tag(name, made.version, "status", "superseded")

    event.listen(store.engine, "before_cursor_execute", before)
    found = fixture.client.search_model_versions(f"name = '{name}' AND tags.status = 'serving'")
    event.remove(store.engine, "before_cursor_execute", before)
    assert queries, "tags are not read by a query of their own any more"
    assert [dict(each.tags) for each in found] == [{}]


def test_a_file_of_the_run_is_read_even_after_the_weights_are_gone(fixture: Fixture, name: str) -> None:
    made = fixture.register(name, files=(fixture.shown,))
    assert [Path(each).name for each in fixture.registry.weights(made)] == ["weights.safetensors"]
    weights_of(fixture, made).unlink()
    assert fixture.registry.weights(made) == ()
    assert fixture.registry.read(made, "evaluation.json") == fixture.shown.read_bytes()
    assert fixture.registry.read(made, "audit.json") is None
    bare = made.model_copy(update={"tags": Tags()})
    assert fixture.registry.read(bare, "evaluation.json") is None


def test_pages_of_a_model_and_of_a_version_are_described(fixture: Fixture, name: str) -> None:
    made = fixture.register(name)
    fixture.registry.describe(name, "x" * 6000)
    fixture.registry.describe(name, "y" * 6000, made.version)
    assert fixture.client.get_registered_model(name).description == "x" * 5000
    assert fixture.registry.resolve(name, made.version).description == "y" * 5000
    assert "nobody" in refusal(fixture.registry.describe, "nobody", "x")


def test_registering_and_rejecting_never_move_the_champion(fixture: Fixture, name: str) -> None:
    champion = fixture.registry.make_champion(fixture.register(name))
    rejected = fixture.register(name, "second", tags={"status": "rejected"}, parent=champion)
    fixture.registry.set_tags(rejected, Tags.model_validate({"verdict": "leaks"}))
    assert aliases(fixture, name) == {CHAMPION: "1"}
    assert fixture.registry.resolve(name) == champion
    found = fixture.registry.resolve(name, "2")
    assert found.aliases == ()
    assert found.tags.written().items() >= {"status": "rejected", "verdict": "leaks"}.items()


def test_tags_are_added_and_replaced(fixture: Fixture, name: str) -> None:
    made = fixture.register(name)
    fixture.registry.set_tags(made, Tags.model_validate({"status": "rejected", "request.R1": "honoured"}))
    assert fixture.registry.resolve(name, "1").tags == made.tags.changed(
        Tags(status="rejected", requests={"R1": "honoured"})
    )


def test_a_version_is_found_by_number_and_by_alias(fixture: Fixture, name: str) -> None:
    first, second = (fixture.register(name, str(number)) for number in range(2))
    fixture.registry.make_champion(first)
    fixture.registry.make_champion(second)
    resolve = fixture.registry.resolve
    assert resolve(name).version == resolve(name, CHAMPION).version == resolve(name, "2").version == "2"
    assert resolve(name, SUPERSEDED).version == resolve(name, "1").version == "1"


def test_an_unknown_model_is_named(fixture: Fixture) -> None:
    found = refusal(fixture.registry.resolve, "nobody")
    assert found.startswith("model 'nobody' is not in the registry at sqlite:///")
    assert found.endswith(": pretrain it first")


@pytest.mark.parametrize("wanted", ["champion", "3", "0", "-1", "", "latest", "01"])
def test_an_unknown_version_names_those_there_are(fixture: Fixture, wanted: str) -> None:
    for operation in ("a", "b"):
        fixture.register("two-versions", operation)
    found = refusal(fixture.registry.resolve, "two-versions", wanted)
    assert found == f"model 'two-versions' has no version or alias {wanted!r}: it has versions 1 to 2"


HOSTILE = ["x'y", "' OR name LIKE '%", "x' AND tags.a = 'b", "a/b", "models:/x", "../x", "'"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_name_that_would_change_the_search_is_refused(fixture: Fixture, hostile: str) -> None:
    fixture.register("harmless")
    for call in (fixture.registry.versions, fixture.registry.resolve):
        assert "holds a quote, slash or colon: choose another" in refusal(call, hostile)
    assert "holds a quote" in refusal(fixture.registry.register, fixture.new(hostile))


@pytest.mark.parametrize("odd", ["%", "harm%", "harm_ess", 'harm"less', "harm\\less", "harm;less", "HARMLESS", ""])
def test_an_odd_name_is_no_pattern(fixture: Fixture, odd: str) -> None:
    fixture.register("harmless")
    assert fixture.registry.versions(odd) == []
    assert "is not in the registry" in refusal(fixture.registry.resolve, odd)


def test_a_downloaded_version_is_what_was_registered(fixture: Fixture, name: str, tmp_path: Path) -> None:
    made = fixture.register(name)
    folder = fixture.registry.download(made, tmp_path)
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == {
        each.name: each.read_bytes() for each in fixture.folder.iterdir()
    }
    assert models.digest(folder) == made.tags.digest
    assert provenance.load(folder).split == fixture.split.digest


def weights_of(fixture: Fixture, version: Version) -> Path:
    (found,) = (fixture.home / "mlartifacts").glob(f"models/{version.tags.logged_model}/**/weights.safetensors")
    return found


def test_purged_weights_are_missed_by_name(fixture: Fixture, name: str, tmp_path: Path) -> None:
    made = fixture.register(name)
    weights_of(fixture, made).unlink()
    found = refusal(fixture.registry.download, made, tmp_path)
    assert found == f"model {name} version 1 has no weights: were they purged?"


def test_neither_record_ids_nor_pickles_nor_images_reach_mlflow(fixture: Fixture, name: str) -> None:
    link = DatasetLink("forget", fixture.forget.digest, len(fixture.forget.ids), fixture.snapshot.manifest.digest)
    made = fixture.register(
        name, tags={"forget": fixture.forget.digest, "status": "s"}, datasets=(link,), files=(fixture.shown,)
    )
    folder = fixture.home / "mlartifacts" / "models" / made.tags.logged_model
    written = [each for each in fixture.home.rglob("*") if each.is_file()]
    names = {each.name for each in written}
    assert {"MLmodel", "mlflow.db", PROVENANCE_FILE, "weights.safetensors", "evaluation.json"} <= names
    assert not {each.suffix for each in written} & {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".npy", ".png"}
    content = b"".join(each.read_bytes() for each in written)
    assert fixture.forget.digest.encode() in content  # what is looked for would be found
    assert not [identity for identity in fixture.snapshot.manifest.record_ids if identity.encode() in content]
    assert not [image for image in fixture.snapshot.records.images if image.numpy().tobytes() in content]
    assert read_json(next(folder.rglob(PROVENANCE_FILE)), "")["forget"] == fixture.forget.digest


def test_opening_again_finds_everything_and_litters_nothing(
    fixture: Fixture, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = fixture.register(name)
    again = Registry(fixture.registry.uri)
    assert again.experiment == fixture.registry.experiment
    assert again.versions(name) == [made]
    again.download(made, tmp_path / "fetched")
    assert [each.name for each in tmp_path.iterdir()] == ["fetched"]
    assert weights_of(fixture, made).is_relative_to(fixture.home)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://127.0.0.1:9", "http://127.0.0.1:9"),
        # pragma: allowlist nextline secret
        ("http://alice:hunter2@127.0.0.1:9", "http://127.0.0.1:9"),
        # pragma: allowlist nextline secret
        ("http://alice:hunter2%40x@127.0.0.1:9/", "http://127.0.0.1:9/"),
        # pragma: allowlist nextline secret
        ("nonsense://alice:hunter2@somewhere/x", "nonsense://somewhere/x"),
    ],
)
def test_an_unreachable_server_is_one_line_without_the_password(uri: str, shown: str) -> None:
    started = time.monotonic()
    found = refusal(Registry, uri)
    assert time.monotonic() - started < 5
    assert found.startswith(f"MLflow at {shown}: ")
    assert found.endswith("; check MLFLOW_TRACKING_URI and the server")
    assert "hunter2" not in found
    assert "alice" not in found
    assert len(found) < 400


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("This is a text, and no database at all. " * 50)
    assert "file is not a database" in refusal(Registry, f"sqlite:///{tmp_path / 'file'}")
    assert "check MLFLOW_TRACKING_URI" in refusal(Registry, f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")


def test_an_error_without_words_still_says_what_it_was(
    fixture: Fixture, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(fixture.registry.client, "search_model_versions", fail)
    assert ": BrokenPipeError; check MLFLOW_TRACKING_URI" in refusal(fixture.registry.versions, name)


@pytest.mark.usefixtures("impatient")
def test_another_server_opened_later_does_not_take_the_registrations(
    fixture: Fixture, name: str, tmp_path: Path
) -> None:
    refusal(Registry, "http://127.0.0.1:9")
    made = fixture.register(name)
    refusal(Registry, "http://127.0.0.1:9")
    assert models.digest(fixture.registry.download(made, tmp_path)) == made.tags.digest


def test_the_address_is_shown_without_credentials(fixture: Fixture) -> None:
    assert fixture.registry.shown_uri == fixture.registry.uri
