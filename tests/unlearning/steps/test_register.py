from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.data import splits
from unlearning.learning import models
from unlearning.registry.client import Registry, Version
from unlearning.steps.register import register

Chain = dict[str, Path]


def test_an_original_serves_as_champion(chain: Chain, parent: Version) -> None:
    assert (parent.version, parent.aliases) == ("1", ("champion",))
    wanted = {
        "kind": "original",
        "status": "serving",
        "method": "pretrain",
        "verdict": "none",
        "parent": "none",
        "forget": "none",
        "digest": models.digest(chain["model"]),
        "split": splits.load(chain["split"]).digest,
        "run_name": "first",
    }
    assert wanted.items() <= parent.tags.written().items()


def test_pages_tell_of_an_original(parent: Version) -> None:
    client = Registry(settings.from_environment().tracking_uri).client
    since = parent.tags.served_at
    assert client.get_registered_model(parent.name).description == (
        f"[Version 1](#/models/{parent.name}/versions/1) serves since {since}. It honours no erasure requests."
    )
    assert parent.description.startswith("Original: ")
    assert parent.description.endswith(
        f"The original, trained on snapshot `{parent.tags.snapshot}`. It serves since {since}."
    )


def test_registering_twice_changes_nothing(chain: Chain, parent: Version) -> None:
    inputs = {"model_path": chain["model"], "split_path": chain["split"], "evaluation_path": chain["before"]}
    assert register(**inputs, model_name=parent.name, run_name="first") == parent
    assert Registry(settings.from_environment().tracking_uri).versions(parent.name) == [parent]


def test_the_same_weights_with_other_settings_to_unlearn_them_are_another_version(
    chain: Chain, parent: Version, tmp_path: Path
) -> None:
    """Unlearning takes its settings from the registered model, so an old version must not stand in."""
    model = tmp_path / "model"
    shutil.copytree(chain["model"], model)
    content = read_json(model / "provenance.json", "provenance")
    content["recipe"]["methods"]["finetune"]["epochs"] += 1
    write_json(model / "provenance.json", content)
    inputs = {"model_path": model, "split_path": chain["split"], "evaluation_path": chain["before"]}
    made = register(**inputs, model_name=parent.name, run_name="first")
    assert made.version == "2"
    assert made.tags.digest == parent.tags.digest


def test_an_evaluation_of_another_model_is_refused(chain: Chain, home: Path) -> None:
    with pytest.raises(UserError, match="is of another model"):
        register(
            model_path=chain["candidate"],
            split_path=chain["split"],
            evaluation_path=chain["before"],
            model_name="",
            run_name="x",
        )
    assert not home.exists()


def test_a_split_that_is_not_in_the_store_is_refused(chain: Chain, home: Path) -> None:
    """Nothing could be unlearned from a version whose split nobody has."""
    with pytest.raises(UserError, match="is not in the store"):
        register(
            model_path=chain["model"],
            split_path=chain["split"],
            evaluation_path=chain["before"],
            model_name="",
            run_name="x",
        )
    assert not (home / "mlflow.db").exists()
