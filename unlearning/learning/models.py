"""A model: backbone, heads and what is needed to build it again, saved without pickle."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import new_folder, read_json, sha256_file, write_json
from unlearning.learning.encoders import EncoderConfig, build_backbone

WEIGHTS_FILE = "weights.safetensors"
SPEC_FILE = "model.json"


class HeadConfig(Config):
    """Fully connected layers behind the backbone; the last one is linear."""

    hidden: tuple[int, ...] = ()
    outputs: int = Field(gt=0)


class ModelSpec(Config):
    """Everything but the weights."""

    paradigm: str
    encoder: EncoderConfig
    image_shape: tuple[int, int, int]
    head: HeadConfig
    class_names: tuple[str, ...]
    predictor: HeadConfig | None = None
    """BYOL's predictor, behind the head."""
    momentum: bool = False
    """Whether a slow copy of backbone and head follows them: MoCo's momentum encoder, BYOL's target."""
    queue: int = Field(0, ge=0)
    """How many keys of earlier batches MoCo keeps as negatives."""
    gradient_target: tuple[float, ...] = ()
    """τ of stage 2: quantiles of log g over non-members, measured when the model was trained."""


def _head(features: int, config: HeadConfig) -> nn.Module:
    layers: list[nn.Module] = []
    size = features
    for hidden in config.hidden:
        layers += [nn.Linear(size, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()]
        size = hidden
    return nn.Sequential(*layers, nn.Linear(size, config.outputs))


class Model(nn.Module):
    """Backbone and head, and the state that a paradigm trains them with.

    `forward` goes all the way: projections for contrastive paradigms, logits for the supervised
    one. `features` stops at the backbone, which is what serves after training.

    `momentum` and `queue` are no parameters: no gradient reaches them, the paradigm moves them.
    They are saved with the weights, since they remember records as the weights do.
    """

    queue: Tensor
    queue_position: Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = build_backbone(spec.encoder, spec.image_shape)
        self.head = _head(spec.encoder.features, spec.head)
        if spec.predictor is not None:
            self.predictor = _head(spec.head.outputs, spec.predictor)
        if spec.momentum:
            self.momentum = nn.Sequential(copy.deepcopy(self.backbone), copy.deepcopy(self.head)).requires_grad_(False)
        if spec.queue:
            self.register_buffer("queue", F.normalize(torch.randn(spec.queue, spec.head.outputs), dim=1))
            self.register_buffer("queue_position", torch.zeros((), dtype=torch.int64))

    def features(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) pixels in [0, 1] to (B, D) backbone features."""
        return self.backbone(pixels)  # type: ignore[no-any-return]

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) pixels in [0, 1] to (B, P) projections or class logits."""
        return self.head(self.backbone(pixels))  # type: ignore[no-any-return]

    def clone(self) -> Model:
        """An independent copy with the same weights and mode."""
        return copy.deepcopy(self)


def save(model: Model, path: Path) -> None:
    """Write the model's folder (weights.safetensors, model.json) in one step.

    Raises:
        UserError: a weight is not finite, so the model must not be kept.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    for name, value in weights.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise UserError(f"model weight {name!r} is not finite: nothing was saved; lower the learning rate")
    with new_folder(path) as folder:
        save_file(weights, str(folder / WEIGHTS_FILE))
        write_json(folder / SPEC_FILE, model.spec.model_dump(mode="json"))


def load(path: Path, device: torch.device | str = "cpu") -> Model:
    """Read a model, in evaluation mode.

    Raises:
        UserError: missing, truncated, or weights that do not fit the specification.
    """
    try:
        spec = ModelSpec.model_validate(read_json(path / SPEC_FILE, "model"))
        model = Model(spec)
        model.load_state_dict(load_file(str(path / WEIGHTS_FILE)))
    except (ValidationError, SafetensorError, RuntimeError, OSError) as error:
        raise UserError(f"model {path} is damaged or not a model: {str(error).splitlines()[0]}") from None
    return model.to(device).eval()


def digest(path: Path) -> str:
    """SHA-256 of the weights file: the identity of the model."""
    return sha256_file(path / WEIGHTS_FILE)
