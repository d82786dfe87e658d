from __future__ import annotations

from pathlib import Path

import pytest

from unlearning import recipes, settings, snapshots
from unlearning.errors import UserError
from unlearning.files import read_json
from unlearning.steps.ingest import IngestResult, ingest
from unlearning.steps.stored import snapshot_key
from unlearning.store import open_store

Chain = dict[str, Path]


def ingest_again(chain: Chain, folder: Path, overrides: str = "") -> IngestResult:
    return ingest(
        recipe=str(chain["recipe"]),
        overrides=overrides,
        seed=0,
        snapshot_path=folder / "snapshot",
        recipe_path=folder / "recipe",
    )


def stored_files(chain: Chain, digest: str) -> dict[str, tuple[int, bytes]]:
    """Inode and content of everything the store holds of a snapshot."""
    files = sorted((chain["home"] / "store" / "snapshots").glob(f"{digest}*/**/*"))
    marker = chain["home"] / "store" / f"{snapshot_key(digest)}.complete"
    return {path.name: (path.stat().st_ino, path.read_bytes()) for path in [*files, marker]}


def test_snapshot_and_recipe_are_written_and_valid(chain: Chain) -> None:
    snapshot = snapshots.load(chain["snapshot"])
    snapshots.verify(snapshot)
    assert len(snapshot.records) == 1797
    resolved = recipes.validate(read_json(chain["resolved"], "recipe"), "resolved")
    assert resolved == recipes.load(str(chain["recipe"]))


def test_a_snapshot_is_put_in_the_store_once(chain: Chain, tmp_path: Path) -> None:
    digest = snapshots.load(chain["snapshot"]).manifest.digest
    before = stored_files(chain, digest)
    assert set(before) == {snapshots.RECORDS_FILE, snapshots.MANIFEST_FILE, f"{digest}.complete"}
    assert ingest_again(chain, tmp_path).digest == digest
    assert stored_files(chain, digest) == before
    assert snapshots.load(tmp_path / "snapshot").manifest == snapshots.load(chain["snapshot"]).manifest


def test_a_snapshot_whose_storing_was_cut_short_is_stored_again(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNLEARNING_STORE", str(tmp_path / "store"))
    digest = ingest_again(chain, tmp_path).digest
    store = open_store(settings.from_environment().store)
    (tmp_path / "store" / snapshot_key(digest) / snapshots.RECORDS_FILE).write_bytes(b"half")
    store.delete(f"{snapshot_key(digest)}.complete")
    ingest_again(chain, tmp_path)
    store.get_folder(snapshot_key(digest), tmp_path / "fetched")
    snapshots.verify(snapshots.load(tmp_path / "fetched"))


def test_overrides_reach_the_resolved_recipe(chain: Chain, tmp_path: Path) -> None:
    result = ingest_again(chain, tmp_path, "data: {limit: 900}\ntraining: {epochs: 3}")
    assert (result.records, result.duplicates) == (900, 0)
    resolved = recipes.validate(read_json(tmp_path / "recipe", "recipe"), "resolved")
    assert resolved.training.epochs == 3
    assert resolved.training.batch_size == 60


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [("training: {epoch: 3}", "training.epoch"), ("data: {source: nowhere}", "unknown data source 'nowhere'")],
)
def test_a_bad_recipe_writes_nothing(chain: Chain, tmp_path: Path, overrides: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        ingest_again(chain, tmp_path, overrides)
    assert list(tmp_path.iterdir()) == []
