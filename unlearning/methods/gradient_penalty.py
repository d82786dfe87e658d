"""The gradient penalty in the form of WGAN-GP, as readers describe that of Wang & Chen, 2405.07317.

    x̂ = ε x_member + (1 − ε) x_non-member,   ε ~ U(0, 1) for each pair of records, the same for all views
    L(θ) = mean over retain of ℓ(x; θ)  +  λ · mean of ( ‖∂f(x̂; θ)/∂x̂‖₂ − target )²  +  δ · drift(θ)

Where this comes from. The paper (and EncoderMU, the same authors', SPNCE 2023) was not available to us. Public reviews
of it say: the penalty is inspired by WGAN-GP (Gulrajani et al. 2017, 1704.00028), trained samples take the place of
real ones and non-trained ones that of generated ones, and it is taken at points between them. Its summary says: two
losses, `MEMtrain` and a gradient penalty that needs member and non-member gradients, simplified to member gradients
alone (`MEMGP`). Not told, and settings here: the function f in the critic's place, the target, λ, and which records
`MEMtrain` trains on; we train on the retain set, and the members of the penalty are those to be forgotten.
WGAN-GP itself has ε, x̂ and the penalty as above, with the critic for f, target 1 and λ 10: the defaults.

`at: mixed` is the full form, `at: members` the simplified one, at members themselves. A target of 1 does not by itself
bring members and non-members together: 0, a target measured on non-members before the first step, and λ = 0, which
is finetuning with the drift, are there to compare with. Nothing is taken over from the authors' code or figures.

f is, for each record:

    loss             its own ℓ; other records of a contrastive batch enter as constants, and are points too
    embedding        the sum over the outputs (projection or logits) of its views
    similarity       the cosine of the outputs of its two views; not for classifiers, which have one
    log_probability  log max softmax of the class logits, the confidence; classifiers alone. The log-probability of the
                     record's own class is −ℓ, and has the same norm as `loss`

A classifier's loss at a mixed point is ε times that towards the member's class plus 1 − ε times that towards the
non-member's, as in mixup (Zhang et al. 2017, 1710.09412): at ε = 1 it is the member's own.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unlearning.core.errors import UserError
from unlearning.core.seeding import generator
from unlearning.data.records import Records
from unlearning.learning.input_gradients import values_and_norms
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm
from unlearning.methods.objective import UnlearningConfig, draw_batch, minimise

Differentiated = Literal["loss", "embedding", "similarity", "log_probability"]


class GradientPenaltyConfig(UnlearningConfig):
    """Settings of the gradient penalty."""

    weight: float = Field(10.0, ge=0, description="λ: weight of the penalty; 0 is a control that only finetunes.")
    of: Differentiated = Field("loss", description="The function whose gradient with respect to pixels is penalised.")
    at: Literal["mixed", "members"] = Field(
        "mixed", description="Between a member and a non-member each, or at members themselves."
    )
    target: Annotated[float, Field(ge=0)] | Literal["measured"] = Field(
        1.0,
        description="Norm to be reached; measured: the mean of calibration non-members before the first step.",
    )


def check_function(of: Differentiated, paradigm: Paradigm) -> None:
    """Refuse a function that the paradigm does not have.

    Raises:
        UserError: a similarity of views where there is one view, or a probability where there are no classes.
    """
    if of == "similarity" and paradigm.name == "supervised":
        raise UserError("similarity needs two views and supervised has one: set of to loss or log_probability")
    if of == "log_probability" and paradigm.name != "supervised":
        raise UserError(f"log_probability needs classes and {paradigm.name} has none: set of to loss or similarity")


def mixed(members: Tensor, non_members: Tensor, epsilon: Tensor) -> Tensor:
    """Points between two records' views: ε = 1 is the member's, 0 the non-member's.

    Args:
        members, non_members: (V, B, C, H, W).
        epsilon: (B,) in [0, 1].
    """
    share = epsilon[:, None, None, None]
    return share * members + (1 - share) * non_members


def value_of(of: Differentiated, model: Model, paradigm: Paradigm, views: Tensor, labels: Tensor) -> Tensor:
    """(B,) the number of each record whose gradient is penalised; see the head of this file.

    Args:
        model: in evaluation mode.
        views: (V, B, C, H, W) pixels in [0, 1].
        labels: (B,) int64; used by the loss of a classifier alone.
    """
    if of == "loss":
        return paradigm.per_sample_loss(model, views, labels, isolate=True)
    outputs = model(views.flatten(0, 1)).unflatten(0, views.shape[:2])
    if of == "embedding":
        return outputs.sum(dim=(0, 2))  # type: ignore[no-any-return]
    if of == "similarity":
        return F.cosine_similarity(outputs[0], outputs[1], dim=1)
    return outputs.log_softmax(dim=2).amax(dim=2).mean(dim=0)  # type: ignore[no-any-return]


class GradientNorms:
    """Norms of the chosen function's gradient at records and between them."""

    def __init__(self, model: Model, paradigm: Paradigm, of: Differentiated) -> None:
        check_function(of, paradigm)
        self.model, self.paradigm, self.of = model, paradigm, of

    def at(self, views: Tensor, labels: Tensor, *, differentiable: bool) -> Tensor:
        """(B,) norms at the (V, B, C, H, W) views of records."""
        return values_and_norms(lambda points: self._value(points, labels), views, differentiable=differentiable)[1]

    def between(
        self, members: Tensor, non_members: Tensor, labels: Tensor, other_labels: Tensor, epsilon: Tensor
    ) -> Tensor:
        """(B,) norms at points between members and non-members, differentiable with respect to the weights."""

        def value(points: Tensor) -> Tensor:
            own = self._value(points, labels)
            if self.of != "loss" or self.paradigm.name != "supervised":
                return own
            return epsilon * own + (1 - epsilon) * self._value(points, other_labels)

        return values_and_norms(value, mixed(members, non_members, epsilon), differentiable=True)[1]

    def mean(self, records: Records, batch_size: int, draw: torch.Generator) -> float:
        """Mean norm over records, in one draw of their views."""
        found = [
            self.at(self.paradigm.views(batch.images, draw), batch.labels, differentiable=False)
            for batch in (records[rows] for rows in torch.split(torch.arange(len(records)), batch_size))
        ]
        return float(torch.cat(found).mean())

    def _value(self, points: Tensor, labels: Tensor) -> Tensor:
        return value_of(self.of, self.model, self.paradigm, points, labels)


def gradient_penalty(
    model: Model,
    paradigm: Paradigm,
    *,
    retain: Records,
    forget: Records,
    calibration: Records,
    config: GradientPenaltyConfig,
    seed: int,
) -> Model:
    """Pull the gradient's norm to a target, between forgotten members and calibration non-members.

    With `at: members` and a target that is a number no non-member is looked at.

    Raises:
        UserError: the paradigm does not have the function.
    """
    model.eval()
    norms = GradientNorms(model, paradigm, config.of)
    draw = generator(seed, "gradient_penalty target", retain.images.device)
    measured = config.target == "measured"
    target = norms.mean(calibration, config.forget_batch, draw) if measured else float(config.target)

    def penalty(draw: torch.Generator) -> Tensor | None:
        if config.weight == 0:
            return None
        members = draw_batch(forget, config.forget_batch, draw)
        if config.at == "members":
            views = paradigm.views(members.images, draw)
            return (norms.at(views, members.labels, differentiable=True) - target).square().mean()
        others = draw_batch(calibration, len(members), draw)
        members = members[: len(others)]
        epsilon = torch.rand(len(others), generator=draw, device=draw.device)
        first, second = paradigm.views(members.images, draw), paradigm.views(others.images, draw)
        found = norms.between(first, second, members.labels, others.labels, epsilon)
        return (found - target).square().mean()

    return minimise(model, paradigm, retain, penalty, config, seed=seed, purpose="gradient_penalty")
