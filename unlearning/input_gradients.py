"""g(x): how strongly a record's own loss reacts to its own pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearning.models import Model
from unlearning.paradigms import Paradigm


def input_gradient_norms(
    model: Model, paradigm: Paradigm, views: Tensor, labels: Tensor, *, differentiable: bool = False
) -> Tensor:
    """g(x) = ‖∂ℓ(x)/∂v‖₂ over all views v of each record x.

    Our reading of the gradient that the paper (Wang & Chen, 2405.07317) constrains: the loss is
    the record's own term, so other records of a contrastive batch enter as constants.

    Args:
        model: in evaluation mode, so that batch norm does not tie records together.
        views: (V, B, C, H, W) pixels in [0, 1].
        labels: (B,) int64.
        differentiable: keep the graph, to differentiate g with respect to the weights.

    Returns:
        (B,) norms ≥ 0 in loss per pixel unit. Trained members have small ones.
    """
    views = views.detach().requires_grad_()
    losses = paradigm.per_sample_loss(model, views, labels, isolate=True)
    (gradient,) = torch.autograd.grad(losses.sum(), views, create_graph=differentiable)
    squares = gradient.square().sum(dim=(0, 2, 3, 4))
    # The root has an infinite slope at 0; a record that is fitted perfectly must not give NaN.
    return (squares + 1e-20).sqrt()
