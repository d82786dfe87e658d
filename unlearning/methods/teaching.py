"""How far a model's answers about records are from a teacher's, for methods that learn from teachers.

Where there is a classifier, the answer about a view is the softmax of its class logits. An encoder has no classes:
there the answer is, ours, the softmax of the cosines between the view's output and those of all other views of the
batch, the record's own other view among them. SEED (Fang et al. 2021, 2101.04731) distils encoders by such
distributions, over a queue instead of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm


def log_answers(model: Model, paradigm: Paradigm, views: Tensor, temperature: float) -> Tensor:
    """The logarithm of a model's answer about every view.

    Args:
        model: in evaluation mode.
        views: (V, B, C, H, W) pixels in [0, 1].
        temperature: divides logits or cosines; > 0.

    Returns:
        (V · B, K) log-probabilities: K classes, or K = V · B − 1 other views.
    """
    outputs: Tensor = model(views.flatten(0, 1))
    if paradigm.name != "supervised":
        directions = F.normalize(outputs, dim=1)
        others = ~torch.eye(len(directions), dtype=torch.bool, device=directions.device)
        outputs = (directions @ directions.T)[others].view(len(directions), -1)
    return F.log_softmax(outputs / temperature, dim=1)


def divergence(answers: Tensor, taught: Tensor) -> Tensor:
    """KL( taught ‖ answers ) of each view; 0 where they agree, larger the further apart.

    Args:
        answers, taught: (N, K) log-probabilities.
    """
    return (taught.exp() * (taught - answers)).sum(dim=1)


def divergence_from(teacher: Model, model: Model, paradigm: Paradigm, views: Tensor, temperature: float) -> Tensor:
    """Mean divergence of the model's answers from the teacher's, which gets no gradient."""
    with torch.no_grad():
        taught = log_answers(teacher, paradigm, views, temperature)
    return divergence(log_answers(model, paradigm, views, temperature), taught).mean()
