from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unlearning import recipes
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.core.files import read_json
from unlearning.data import snapshots
from unlearning.data.records import record_ids
from unlearning.data.sources.digits import digits
from unlearning.recipes.recipe import validate_recipe
from unlearning.steps.evaluate import evaluate
from unlearning.steps.ingest import IngestResult, ingest
from unlearning.steps.pretrain import pretrain
from unlearning.steps.register import register
from unlearning.steps.split import split
from unlearning.storage.keys import snapshot_key
from unlearning.storage.open import open_store

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
    resolved = validate_recipe(read_json(chain["resolved"], "recipe"), "resolved")
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
    resolved = validate_recipe(read_json(tmp_path / "recipe", "recipe"), "resolved")
    assert resolved.training.epochs == 3
    assert resolved.training.batch_size == 60


def test_subjects_stay_in_the_snapshot(home: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    """Through to the registry: nothing else that is kept names a person."""
    owned = record_ids(digits(tmp_path).records.images)[:50]
    listed = [f"{identity},ann-of-the-lane" for identity in owned]
    (tmp_path / "owners.csv").write_text("\n".join(["record_id,subject", *listed]))
    at = {name: tmp_path / "made" / name for name in ("snapshot", "recipe", "split", "model", "evaluation")}
    overrides = f"data: {{subjects: {tmp_path / 'owners.csv'}}}"
    result = ingest(
        recipe=str(tiny_recipe), overrides=overrides, seed=0, snapshot_path=at["snapshot"], recipe_path=at["recipe"]
    )
    assert snapshots.load(at["snapshot"]).manifest.subjects == dict.fromkeys(owned, ("ann-of-the-lane",))
    data: dict[str, Any] = {"snapshot_path": at["snapshot"], "split_path": at["split"]}
    split(snapshot_path=at["snapshot"], recipe_path=at["recipe"], seed=0, split_path=at["split"])
    pretrain(**data, recipe_path=at["recipe"], seed=0, device="cpu", model_path=at["model"])
    original = {"original": at["model"]}
    evaluate(**data, model_paths=original, forget_path=None, device="cpu", evaluation_path=at["evaluation"])
    register(
        model_path=at["model"],
        split_path=at["split"],
        evaluation_path=at["evaluation"],
        model_name="owned",
        run_name="first",
    )
    kept = [path for folder in (home, tmp_path / "made") for path in folder.rglob("*") if path.is_file()]
    naming = {path for path in kept if b"ann-of-the-lane" in path.read_bytes()}
    stored = home / "store" / snapshot_key(result.digest)
    assert naming == {folder / snapshots.MANIFEST_FILE for folder in (at["snapshot"], stored)}
    assert any(path.name == "mlflow.db" for path in kept)


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [("training: {epoch: 3}", "training.epoch"), ("data: {source: nowhere}", "unknown data source 'nowhere'")],
)
def test_a_bad_recipe_writes_nothing(chain: Chain, tmp_path: Path, overrides: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        ingest_again(chain, tmp_path, overrides)
    assert list(tmp_path.iterdir()) == []
