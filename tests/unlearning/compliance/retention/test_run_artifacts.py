from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kfp.local.cache import LocalCache

from unlearning.audit.qualification.files import SETS_FILE, SetsManifest
from unlearning.compliance.retention.run_artifacts import cache_entries, scan
from unlearning.core.files import sha256_json, write_json
from unlearning.data import forget_set, snapshots, splits
from unlearning.data.past_forget_sets import PastForgetSets, save
from unlearning.data.provenance import PROVENANCE_FILE
from unlearning.learning import models
from unlearning.storage.local import LocalStore

Chain = dict[str, Path]


def put(root: Path, chain: Chain, *names: str) -> LocalStore:
    store = LocalStore(root)
    for name in names:
        place = f"run/tasks/{name}-1/{name}"
        store.put_folder(place, chain[name]) if chain[name].is_dir() else store.put_file(place, chain[name])
    return store


def test_every_artifact_says_what_it_is(chain: Chain, tmp_path: Path) -> None:
    """Told by content: what real steps wrote, under whatever name."""
    names = ("snapshot", "split", "forget", "model", "candidate", "references", "audit", "evaluation", "resolved")
    store = put(tmp_path, chain, *names)
    store.put_file("elsewhere/renamed.json", chain["split"])
    found = {copy.key: copy for copy in scan(store)}
    snapshot, split = snapshots.load(chain["snapshot"]).manifest, splits.load(chain["split"])
    assert {key: copy.kind for key, copy in found.items()} == {
        "run/tasks/snapshot-1/snapshot": "snapshot", "run/tasks/split-1/split": "split",
        "elsewhere/renamed.json": "split", "run/tasks/forget-1/forget": "forget", "run/tasks/model-1/model": "model",
        "run/tasks/candidate-1/candidate": "model", "run/tasks/references-1/references": "references",
    }  # fmt: skip
    by_name = {key.rpartition("/")[2]: copy for key, copy in found.items()}
    assert (by_name["snapshot"].digest, by_name["snapshot"].records) == (
        snapshot.digest,
        frozenset(snapshot.record_ids),
    )
    assert (by_name["split"].digest, by_name["split"].snapshot) == (split.digest, snapshot.digest)
    assert by_name["forget"].digest == forget_set.load(chain["forget"]).split == split.digest
    original = models.digest(chain["model"])
    assert by_name["references"].digest == original
    model, candidate = by_name["model"], by_name["candidate"]
    assert (model.digest, model.parent, model.snapshot) == (original, "", snapshot.digest)
    assert (candidate.digest, candidate.parent) == (models.digest(chain["candidate"]), original)
    for copy in found.values():
        assert not copy.last or store.exists(f"{copy.key}/{copy.last}")


def test_what_was_forgotten_before_goes_with_the_snapshot_that_it_was_copied_from(chain: Chain, tmp_path: Path) -> None:
    ids, split = forget_set.load(chain["forget"]).ids, splits.load(chain["split"])
    save(PastForgetSets(split="s" * 64, ids=ids, gone=0), chain["snapshot"], tmp_path / "before")
    store = LocalStore(tmp_path / "root")
    store.put_folder("run/tasks/resolve-1/forgotten_before", tmp_path / "before")
    (found,) = scan(store)
    assert (found.kind, found.key) == ("snapshot", "run/tasks/resolve-1/forgotten_before")
    assert found.digest == split.snapshot


def test_forgotten_sets_of_a_qualification_are_told_by_their_original(tmp_path: Path) -> None:
    """They say how single records look, and go with the original as its references do."""
    manifest = SetsManifest(
        original="a" * 64, split="b" * 64, method="finetune", settings={}, seed=0, sets={3: 8}, numbers={3: (1, 5)}
    )
    write_json(tmp_path / "run/part" / SETS_FILE, manifest.model_dump(mode="json"))
    (tmp_path / "run/part/3-0001.safetensors").write_bytes(b"signals")
    (found,) = scan(LocalStore(tmp_path))
    assert (found.kind, found.key, found.digest, found.last) == ("sets", "run/part", "a" * 64, SETS_FILE)


def test_a_model_without_a_history_is_told_by_its_weights(chain: Chain, tmp_path: Path) -> None:
    store = put(tmp_path, chain, "model")
    for content in (b"not json", b"{}", None):
        path = tmp_path / "run/tasks/model-1/model" / PROVENANCE_FILE
        path.unlink() if content is None else path.write_bytes(content)
        (found,) = scan(store)
        assert (found.digest, found.snapshot, found.parent) == (models.digest(chain["model"]), "", "")


def test_a_file_of_another_version_of_the_library_does_not_go_unnoticed(chain: Chain, tmp_path: Path) -> None:
    store = put(tmp_path, chain, "snapshot", "split")
    for path in (tmp_path / "run/tasks/snapshot-1/snapshot/manifest.json", tmp_path / "run/tasks/split-1/split"):
        write_json(path, json.loads(path.read_text()) | {"subjects": ["x"]})
    assert {copy.kind for copy in scan(store)} == {"snapshot", "split"}


@pytest.mark.parametrize("name", ["manifest.json", "references.json", "split", "forget.json", "deep/er/forget"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"{broken", b"\xff\xfe", b'{"kind": "x", "ids": []}'])
def test_what_is_not_ours_is_left_alone(tmp_path: Path, name: str, content: bytes) -> None:
    store = LocalStore(tmp_path)
    store.create(f"run/{name}", content)
    store.create("weights.safetensors", b"in the root itself, which is no artifact")
    assert list(scan(store)) == []


def test_hidden_folders_are_not_looked_into(chain: Chain, tmp_path: Path) -> None:
    store = put(tmp_path, chain, "snapshot", "split")
    assert list(scan(store, ("run",))) == []
    assert len(list(scan(store, ("ru", "run/tasks/s")))) == 2


def test_a_digest_does_not_depend_on_how_the_file_is_laid_out(chain: Chain, tmp_path: Path) -> None:
    content: dict[str, Any] = json.loads(chain["split"].read_text())
    store = LocalStore(tmp_path)
    store.create("split", json.dumps(dict(reversed(content.items()))).encode())
    (found,) = scan(store)
    assert found.digest == splits.load(chain["split"]).digest == sha256_json(content)


def test_the_cache_leads_nowhere_that_was_purged(tmp_path: Path) -> None:
    """kfp.local's own cache: with its entry gone, the task runs again."""
    from kfp import dsl

    (tmp_path / "run/tasks/pretrain/model").mkdir(parents=True)
    (tmp_path / "run/tasks/pretrain/model-2").mkdir(parents=True)
    cache = LocalCache(str(tmp_path / "run/tasks/.kfp_cache"))
    for key, name in (("a", "model"), ("b", "model-2")):
        cache.put(key, {"model": dsl.Model(uri=str(tmp_path / "run/tasks/pretrain" / name)), "number": 1})
    store = LocalStore(tmp_path)
    found = list(cache_entries(store, str(tmp_path), frozenset({"run/tasks/pretrain/model"})))
    assert found == ["run/tasks/.kfp_cache/a.json"]
    assert cache.get("a") is not None
    store.purge(found[0])
    assert (cache.get("a"), cache.get("b") is not None) == (None, True)
