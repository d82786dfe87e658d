from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from unlearning.core.seeding import initialisation
from unlearning.learning import models
from unlearning.learning.encoders import MLPConfig, SmallResNetConfig
from unlearning.learning.models import Model
from unlearning.learning.paradigms.simclr import SimCLR, SimCLRConfig
from unlearning.learning.paradigms.supervised import Supervised, SupervisedConfig
from unlearning.registry.client import NewVersion, Registry
from unlearning.registry.pyfunc_model import Encoder
from unlearning.registry.tags import Tags

pytestmark = pytest.mark.slow

Images = npt.NDArray[np.uint8]
Answer = dict[str, npt.NDArray[np.float32]]

CLASSES = ("a", "b", "c")

CLIENT = """
import json, sys
import mlflow, numpy as np

images = np.load(sys.argv[1])
answers, refused = {}, []
for name in ("supervised", "simclr"):
    model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    for size in images.files:
        for key, value in model.predict(images[size]).items():
            answers[f"{name} {size} {key}"] = value
    channels = images["own"].shape[1]
    for wrong in (images["own"].astype(np.float32), np.repeat(images["own"], 2, axis=1), images["own"][0]):
        try:
            model.predict(wrong)
        except mlflow.exceptions.MlflowException as error:
            refused.append(type(error).__name__)
np.savez(sys.argv[2], **answers)
import unlearning
print(json.dumps({"code": unlearning.__file__, "refused": refused}))
"""


def images_of(count: int, channels: int, height: int, width: int) -> Images:
    return np.random.default_rng(0).integers(256, size=(count, channels, height, width), dtype=np.uint8)


def built(paradigm: Any, encoder: Any, shape: tuple[int, int, int]) -> Model:
    with initialisation(0, "test"):
        model: Model = paradigm.build(encoder, shape, CLASSES)
    # Statistics unlike those of a new model: serving in training mode would show.
    for name, value in model.named_buffers():
        if name.endswith("running_mean"):
            value.uniform_(-0.5, 0)
    return model.eval()


SHAPE = (2, 4, 4)
IMAGES = {"own": images_of(5, *SHAPE), "double": images_of(5, 2, 8, 8), "oblong": images_of(3, 2, 12, 4)}


class Served:
    """Two registered champions and what a process that knows only MLflow gets from them."""

    def __init__(self, home: Path) -> None:
        self.models = {
            "supervised": built(Supervised(SupervisedConfig()), SmallResNetConfig(width=2), SHAPE),
            "simclr": built(SimCLR(SimCLRConfig(projector_hidden=(8,), projection=6)), MLPConfig(hidden=(7,)), SHAPE),
        }
        registry = Registry(f"sqlite:///{home / 'mlflow.db'}")
        for name, model in self.models.items():
            folder = home / name
            models.save(model, folder)
            new = NewVersion(name, "op", "original", folder, models.digest(folder), SHAPE, Tags(status="s"), "text")
            registry.make_champion(registry.register(new))
        self.artifacts = home / "mlartifacts"
        np.savez(home / "images.npz", allow_pickle=False, **IMAGES)
        environment = os.environ | {
            "MLFLOW_TRACKING_URI": registry.uri,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        }
        elsewhere = home / "elsewhere"
        elsewhere.mkdir()
        ran = subprocess.run(
            [sys.executable, "-c", CLIENT, str(home / "images.npz"), str(home / "answers.npz")],
            env=environment,
            cwd=elsewhere,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        self.report: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
        with np.load(home / "answers.npz") as answers:
            self.answers = dict(answers)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("serving"))


def area_averaged(images: Images) -> Images:
    """To 4 × 4 by the mean of equal tiles."""
    count, channels, height, width = images.shape
    tiles = images.reshape(count, channels, 4, height // 4, 4, width // 4).astype(np.float64)
    averaged: Images = tiles.mean(axis=(3, 5)).round().astype(np.uint8)
    return averaged


@pytest.mark.slow
@pytest.mark.parametrize("name", ["supervised", "simclr"])
@pytest.mark.parametrize("size", IMAGES)
def test_a_fresh_process_without_pickle_gets_the_models_own_features(served: Served, name: str, size: str) -> None:
    pixels = torch.from_numpy(area_averaged(IMAGES[size])).float() / 255
    with torch.no_grad():
        expected = served.models[name].features(pixels).numpy()
    found = served.answers[f"{name} {size} embedding"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert np.ptp(expected, axis=0).max() > 1e-3


@pytest.mark.parametrize("size", IMAGES)
def test_a_supervised_model_gives_class_probabilities(served: Served, size: str) -> None:
    found = served.answers[f"supervised {size} score"]
    assert found.shape == (len(IMAGES[size]), len(CLASSES))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert (found > 0).all()
    with torch.no_grad():
        logits = served.models["supervised"](torch.from_numpy(area_averaged(IMAGES[size])).float() / 255)
    assert found.argmax(axis=1).tolist() == logits.argmax(dim=1).tolist()
    np.testing.assert_allclose(np.log(found[:, 0] / found[:, 1]), logits[:, 0] - logits[:, 1], atol=1e-4)


def test_a_contrastive_model_gives_embeddings_alone(served: Served) -> None:
    keys = {key for key in served.answers if key.startswith("simclr")}
    assert keys == {f"simclr {size} embedding" for size in IMAGES}


def test_the_code_that_serves_is_the_code_that_was_registered(served: Served) -> None:
    assert Path(served.report["code"]).is_relative_to(served.artifacts)


def test_what_is_no_batch_of_images_is_refused(served: Served) -> None:
    """Floats, four channels and a single image without its batch, by either model."""
    assert served.report["refused"] == ["MlflowException"] * 6


def test_no_pickle_is_among_the_artifacts(served: Served) -> None:
    written = [each for each in served.artifacts.rglob("*") if each.is_file()]
    assert {"MLmodel", "pyfunc_model.py", "weights.safetensors", "model.json"} <= {each.name for each in written}
    assert not [
        each for each in written if each.suffix in {".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib", ".npy"}
    ]
    # A pickle of protocol 2 or later starts with 0x80 and its protocol and ends with a full stop.
    content = [each.read_bytes() for each in written]
    assert not [each for each in content if each[:1] == b"\x80" and each[-1:] == b"."]


@pytest.fixture
def encoder(tmp_path: Path) -> Callable[[Model], Any]:
    def load(model: Model) -> Any:
        models.save(model, tmp_path / "model")
        loaded = Encoder()
        loaded.load_context(SimpleNamespace(artifacts={"model": str(tmp_path / "model")}))
        return loaded

    return load


def test_an_answer_does_not_depend_on_the_company(encoder: Callable[[Model], Any]) -> None:
    model = encoder(built(Supervised(SupervisedConfig()), MLPConfig(hidden=(7,)), SHAPE))
    together: Answer = model.predict(None, IMAGES["own"])
    for row in range(5):
        alone = model.predict(None, IMAGES["own"][row : row + 1])
        for key, value in together.items():
            np.testing.assert_allclose(alone[key], value[row : row + 1], rtol=1e-4, atol=1e-6)


def test_lists_of_numbers_are_images_too(encoder: Callable[[Model], Any]) -> None:
    """A REST request arrives as JSON."""
    model = encoder(built(Supervised(SupervisedConfig()), MLPConfig(hidden=(7,)), SHAPE))
    expected: Answer = model.predict(None, IMAGES["own"])
    for key, value in model.predict(None, IMAGES["own"].tolist(), {"unused": 1}).items():
        np.testing.assert_array_equal(value, expected[key])


def test_serving_leaves_the_images_and_the_weights_alone(encoder: Callable[[Model], Any]) -> None:
    model = encoder(built(Supervised(SupervisedConfig()), MLPConfig(hidden=(7,)), SHAPE))
    state = {name: value.clone() for name, value in model.model.state_dict().items()}
    before = IMAGES["double"].copy()
    model.predict(None, IMAGES["double"])
    np.testing.assert_array_equal(IMAGES["double"], before)
    assert all(torch.equal(value, state[name]) for name, value in model.model.state_dict().items())
