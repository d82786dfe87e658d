"""The MLflow model: uint8 images in, embeddings and class scores out. Loaded without pickle.

MLflow runs this file to build the model ("models from code"); the weights come as a safetensors
artifact beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc.model import PythonModel

from unlearning.data.records import Records, as_pixels
from unlearning.learning import models


class Encoder(PythonModel):
    """Embeddings of a registered model, and class scores where it was trained with labels."""

    def load_context(self, context: Any) -> None:
        """Read the weights once, when the model is loaded."""
        self.model = models.load(Path(context.artifacts["model"]))

    # Without annotations: MLflow would take them for a signature of its own and warn about them.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Embed images.

        Args:
            context: unused; the weights are loaded.
            model_input: (N, C, H, W) uint8; any size, resized to what the model was trained on.
            params: unused.

        Returns:
            `embedding` (N, D) float32 backbone features, and for supervised models `score` (N, K)
            float32 class probabilities.
        """
        images = torch.from_numpy(np.array(model_input, dtype=np.uint8))
        records = Records(images, torch.zeros(len(images), dtype=torch.int64))
        pixels = as_pixels(records.resized(self.model.spec.image_shape[-1]).images)
        with torch.no_grad():
            features = self.model.features(pixels)
            answer = {"embedding": features.numpy()}
            if self.model.spec.paradigm == "supervised":
                answer["score"] = self.model.head(features).softmax(dim=1).numpy()
        return answer


mlflow.models.set_model(Encoder())
