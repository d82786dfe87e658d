from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.unlearning.erasures import erased_ids
from unlearning.compliance.requests import intake
from unlearning.compliance.requests.requests import Request
from unlearning.compliance.retention.inventory import Locations, certified, erased_snapshots
from unlearning.compliance.retention.policy import Item
from unlearning.compliance.retention.purge import plan, purge
from unlearning.compliance.retention.run_artifacts import scan
from unlearning.compliance.retention.withdraw import withdraw
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.core.files import write_json
from unlearning.data import snapshots
from unlearning.registry.client import Registry
from unlearning.registry.tags import Tags
from unlearning.steps.ingest import ingest
from unlearning.steps.pretrain import pretrain
from unlearning.steps.split import split
from unlearning.storage.keys import complete_key, snapshot_key
from unlearning.storage.local import LocalStore

Chain = dict[str, Path]
Leaks = Callable[[], dict[str, list[str]]]
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=31)


@pytest.fixture
def locations(home: Path) -> Locations:
    home.mkdir(exist_ok=True)
    where = settings.from_environment()
    return Locations.of(where, Registry(where.tracking_uri))


def of_kind(kind: str, **given: Any) -> list[Item]:
    return [item for item in plan(now=LATER, **given).items if item.kind == kind]


def withdrawn() -> None:
    withdraw(model_name="tiny", records={"R1": erased_ids()}, now=NOW, grace_days=30)


def test_a_request_is_certified_when_an_event_was_sealed_as_such(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for key in ("R.1/00000009.certified.ab", "R2/00000001.received.cd", "R2/00000009.fulfilled.ef", "certified/1.x.y"):
        store.create(f"seals/{key}", b"")
    assert certified(store) == {"R.1"}


def test_erased_records_in_data_that_no_version_stands_for(erasure: Any, home: Path, tmp_path: Path) -> None:
    store = LocalStore(home / "store")
    old, _ = erasure.snapshots
    day = datetime(2026, 1, 1, tzinfo=UTC)
    assert erased_snapshots(store, (), frozenset({"R1"}), day) == {old}
    assert erased_snapshots(store, (old,), frozenset({"R1"}), day) == frozenset()
    assert erased_snapshots(store, (), frozenset(), day) == frozenset()
    assert erased_snapshots(store, (), frozenset({"R1"}), day - timedelta(seconds=1)) == frozenset()
    # The original stands for the old one, until it is purged.
    assert of_kind("snapshot") == []
    kept = snapshots.load(home / "store/snapshots" / old)
    more = snapshots.build(kept.records[:20], source="more", licence="CC0", class_names=("a", "b"))
    assert erased_ids() & set(more.manifest.record_ids)
    snapshots.save(more, tmp_path / "more")
    store.put_folder(snapshot_key(more.manifest.digest), tmp_path / "more")
    store.create(complete_key(more.manifest.digest), b"")
    snapshots.save(more, home / "run-tiny/tasks/other/snapshot")
    (item,) = of_kind("snapshot")
    assert item.keys == (complete_key(more.manifest.digest), snapshot_key(more.manifest.digest))
    assert [each.keys for each in of_kind("copy")] == [("run-tiny/tasks/other/snapshot",)]
    early = plan(now=datetime(2026, 1, 15, tzinfo=UTC))
    assert not [each for each in early.items if each.kind == "snapshot"]
    purge(now=LATER)
    assert store.list(f"snapshots/{more.manifest.digest}") == []
    assert store.list(f"snapshots/{old}") != []
    assert not (home / "run-tiny/tasks/other/snapshot").exists()


@pytest.mark.usefixtures("erasure")
def test_a_registration_that_was_cut_off_leaves_nothing(
    home: Path, leaks: Leaks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow has the weights then, and no version leads to them."""
    registry = Registry(settings.from_environment().tracking_uri)
    original = registry.resolve("tiny", "1")
    new = _again(registry, home)
    with monkeypatch.context() as broken:
        broken.setattr(mlflow, "register_model", _fail)
        with pytest.raises(UserError, match="the server went away"):
            registry.register(new)
    assert len(leaks()["1"]) > 2
    withdrawn()
    # It was logged just now, and may be about to be registered.
    assert purge(now=datetime.now(UTC), at_once=True).versions[0].version == original.version
    assert [place.split("/")[0] for place in leaks()["1"]] == ["mlartifacts"]
    tomorrow = datetime.now(UTC) + timedelta(days=1, minutes=1)
    (item,) = [each for each in plan(now=tomorrow).items if each.kind == "leftover"]
    assert item.keys[0] != original.tags.logged_model
    purge(now=tomorrow)
    assert leaks() == {}


def _fail(*arguments: Any, **options: Any) -> None:
    raise ConnectionResetError("the server went away")


def _again(registry: Registry, home: Path) -> Any:
    from unlearning.registry.client import NewVersion

    original = registry.resolve("tiny", "1")
    tags = {name: original.tags.written()[name] for name in ("snapshot", "split", "parent", "parent_digest")}
    return NewVersion(
        name="tiny",
        operation="again",
        kind="original",
        folder=home / "run-tiny/tasks/pretrain/model",
        digest=original.tags.digest,
        image_shape=(1, 12, 12),
        tags=Tags.model_validate(tags),
        description="",
    )


def test_a_checkpoint_says_what_it_was_trained_on(
    chain: Chain, erasure: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a real training that was cut off goes with its data, however young."""
    del erasure
    monkeypatch.setenv("UNLEARNING_HOME", str(home))
    given: dict[str, Any] = {"snapshot_path": tmp_path / "snapshot", "recipe_path": tmp_path / "recipe"}
    digest = ingest(recipe=str(chain["recipe"]), overrides="", seed=0, **given).digest
    split(**given, seed=0, split_path=tmp_path / "split")
    monkeypatch.setattr("unlearning.learning.models.save", _fail)
    with pytest.raises(ConnectionResetError):
        pretrain(**given, split_path=tmp_path / "split", seed=0, device="cpu", model_path=tmp_path / "model")
    (folder,) = (home / "checkpoints").glob("pretrain-*")
    assert f"checkpoints/{folder.name}" not in str(of_kind("checkpoint"))
    registry = Registry(settings.from_environment().tracking_uri)
    registry.set_tags(registry.resolve("tiny", "1"), Tags.model_validate({"snapshot": digest}))
    withdrawn()
    assert (folder.name,) in [item.keys for item in of_kind("checkpoint")]
    purge(now=LATER)
    assert not folder.exists()


@pytest.mark.usefixtures("erasure")
def test_a_damaged_checkpoint_goes_when_it_is_stale(home: Path) -> None:
    name = f"pretrain-{'0a' * 8}"
    path = home / "checkpoints" / name / "state.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"cut off")
    os.utime(path, (LATER.timestamp() - 29 * 86_400,) * 2)
    assert (name,) not in [item.keys for item in of_kind("checkpoint")]
    os.utime(path, (LATER.timestamp() - 31 * 86_400,) * 2)
    assert (name,) in [item.keys for item in of_kind("checkpoint")]


@pytest.mark.usefixtures("erasure")
def test_a_request_stays_as_long_as_something_waits_for_it() -> None:
    withdrawn()
    assert [item for item in plan(now=NOW).items if item.kind in ("request", "batch")] == []
    (request,), (batch,) = of_kind("request"), of_kind("batch")
    assert request.keys[-1] == "requests/R1.json", "the object that says where the rest is goes last"
    assert [key.split("/")[0] for key in request.keys] == ["same", "requests"]
    assert batch.keys == ("batches/of-R1",)


@pytest.mark.parametrize("decide", [intake.withdraw, intake.reject])
def test_who_asked_for_what_goes_a_grace_period_after_it_was_given_up(locations: Locations, decide: Any) -> None:
    for name in ("R1", "R2"):
        asked = Request.model_validate({"id": name, "subject": "ann", "received": NOW})
        intake.add(locations.store, [asked], by="office", now=NOW)
    decide(locations.store, "R1", reason="changed their mind", by="office", now=NOW)
    assert list(of_kind_at(NOW + timedelta(days=29))) == []
    (item,) = of_kind_at(NOW + timedelta(days=30))
    assert (item.keys[-1], item.why) == ("requests/R1.json", "the request was withdrawn or rejected")
    purge(now=NOW + timedelta(days=30))
    assert locations.store.list("requests") == ["requests/R2.json"]


def of_kind_at(now: datetime) -> list[Item]:
    return [item for item in plan(now=now).items if item.kind == "request"]


@pytest.mark.usefixtures("erasure")
def test_a_batch_that_does_not_say_for_whom_it_is_stops_the_purge(home: Path) -> None:
    (home / "store/batches/of-R1.json").write_text('{"models": []}')
    with pytest.raises(UserError, match=r"batch object 'batches/of-R1.json' is damaged"):
        plan(now=LATER)


@pytest.mark.usefixtures("erasure")
def test_what_nobody_here_wrote_is_never_purged(home: Path) -> None:
    """Old files of other programs, among the checkpoints and in the pipeline root."""
    save_file({"w": np.zeros(1, np.float32)}, home / "checkpoints/theirs.safetensors", {"format": "pt"})
    others = [home / "checkpoints/notes.txt", home / "checkpoints/model/thesis.partial", home / "checkpoints/x.tmp"]
    others += [home / "run/.config.settings", home / "run/.cache.abcdefgh/thing"]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"theirs")
    others.append(home / "checkpoints/theirs.safetensors")
    long_ago = LATER.timestamp() - 400 * 86_400
    for path in (*others, *(each.parent for each in others)):
        os.utime(path, (long_ago, long_ago))
    planned = plan(now=LATER)
    assert not any(path.name in str(planned) for path in others)
    purge(now=LATER)
    assert all(path.exists() for path in others)


@pytest.mark.usefixtures("erasure")
def test_beside_a_file_of_somebody_else_only_the_checkpoint_goes(home: Path) -> None:
    folder = home / "checkpoints" / f"pretrain-{'0b' * 8}"
    folder.mkdir()
    for name in ("state.safetensors", "notes.txt"):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (LATER.timestamp() - 31 * 86_400,) * 2)
    assert (f"{folder.name}/state.safetensors",) in [item.keys for item in of_kind("checkpoint")]
    purge(now=LATER)
    assert [each.name for each in folder.iterdir()] == ["notes.txt"]


def test_what_was_never_finished_is_planned_and_goes_when_it_is_a_day_old(home: Path) -> None:
    half = [home / "store/.staging/tmpabc", home / "run/tasks/ingest/.snapshot.unlearning-ab12cd_9/records.safetensors"]
    whole = [home / "run/tasks/.kfp_cache/ab.json", home / "run/tasks/ingest/snapshot/.hidden", home / ".gitignore"]
    for path in (*half, *whole):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    old = NOW.timestamp() - 86_400
    for path in (*half, half[1].parent, *whole):
        os.utime(path, (old, old))
    assert [item for item in plan(now=NOW).items if item.kind == "unfinished"] == []
    later = NOW + timedelta(seconds=1)
    found = [item for item in plan(now=later).items if item.kind == "unfinished"]
    assert sorted((item.objects, item.keys) for item in found) == [
        (1, ()), (1, ("run/tasks/ingest/.snapshot.unlearning-ab12cd_9",)),
    ]  # fmt: skip
    assert all(path.exists() for path in half)
    assert purge(now=later).objects == 2
    assert not any(path.exists() for path in half)
    assert not half[1].parent.exists()
    assert all(path.exists() for path in whole)


def test_what_lies_in_the_home_but_is_no_run_is_not_searched(locations: Locations, home: Path) -> None:
    assert set(locations.hidden) == {"checkpoints", "mlartifacts", "store"}
    for folder in (*locations.hidden, "run"):
        write_json(home / folder / "split", {"snapshot": "s", "seed": 0, "members": ["m"], "holdout": []})
    assert [copy.key for copy in scan(locations.root, locations.hidden)] == ["run/split"]
