from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from tests.unlearning.steps.interruption import files_below
from tests.unlearning.steps.registered import versions
from unlearning.audit.policy import Margins
from unlearning.audit.qualification.files import load_set, set_file
from unlearning.audit.qualification_results import Qualification
from unlearning.audit.references.signals import save_none
from unlearning.core.errors import TrainingDivergedError, UserError
from unlearning.core.files import read_json
from unlearning.core.settings import from_environment
from unlearning.data import splits
from unlearning.learning import models
from unlearning.recipes import provenance
from unlearning.recipes.unlearning import run_method
from unlearning.registry.client import Version
from unlearning.steps.qualify import conclude, forget
from unlearning.storage.keys import qualification_folder
from unlearning.storage.open import open_store
from unlearning.storage.qualifications import load_all

Chain = dict[str, Path]
WIDE = Margins(auc_margin=0.49, utility_margin=0.5, record_margin=0.9, memory_margin=0.99)


@pytest.fixture(autouse=True)
def nothing_stays(chain: Chain) -> Iterator[None]:
    """The store is shared with other tests."""
    yield
    open_store(from_environment().store).purge(qualification_folder(models.digest(chain["model"])))


def forget_into(chain: Chain, path: Path, share: str, **changed: Any) -> None:
    given: dict[str, Any] = {
        "model_path": chain["model"], "references_path": chain["references"], "snapshot_path": chain["snapshot"],
        "split_path": chain["split"], "method": "finetune", "overrides": "{epochs: 1}", "sizes": "2", "sets": 8,
        "seed": 3, "device": "cpu",
    }  # fmt: skip
    forget(**given | changed, share=share, part_path=path)


def concluded(chain: Chain, folder: Path, margins: Margins = WIDE) -> list[Qualification]:
    parts = [folder / "a", folder / "b"]
    for part, share in zip(parts, ("2: 0 2 4 6", "2: 1 3 5 7"), strict=True):
        forget_into(chain, part, share)
    return conclude(
        parts=parts, references_path=chain["references"], margins=margins, qualifications_path=folder / "found"
    )


def test_what_is_found_is_kept_with_the_original_and_shown(chain: Chain, parent: Version, tmp_path: Path) -> None:
    (found,) = concluded(chain, tmp_path)
    assert (found.original, found.split) == (models.digest(chain["model"]), splits.load(chain["split"]).digest)
    assert (found.method, found.size, found.sets, found.records, found.references) == ("finetune", 2, 8, 16, 8)
    assert found.settings["epochs"] == 1
    assert found.seconds > 0
    assert load_all(open_store(from_environment().store), found.original) == (found,)
    assert read_json(tmp_path / "found", "qualifications") == [found.model_dump(mode="json")]
    (original,) = versions(parent.name)
    assert original.tags.qualifications == {"finetune.2": found.told}
    assert "Qualification of finetune: " in original.description
    ids = splits.load(chain["split"]).ids
    assert not any(each in found.model_dump_json() for each in ids), "no record is named"


def test_a_set_depends_on_its_number_alone(chain: Chain, tmp_path: Path) -> None:
    forget_into(chain, tmp_path / "two", "2: 1 5")
    forget_into(chain, tmp_path / "one", "2: 5")
    first, again = (load_set(tmp_path / part / set_file(2, 5)).shown for part in ("two", "one"))
    assert first is not None
    assert again is not None
    assert np.array_equal(first.confidences, again.confidences)
    assert np.array_equal(first.placed["loss"][0], again.placed["loss"][0])


def test_an_interrupted_share_forgets_no_set_again(
    chain: Chain, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []

    def counted(*given: Any, **more: Any) -> Any:
        if len(done) == 2:
            raise ConnectionAbortedError("the machine went away")
        done.append(1)
        return run_method(*given, **more)

    with monkeypatch.context() as patch:
        patch.setattr("unlearning.recipes.qualification.run_method", counted)
        with pytest.raises(ConnectionAbortedError):
            forget_into(chain, tmp_path / "part", "2: 0 1 2")
    assert not (tmp_path / "part").exists()
    left, split = files_below(checkpoints), splits.load(chain["split"])
    assert sorted(path.name for path in left) == [set_file(2, 0), set_file(2, 1)]
    with safe_open(str(left[0]), framework="np") as handle:  # so that a purge of that data finds it
        assert {"snapshot": split.snapshot, "split": split.digest}.items() <= handle.metadata().items()
    done.pop()
    monkeypatch.setattr("unlearning.recipes.qualification.run_method", counted)
    forget_into(chain, tmp_path / "part", "2: 0 1 2")
    assert len(done) == 2, "one set was left to forget, and a second one would have been stopped"
    assert files_below(checkpoints) == []


def test_a_set_of_which_the_method_made_no_model_counts(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*given: Any, **more: Any) -> None:
        raise TrainingDivergedError("the loss became nan")

    with monkeypatch.context() as patch:
        patch.setattr("unlearning.recipes.qualification.run_method", diverge)
        (found,) = concluded(chain, tmp_path)
    assert (found.outcome, found.diverged) == ("not_qualified", 8)


def test_what_cannot_be_qualified_is_refused(chain: Chain, tmp_path: Path) -> None:
    out, split = tmp_path / "part", splits.load(chain["split"])
    with pytest.raises(UserError, match="a method is qualified on an original, before it forgets"):
        forget_into(chain, out, "2: 0", model_path=chain["candidate"])
    none = tmp_path / "none"
    save_none(models.digest(chain["model"]), split, provenance.load(chain["model"]).recipe.signals, none)
    with pytest.raises(UserError, match="has no references to compare with: pretrain with reference_models"):
        forget_into(chain, out, "2: 0", references_path=none)
    with pytest.raises(UserError, match="retrain needs no qualification"):
        forget_into(chain, out, "2: 0", method="retrain", overrides="")
    with pytest.raises(UserError, match="method 'magic' is unknown"):
        forget_into(chain, out, "2: 0", method="magic", overrides="")
    with pytest.raises(UserError, match="8 sets at least are needed, which 300 members do not make"):
        forget_into(chain, out, "40: 0", sizes="40")
    assert not out.exists()
