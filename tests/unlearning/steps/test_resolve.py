from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unlearning.audit.results import Reference
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.data import snapshots, splits
from unlearning.registry.client import Version
from unlearning.steps.promote import evidence_at, promote
from unlearning.steps.resolve import ResolveResult, resolve
from unlearning.storage.keys import references_key, snapshot_key, split_key

Chain = dict[str, Path]
OUTPUTS = ("model", "snapshot", "split", "references")


@pytest.fixture
def store(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the chain's store that may be tampered with."""
    copied = shutil.copytree(chain["home"] / "store", tmp_path / "store")
    monkeypatch.setenv("UNLEARNING_STORE", str(copied))
    return Path(copied)


def resolve_into(
    folder: Path, name: str, version: str = "", compare_with: Reference = "retrained", unlearned: int = 0
) -> ResolveResult:
    paths: dict[str, Any] = {f"{output}_path": folder / output for output in OUTPUTS}
    return resolve(model_name=name, version=version, compare_with=compare_with, unlearned=unlearned, **paths)


def content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def weights_of(chain: Chain, version: Version) -> Path:
    folder = chain["home"] / "mlartifacts" / "models" / version.tags.logged_model
    (found,) = folder.rglob("weights.safetensors")
    return found


@pytest.mark.parametrize("version", ["", "1", "champion"])
def test_everything_comes_back_byte_for_byte(chain: Chain, parent: Version, tmp_path: Path, version: str) -> None:
    result = resolve_into(tmp_path, parent.name, version)
    assert (result.version, result.digest) == (parent.version, parent.tags.digest)
    for output in OUTPUTS:
        assert content(tmp_path / output) == content(chain[output]), output


@pytest.mark.parametrize(
    ("name", "version", "problem"), [("nobody", "", "is not in the registry"), ("", "9", "no version or alias '9'")]
)
def test_an_unknown_model_or_version_is_refused(
    parent: Version, tmp_path: Path, name: str, version: str, problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        resolve_into(tmp_path, name or parent.name, version)
    assert list(tmp_path.iterdir()) == []


def test_references_that_are_asked_for_come_along(parent: Version, tmp_path: Path) -> None:
    assert resolve_into(tmp_path, parent.name, compare_with="references").references == 8


def test_more_references_than_there_are_to_unlearn_are_refused_before_anything_is_written(
    parent: Version, tmp_path: Path
) -> None:
    assert resolve_into(tmp_path / "enough", parent.name, unlearned=8).references == 8
    with pytest.raises(UserError, match="unlearned_references 10: the original has 8 references"):
        resolve_into(tmp_path / "short", parent.name, unlearned=10)
    assert not (tmp_path / "short").exists()


def lose_the_references(store: Path, version: Version) -> None:
    shutil.rmtree(store / references_key(version.tags.digest))


def test_a_version_without_references_is_refused_where_they_are_asked_for(
    parent: Version, store: Path, tmp_path: Path
) -> None:
    lose_the_references(store, parent)
    with pytest.raises(UserError, match=r"has no references to compare with: .* or give compare_with retrained$"):
        resolve_into(tmp_path, parent.name, compare_with="references")
    assert list(tmp_path.iterdir()) == [store]
    assert resolve_into(tmp_path, parent.name).references == 0


def test_a_version_without_references_is_compared_with_a_retrained_model_where_that_will_do(
    parent: Version, store: Path, tmp_path: Path
) -> None:
    """As in a recurring batch that goes by qualified methods, once the model has forgotten."""
    paths: dict[str, Any] = {f"{output}_path": tmp_path / output for output in OUTPUTS}
    asked: dict[str, Any] = {"model_name": parent.name, "version": "", "compare_with": "references", "unlearned": 8}
    found = resolve(**asked, or_retrained=True, **paths)
    assert (found.references, found.compared_with, found.unlearned) == (8, "references", 8)
    lose_the_references(store, parent)
    found = resolve(**asked, or_retrained=True, **paths)
    assert (found.references, found.compared_with, found.unlearned) == (0, "retrained", 0)


def test_a_version_that_has_forgotten_has_no_references_to_ask_for(
    parent: Version, evidence: dict[str, Path], tmp_path: Path
) -> None:
    made = promote(evidence_at(**evidence), model_name=parent.name, parent="1", run_name="run")
    with pytest.raises(UserError, match="version 2 has forgotten before, so it has no references") as caught:
        resolve_into(tmp_path, parent.name, made.version, compare_with="references")
    assert "unlearn step references" not in str(caught.value), "there is no way to make any"
    assert list(tmp_path.iterdir()) == []


def test_weights_that_changed_in_the_registry_are_refused(chain: Chain, parent: Version, tmp_path: Path) -> None:
    stored = weights_of(chain, parent)
    stored.write_bytes(stored.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match="the stored weights are not those registered"):
        resolve_into(tmp_path, parent.name)
    assert list(tmp_path.iterdir()) == []


def change_seed(store: Path, split: splits.Split) -> None:
    path = store / split_key(split.digest)
    write_json(path, read_json(path, "split") | {"seed": 7})


def change_a_value(store: Path, split: splits.Split) -> None:
    path = store / snapshot_key(split.snapshot) / snapshots.RECORDS_FILE
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 255
    path.write_bytes(raw)


def cut_the_records(store: Path, split: splits.Split) -> None:
    path = store / snapshot_key(split.snapshot) / snapshots.RECORDS_FILE
    path.write_bytes(path.read_bytes()[:-100])


def lose_the_split(store: Path, split: splits.Split) -> None:
    (store / split_key(split.digest)).unlink()


def lose_the_snapshot(store: Path, split: splits.Split) -> None:
    shutil.rmtree(store / snapshot_key(split.snapshot))


@pytest.mark.parametrize(
    ("tamper", "problem"),
    [
        (change_seed, "was changed in the store"),
        (change_a_value, "does not hold the (images|labels)"),
        (cut_the_records, "is damaged or not a snapshot"),
        (lose_the_split, "has no 'splits/"),
        (lose_the_snapshot, "has nothing under 'snapshots/"),
    ],
)
def test_data_that_changed_in_the_store_is_refused_and_nothing_is_written(
    chain: Chain,
    parent: Version,
    store: Path,
    tmp_path: Path,
    tamper: Callable[[Path, splits.Split], None],
    problem: str,
) -> None:
    tamper(store, splits.load(chain["split"]))
    with pytest.raises(UserError, match=problem) as caught:
        resolve_into(tmp_path, parent.name)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [store]
