"""What KFP's cache may and may not bring back, on real runs of the pipeline's first tasks."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.form import Channels, pipeline
from pipelines.local import fork_server_launch
from pipelines.local.runner import outputs_of, running
from pipelines.parameters import Training
from pipelines.pretraining import prepare
from unlearning.compliance.retention import tombstones
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.data import snapshots, splits
from unlearning.data.splits import Split
from unlearning.storage.keys import snapshot_key
from unlearning.storage.open import open_store

Go = Callable[[str], Split]
TASKS = ("ingest", "split")


@pipeline(name="prepare", description="The first tasks of pretraining, as it wires them.", form={"training": Training})
def first_tasks(training: Channels) -> None:
    prepare(training)


@pytest.fixture
def go(home: Path, tiny_recipe: Path) -> Iterator[Go]:
    """Runs them, each time in the same folder with the same cache; the split that training would get."""
    (home / "run").mkdir(parents=True)

    def run(erased: str) -> Split:
        with running(home / "run", quiet=False):
            first_tasks(recipe=str(tiny_recipe), erased=erased)
        return splits.load(
            Path(outputs_of(home / "run", "prepare", "split")["artifacts"]["split"]["artifacts"][0]["uri"])
        )

    with fork_server_launch.tasks():
        yield run


def from_cache(capfd: pytest.CaptureFixture[str]) -> list[str]:
    shown = capfd.readouterr().err
    return [task for task in TASKS if f"· {task}: done before, taken from the cache" in shown]


@pytest.mark.nightly
def test_the_cache_brings_back_nothing_that_was_erased_since(
    go: Go, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = go("refuse")
    assert from_cache(capfd) == []
    assert go("refuse") == first
    assert from_cache(capfd) == ["ingest", "split"], "what has not changed is not done again"
    store = open_store(settings.from_environment().store)
    erased = (*first.members[:2], *first.test[:1])
    tombstones.add(store, erased, request="case-7")
    with pytest.raises(UserError, match=r"holds 3 erased records \(request case-7\)"):
        go("refuse")
    assert from_cache(capfd) == []
    without = go("drop")
    assert from_cache(capfd) == []
    assert not set(erased) & set(without.ids)
    store.get_folder(snapshot_key(without.snapshot), tmp_path / "snapshot")
    assert not set(erased) & set(snapshots.load(tmp_path / "snapshot").manifest.record_ids)
