"""Where the trials of the compliance batches' faults begin: two tiny models that serve, and open requests."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from unlearning.compliance.certificates import keys
from unlearning.compliance.requests import intake
from unlearning.compliance.requests.requests import Request
from unlearning.core import settings
from unlearning.core.config import Config
from unlearning.core.files import read_json, write_json
from unlearning.data import splits
from unlearning.data.splits import Split
from unlearning.registry.client import Registry
from unlearning.steps.evaluate import evaluate
from unlearning.steps.ingest import ingest
from unlearning.steps.pretrain import pretrain
from unlearning.steps.register import register
from unlearning.steps.split import split
from unlearning.storage.open import open_store
from unlearning.storage.store import Store

ACCEPTING = {"shop": "accept_retrained", "till": "accept"}
"""The models, and what becomes of their candidates, of which so few records cannot tell: the first one's first
candidate is rejected and the retrained one accepted, the second one's first is accepted."""

RECIPE = """\
name: tiny
description: Digits in seconds.
data: {source: digits, image_side: 8}
split: {members: 200, calibration: 60, holdout: 200, test: 100}
encoder: {kind: mlp, hidden: [16]}
paradigm:
  name: supervised
  augmentation: {crop_min_scale: 1.0, flip: 0.0, brightness: 0.0, contrast: 0.0}
training: {epochs: 4, batch_size: 50, learning_rate: 0.01}
signals: {queries: 2, batch_size: 100}
methods:
  gradient_matching: &stage
    optimisation: {epochs: 1, batch_size: 50, learning_rate: 0.001}
    weight: 0.1
    match: quantiles
    forget_batch: 12
  gradient_matching_stage2: *stage
  finetune: {epochs: 1, batch_size: 50, learning_rate: 0.001}
"""


class World(Config):
    """Folders of one worker; paths are absolute, as MLflow's are, so a home is put back where it was."""

    folder: Path
    asked: dict[str, tuple[str, ...]]
    """Records of each request that is to be fulfilled."""
    never_trained: tuple[str, ...]
    """Requests for records that no model was trained on."""
    unknown: tuple[str, ...]
    """Requests for records that nobody has."""

    @property
    def home(self) -> Path:
        """What the product sees."""
        return self.folder / "home"

    @property
    def saved(self) -> Path:
        """The home as it was at the beginning."""
        return self.folder / "saved"

    @property
    def made(self) -> Path:
        """Candidates and their evidence, which follow from what they are made of."""
        return self.folder / "made"

    @property
    def key(self) -> keys.PrivateKey:
        """That certificates are signed with."""
        return keys.load_private(self.folder / "key.pem")

    @property
    def store(self) -> Store:
        """The home's."""
        return open_store(settings.from_environment().store)

    @property
    def registry(self) -> Registry:
        """The home's."""
        return Registry(settings.from_environment().tracking_uri)

    def restore(self) -> None:
        """Begin anew. No process may have the home open."""
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.folder / "work", ignore_errors=True)
        shutil.copytree(self.saved, self.home)


def load(folder: Path) -> World:
    """The world that `build` has made."""
    return World.model_validate(read_json(folder / "world.json", "world"))


def environment(folder: Path, commit: str) -> dict[str, str]:
    """The settings of every process of a world."""
    return {
        "UNLEARNING_HOME": str(folder / "home"),
        "UNLEARNING_STORE": str(folder / "home" / "store"),
        "UNLEARNING_CHECKPOINTS": str(folder / "home" / "checkpoints"),
        "UNLEARNING_PIPELINE_ROOT": str(folder / "home"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'home' / 'mlflow.db'}",
        "UNLEARNING_COMMIT": commit,
    }


def register_original(folder: Path, *, recipe: str, overrides: str, names: Sequence[str]) -> Split:
    """Train an original by the pipeline's own steps, and let it serve as version 1 of each model; returns its split."""
    at = {name: folder / name for name in ("snapshot", "split", "resolved", "model", "before")}
    data: dict[str, Any] = {"snapshot_path": at["snapshot"], "split_path": at["split"]}
    ingest(recipe=recipe, overrides=overrides, seed=0, snapshot_path=at["snapshot"], recipe_path=at["resolved"])
    split(snapshot_path=at["snapshot"], recipe_path=at["resolved"], seed=0, split_path=at["split"])
    pretrain(**data, recipe_path=at["resolved"], seed=0, device="cpu", model_path=at["model"])
    models = {"original": at["model"]}
    evaluate(**data, model_paths=models, forget_path=None, device="cpu", evaluation_path=at["before"])
    for name in names:
        register(
            model_path=at["model"],
            split_path=at["split"],
            evaluation_path=at["before"],
            model_name=name,
            run_name="first",
        )
    return splits.load(at["split"])


def build(folder: Path) -> None:
    """Train and register the models, ask for erasures, and keep a copy of it all."""
    recipe = folder / "tiny.yaml"
    recipe.write_text(RECIPE)
    divided = register_original(folder / "original", recipe=str(recipe), overrides="", names=tuple(ACCEPTING))
    asked = {
        "R1": divided.members[:8],
        "R2": divided.members[6:14],
        "R3": divided.members[20:23],
        "quiet": (divided.holdout[0], divided.test[1]),
        "unknown": ("0" * 64,),
    }
    now = datetime.now(UTC)
    some = [Request(id=name, records=ids, received=now - timedelta(days=3)) for name, ids in asked.items()]
    intake.add(open_store(settings.from_environment().store), some, by="benchmark", now=now)
    keys.write_private(keys.new(), folder / "key.pem")
    asked.pop("unknown")
    world = World(folder=folder, asked=asked, never_trained=("quiet",), unknown=("unknown",))
    write_json(folder / "world.json", world.model_dump(mode="json"))
    shutil.copytree(world.home, world.saved)
