"""Small records, models and objectives that many tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from tests.margins import WIDE
from unlearning.audit.policy import Policy
from unlearning.core.seeding import generator, initialisation
from unlearning.data.augmentations import AugmentationConfig
from unlearning.data.records import Records
from unlearning.learning.encoders import MLPConfig
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.learning.paradigms.byol import BYOL, BYOLConfig
from unlearning.learning.paradigms.moco import MoCo, MoCoConfig
from unlearning.learning.paradigms.simclr import SimCLR, SimCLRConfig
from unlearning.learning.paradigms.supervised import Supervised, SupervisedConfig
from unlearning.learning.training import OptimisationConfig, train

os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
settings.register_profile("tests", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("tests")

NO_AUGMENTATION = AugmentationConfig(crop_min_scale=1, flip=0, brightness=0, contrast=0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: begun last, one of them would keep a single core busy at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def random_records(count: int, seed: int = 0, shape: tuple[int, int, int] = (1, 4, 4), classes: int = 2) -> Records:
    draw = generator(seed, "noise")
    images = torch.randint(256, (count, *shape), generator=draw).to(torch.uint8)
    return Records(images, torch.randint(classes, (count,), generator=draw))


def small_model(
    paradigm: Paradigm,
    seed: int = 0,
    hidden: tuple[int, ...] = (12,),
    shape: tuple[int, int, int] = (1, 4, 4),
    classes: int = 2,
) -> Model:
    with initialisation(seed, "test"):
        return paradigm.build(MLPConfig(hidden=hidden), shape, tuple("abcdefghij"[:classes]))


@pytest.fixture
def noise() -> Callable[..., Records]:
    """Records with random pixels and labels: nothing to learn but the records themselves."""
    return random_records


@pytest.fixture
def separable() -> Callable[..., Records]:
    """Records of two classes, dark and bright, that any encoder can tell apart."""

    def make(count: int, seed: int = 0) -> Records:
        draw = generator(seed, "separable")
        labels = torch.arange(count) % 2
        pixels = torch.randint(0, 100, (count, 1, 4, 4), generator=draw) + 150 * labels[:, None, None, None]
        return Records(pixels.to(torch.uint8), labels)

    return make


@pytest.fixture
def simclr() -> SimCLR:
    return SimCLR(SimCLRConfig(temperature=0.5, projector_hidden=(8,), projection=6))


@pytest.fixture
def supervised() -> Supervised:
    return Supervised(SupervisedConfig(augmentation=NO_AUGMENTATION))


@pytest.fixture
def every_paradigm(simclr: SimCLR, supervised: Supervised) -> dict[str, Paradigm]:
    """Small objectives of all paradigms, by name."""
    moco = MoCoConfig(temperature=0.5, momentum=0.9, queue=24, projector_hidden=(8,), projection=6)
    byol = BYOLConfig(momentum=0.9, projector_hidden=(8,), predictor_hidden=(8,), projection=6)
    return {"simclr": simclr, "moco": MoCo(moco), "byol": BYOL(byol), "supervised": supervised}


@pytest.fixture
def build_model() -> Callable[..., Model]:
    """A small MLP with the paradigm's head and weights that follow from the seed."""
    return small_model


@dataclass(frozen=True)
class Memorised:
    """A model that learned 48 members of pure noise by heart, and 48 strangers it never saw."""

    model: Model
    paradigm: Paradigm
    members: Records
    strangers: Records


@cache
def memorise(name: str, seed: int) -> Memorised:
    weak = AugmentationConfig(crop_min_scale=0.8, flip=0, brightness=0.1, contrast=0.1)
    wide: dict[str, Any] = {"projector_hidden": (32,), "projection": 16, "augmentation": weak}
    paradigm: Paradigm
    match name:
        case "simclr":
            paradigm = SimCLR(SimCLRConfig(temperature=0.2, **wide))
        case "moco":
            paradigm = MoCo(MoCoConfig(temperature=0.2, momentum=0.9, queue=48, symmetric=True, **wide))
        case "byol":
            paradigm = BYOL(BYOLConfig(momentum=0.9, predictor_hidden=(32,), **wide))
        case _:
            paradigm = Supervised(SupervisedConfig(augmentation=weak))
    records = random_records(96, seed)
    model = small_model(paradigm, seed, hidden=(64,))
    config = OptimisationConfig(epochs=80, batch_size=48, learning_rate=0.01)
    train(model, paradigm, records[:48], config, seed=seed)
    return Memorised(model, paradigm, records[:48], records[48:])


@pytest.fixture
def memorised() -> Callable[[str, int], Memorised]:
    """One overfitted model per paradigm and seed, trained once per session: clone before changing it."""
    return memorise


TINY_RECIPE = """\
name: tiny
description: Digits in seconds.
data: {source: digits, image_side: 8}
split: {members: 300, calibration: 80, holdout: 300, test: 120}
encoder: {kind: mlp, hidden: [16]}
paradigm:
  name: supervised
  augmentation: {crop_min_scale: 1.0, flip: 0.0, brightness: 0.0, contrast: 0.0}
training: {epochs: 6, batch_size: 60, learning_rate: 0.01}
checkpoint_every: 2
signals: {queries: 2, batch_size: 120}
methods:
  gradient_matching: &stage
    optimisation: {epochs: 2, batch_size: 60, learning_rate: 0.001}
    weight: 0.1
    match: quantiles
    forget_batch: 24
  gradient_matching_stage2: *stage
  finetune: {epochs: 2, batch_size: 60, learning_rate: 0.001}
"""


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that every step runs in well under a second."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY_RECIPE)
    return path


def set_home(patch: pytest.MonkeyPatch, home: Path) -> None:
    """Let the settings of this process and its children point below `home`."""
    for variable in ("STORE", "DATA", "CHECKPOINTS", "PIPELINE_ROOT"):
        patch.delenv(f"UNLEARNING_{variable}", raising=False)
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    patch.setenv("UNLEARNING_HOME", str(home))
    patch.setenv("UNLEARNING_COMMIT", "test")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of this test alone."""
    set_home(monkeypatch, tmp_path / "home")
    return tmp_path / "home"


Chain = dict[str, Path]
"""What the steps made of the tiny recipe, by name; tests read it and never change it."""


def make_models(at: Chain) -> None:
    """Ingest, split, pretrain, train references, select, and unlearn by two methods."""
    # Imported here: MLflow's second is one that most tests can do without.
    from unlearning.steps.ingest import ingest
    from unlearning.steps.pretrain import pretrain
    from unlearning.steps.references import gather, make
    from unlearning.steps.select import select
    from unlearning.steps.split import split
    from unlearning.steps.unlearn import unlearn

    data: dict[str, Any] = {"snapshot_path": at["snapshot"], "split_path": at["split"]}
    ingest(recipe=str(at["recipe"]), overrides="", seed=0, snapshot_path=at["snapshot"], recipe_path=at["resolved"])
    split(snapshot_path=at["snapshot"], recipe_path=at["resolved"], seed=0, split_path=at["split"])
    pretrain(**data, recipe_path=at["resolved"], seed=0, device="cpu", model_path=at["model"])
    select(**data, kind="random", fraction=0.4, class_name="", ids="", seed=0, forget_path=at["forget"])
    references = [at["home"] / f"references-{first}" for first in (0, 1)]
    for first, part in enumerate(references):
        given = data | {"model_path": at["model"], "count": 8, "numbers": range(first, 8, 2)}
        make(**given, device="cpu", references_path=part)
    gather(parts=references, references_path=at["references"])
    inputs = data | {"model_path": at["model"], "forget_path": at["forget"]}
    for name, method, seed in (("candidate", "gradient_matching", 0), ("retrained", "retrain", 1)):
        unlearn(**inputs, method=method, overrides="", seed=seed, device="cpu", candidate_path=at[name])


def make_evidence(at: Chain) -> None:
    """Audit, evaluate before and after, and decide twice: with margins that pass and that cannot pass."""
    from unlearning.steps.audit import audit
    from unlearning.steps.decide import decide
    from unlearning.steps.evaluate import evaluate

    data: dict[str, Any] = {"snapshot_path": at["snapshot"], "split_path": at["split"]}
    models = {"original": at["model"], "candidate": at["candidate"], "retrained": at["retrained"]}
    paths: dict[str, Any] = {f"{name}_path": path for name, path in models.items()}
    paths |= {"references_path": at["references"], "forget_path": at["forget"]}
    audit(**data, **paths, seed=0, device="cpu", audit_path=at["audit"])
    before = {"original": at["model"]}
    evaluate(**data, model_paths=before, forget_path=None, device="cpu", evaluation_path=at["before"])
    evaluate(**data, model_paths=models, forget_path=at["forget"], device="cpu", evaluation_path=at["evaluation"])
    evidence: dict[str, Any] = {"audit_path": at["audit"], "evaluation_path": at["evaluation"]}
    for name, auc_margin in (("passed", 0.49), ("failed", 0.001)):
        policy = Policy(**WIDE | {"auc_margin": auc_margin})
        given = evidence | {"policy": policy, "method": "gradient_matching"}
        decide(**given, verdict_path=at[name])


ARTIFACTS = (
    "snapshot", "resolved", "split", "model", "references", "forget", "candidate", "retrained",
    "audit", "before", "evaluation", "passed", "failed",
)  # fmt: skip


@pytest.fixture(scope="session")
def finished_chain(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: Path) -> Chain:
    """One run of every step that writes an artifact; use `chain`, which also sets the home."""
    folder = tmp_path_factory.mktemp("chain")
    at = {"home": folder / "home", "recipe": tiny_recipe} | {name: folder / name for name in ARTIFACTS}
    with pytest.MonkeyPatch.context() as patch:
        set_home(patch, at["home"])
        make_models(at)
        make_evidence(at)
    return at


@pytest.fixture
def chain(finished_chain: Chain, monkeypatch: pytest.MonkeyPatch) -> Chain:
    """Paths of the finished artifacts, in the home whose store holds the snapshot and the split."""
    set_home(monkeypatch, finished_chain["home"])
    return finished_chain
