"""g(x): how strongly a record's own loss, or another number of its own, reacts to its own pixels."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from unlearning.core.seeding import generator
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm

TARGET_QUANTILES = 64
"""How finely τ describes the non-members' gradient norms."""


def input_gradient_norms(
    model: Model,
    paradigm: Paradigm,
    views: Tensor,
    labels: Tensor,
    *,
    context_records: Tensor | None = None,
    differentiable: bool = False,
) -> Tensor:
    """g(x) = ‖∂ℓ(x)/∂v‖₂ over all views v of each record x.

    Our reading of the gradient that the paper (Wang & Chen, 2405.07317) constrains: the loss is
    the record's own term, so other records of a contrastive batch enter as constants.

    Args:
        model: in evaluation mode, so that batch norm does not tie records together.
        views: (V, B, C, H, W) pixels in [0, 1].
        labels: (B,) int64.
        context_records: (V, K, C, H, W) views of records that a contrastive loss tells the batch from.
        differentiable: keep the graph, to differentiate g with respect to the weights.

    Returns:
        (B,) norms ≥ 0 in loss per pixel unit. Trained members have small ones.
    """
    return losses_and_norms(
        model, paradigm, views, labels, context_records=context_records, differentiable=differentiable
    )[1]


def losses_and_norms(
    model: Model,
    paradigm: Paradigm,
    views: Tensor,
    labels: Tensor,
    *,
    context_records: Tensor | None = None,
    differentiable: bool = False,
) -> tuple[Tensor, Tensor]:
    """(B,) losses, as `per_sample_loss` gives them, and (B,) norms, from one pass; see `input_gradient_norms`."""
    return values_and_norms(
        lambda pixels: paradigm.per_sample_loss(model, pixels, labels, isolate=True, context_records=context_records),
        views,
        differentiable=differentiable,
    )


def values_and_norms(
    function: Callable[[Tensor], Tensor], views: Tensor, *, differentiable: bool = False
) -> tuple[Tensor, Tensor]:
    """What a function gives for each record, and how strongly that reacts to the record's pixels.

    Args:
        function: (V, B, C, H, W) views to (B,) numbers, each of which depends on its own record's views alone.
        views: (V, B, C, H, W) pixels in [0, 1].
        differentiable: keep the graph, to differentiate the norms with respect to the weights.

    Returns:
        (B,) values without a graph, and (B,) norms ‖∂f(x)/∂v‖₂ ≥ 0 over all views v of each record x.
    """
    views = views.detach().requires_grad_()
    values = function(views)
    (gradient,) = torch.autograd.grad(values.sum(), views, create_graph=differentiable)
    squares = gradient.square().sum(dim=(0, 2, 3, 4))
    # The root has an infinite slope at 0; a record that is fitted perfectly must not give NaN.
    return values.detach(), (squares + 1e-20).sqrt()


def measure_gradient_target(
    model: Model,
    paradigm: Paradigm,
    nonmembers: Records,
    members: Records,
    *,
    batch_size: int,
    quantiles: int,
    seed: int,
) -> tuple[float, ...]:
    """τ of stage 2: what log g of records the model was not trained on looks like.

    Measured once, when the model has just been trained, so that unlearning needs no non-member.
    Half of every batch are members: in stage 2 the forget set meets retained records, and in a
    contrastive loss g depends on the other records of the batch.

    Args:
        model: trained; measured in evaluation mode.
        nonmembers: calibration records; each is measured in one draw of views.
        members: records trained on, the other half of each batch.
        batch_size: records per batch, of both kinds; twice stage 2's `forget_batch`.
        quantiles: how many to keep.
        seed: of the batches and the views.

    Returns:
        `quantiles` ascending values of log g, in log(loss per pixel unit), at the levels
        (k + ½) / quantiles.
    """
    device = nonmembers.images.device
    draw = generator(seed, "gradient target", device)
    # As unlearning will find the model: slow copies caught up, the queue made anew.
    model = model.clone().eval()
    paradigm.rebuild_state(model, members, draw)
    measured = []
    order = torch.randperm(len(nonmembers), generator=draw, device=device)
    for rows in order.tensor_split(math.ceil(2 * len(order) / batch_size)):
        chosen = torch.randperm(len(members), generator=draw, device=device)[: len(rows)]
        batch = nonmembers[rows]
        views, others = paradigm.views(batch.images, draw), paradigm.views(members.images[chosen], draw)
        measured.append(input_gradient_norms(model, paradigm, views, batch.labels, context_records=others).log())
    levels = (torch.arange(quantiles, device=device) + 0.5) / quantiles
    return tuple(torch.cat(measured).quantile(levels).tolist())
