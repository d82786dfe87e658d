"""Whatever makes something new from data asks for tombstones first."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unlearning.compliance.retention import tombstones as stones
from unlearning.compliance.retention.tombstones import refuse_erased
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.data import snapshots, splits
from unlearning.registry.client import Registry
from unlearning.steps.figures import measure
from unlearning.steps.ingest import IngestResult, ingest
from unlearning.steps.pretrain import pretrain
from unlearning.steps.references import make
from unlearning.steps.register import register
from unlearning.steps.resolve import resolve
from unlearning.steps.select import select
from unlearning.steps.split import split
from unlearning.steps.tombstones import tombstones
from unlearning.steps.unlearn import unlearn
from unlearning.storage.open import open_store
from unlearning.storage.store import Store

Chain = dict[str, Path]


@pytest.fixture
def store(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of this test alone, with what the chain's holds."""
    shutil.copytree(chain["home"] / "store", tmp_path / "store")
    monkeypatch.setenv("UNLEARNING_STORE", str(tmp_path / "store"))
    return open_store(settings.from_environment().store)


@pytest.fixture
def erased(chain: Chain, store: Store) -> tuple[str, ...]:
    """Two members and one holdout record, erased for two requests."""
    parts = splits.load(chain["split"])
    stones.add(store, parts.members[:2], request="case-7")
    stones.add(store, parts.holdout[:1], request="case-8")
    return (*parts.members[:2], *parts.holdout[:1])


def ingest_into(chain: Chain, folder: Path, **changed: Any) -> IngestResult:
    given: dict[str, Any] = {"recipe": str(chain["recipe"]), "overrides": "", "seed": 0} | changed
    return ingest(**given, snapshot_path=folder / "snapshot", recipe_path=folder / "recipe")


def test_a_source_that_holds_erased_records_is_refused_and_nothing_is_kept(
    chain: Chain, store: Store, erased: tuple[str, ...], tmp_path: Path
) -> None:
    before = store.list("")
    with pytest.raises(UserError, match=r"holds 3 erased records \(requests case-7, case-8\): .*erased=drop") as caught:
        ingest_into(chain, tmp_path / "out")
    assert not set(erased) & set(str(caught.value).split())
    assert not (tmp_path / "out").exists()
    assert store.list("") == before


def test_erased_records_are_dropped_where_that_is_asked_for(
    chain: Chain, erased: tuple[str, ...], tmp_path: Path
) -> None:
    whole = snapshots.load(chain["snapshot"])
    result = ingest_into(chain, tmp_path, erased="drop")
    assert (result.records, result.erased, result.duplicates) == (1794, 3, 0)
    made = snapshots.load(tmp_path / "snapshot")
    assert made.manifest == snapshots.without(whole, erased).manifest
    assert made.manifest.digest == result.digest != whole.manifest.digest
    snapshots.verify(made)


def test_dropping_from_a_source_that_holds_none_gives_the_same_snapshot(chain: Chain, tmp_path: Path) -> None:
    result = ingest_into(chain, tmp_path, erased="drop")
    assert (result.digest, result.erased) == (snapshots.load(chain["snapshot"]).manifest.digest, 0)


def test_erased_records_are_left_out_of_a_sample_and_no_others_are_drawn_instead(
    chain: Chain, store: Store, tmp_path: Path
) -> None:
    few = "data: {limit: 900}"
    ingest_into(chain, tmp_path / "before", overrides=few)
    sample = snapshots.load(tmp_path / "before" / "snapshot")
    stones.add(store, sample.manifest.record_ids[5:9], request="case-9")
    result = ingest_into(chain, tmp_path / "after", overrides=few, erased="drop")
    assert result.records == 896
    left = (*sample.manifest.record_ids[:5], *sample.manifest.record_ids[9:])
    assert snapshots.load(tmp_path / "after" / "snapshot").manifest.record_ids == left


def test_a_policy_without_meaning_writes_nothing(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="erased 'keep' is unknown: choose refuse or drop"):
        ingest_into(chain, tmp_path, erased="keep")
    assert list(tmp_path.iterdir()) == []


def makers(chain: Chain, out: Path) -> dict[str, Callable[[], object]]:
    """Everything that makes something new, given data from before the tombstones."""
    data: dict[str, Any] = {"snapshot_path": chain["snapshot"], "split_path": chain["split"]}
    models = {"original": chain["model"], "unlearned": chain["candidate"], "retrained": chain["retrained"]}
    return {
        "split": lambda: split(
            snapshot_path=chain["snapshot"], recipe_path=chain["resolved"], seed=0, split_path=out / "split"
        ),
        "pretrain": lambda: pretrain(
            **data, recipe_path=chain["resolved"], seed=0, device="cpu", model_path=out / "model"
        ),
        "references": lambda: make(
            **data, model_path=chain["model"], count=8, numbers=[0], device="cpu", references_path=out / "references"
        ),
        "register": lambda: register(
            model_path=chain["model"],
            split_path=chain["split"],
            evaluation_path=chain["before"],
            model_name="erased-meanwhile",
            run_name="late",
        ),
        "figures": lambda: measure(model_paths=models, **data, forget_path=chain["forget"], trace=True, device="cpu"),
    }


@pytest.mark.parametrize("name", ["split", "pretrain", "references", "register", "figures"])
def test_nothing_new_is_made_from_a_snapshot_of_before(
    chain: Chain, erased: tuple[str, ...], tmp_path: Path, name: str
) -> None:
    with pytest.raises(UserError, match=r"holds 3 erased records \(requests case-7, case-8\)") as caught:
        makers(chain, tmp_path / "out")[name]()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert Registry(settings.from_environment().tracking_uri).versions("erased-meanwhile") == []


@pytest.mark.parametrize("name", ["split", "pretrain"])
def test_other_erased_records_are_in_nobodys_way(chain: Chain, store: Store, tmp_path: Path, name: str) -> None:
    stones.add(store, ["0" * 64], request="case-1")
    makers(chain, tmp_path / "out")[name]()
    assert (tmp_path / "out").exists()


def test_the_version_that_is_to_forget_them_can_still_be_loaded_and_made_to_forget(
    chain: Chain, store: Store, tmp_path: Path
) -> None:
    register(
        model_path=chain["model"],
        split_path=chain["split"],
        evaluation_path=chain["before"],
        model_name="still-to-forget",
        run_name="first",
    )
    wanted = splits.load(chain["split"]).members[:3]
    stones.add(store, wanted, request="case-7")
    at = {name: tmp_path / name for name in ("model", "snapshot", "split")}
    paths: dict[str, Any] = {f"{name}_path": path for name, path in at.items()}
    resolve(model_name="still-to-forget", version="", **paths, references_path=tmp_path / "references")
    data: dict[str, Any] = {"snapshot_path": at["snapshot"], "split_path": at["split"]}
    chosen: dict[str, Any] = {"kind": "records", "fraction": 0.2, "class_name": "", "ids": " ".join(wanted)}
    assert select(**data, **chosen, seed=0, forget_path=tmp_path / "forget").records == 3
    for method in ("gradient_matching", "retrain"):
        unlearn(
            model_path=at["model"],
            **data,
            forget_path=tmp_path / "forget",
            method=method,
            overrides="",
            seed=0,
            device="cpu",
            candidate_path=tmp_path / method,
        )
        assert (tmp_path / method / "weights.safetensors").exists()


def test_the_digest_changes_with_what_was_erased(store: Store) -> None:
    none = tombstones()
    assert none == stones.digest({})
    stones.add(store, ["0" * 64], request="case-1")
    one = tombstones()
    stones.add(store, ["0" * 64], request="case-2")
    assert none != one == tombstones()


def test_what_was_not_erased_is_not_refused(store: Store) -> None:
    stones.add(store, ["0" * 64], request="case-1")
    refuse_erased(["1" * 64], "data", "do nothing")
    with pytest.raises(UserError, match=r"^data holds 1 erased record \(request case-1\): do nothing$"):
        refuse_erased(["1" * 64, "0" * 64], "data", "do nothing")
