from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from unlearning.data.records import Records, record_ids
from unlearning.learning.models import Model
from unlearning.learning.paradigms.simclr import SimCLR
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.learning.training import OptimisationConfig
from unlearning.methods import METHODS
from unlearning.methods.retrain import retrain

BuildModel = Callable[..., Model]
MakeRecords = Callable[..., Records]

CONFIG = OptimisationConfig(epochs=3, batch_size=10, learning_rate=0.02)


class WatchedSimCLR(SimCLR):
    """SimCLR that remembers whose images it made views of."""

    seen: frozenset[str] = frozenset()

    def views(self, images: Tensor, generator: torch.Generator) -> Tensor:
        self.seen |= set(record_ids(images))
        return super().views(images, generator)


def state_of(model: Model) -> Tensor:
    return torch.cat([value.double().flatten() for value in model.state_dict().values()])


def test_nothing_of_the_given_weights_is_left(simclr: SimCLR, build_model: BuildModel, noise: MakeRecords) -> None:
    ruined = build_model(simclr)
    for value in ruined.state_dict().values():
        value.fill_(7)
    results = [
        state_of(retrain(model, simclr, retain=noise(20), config=CONFIG, seed=4))
        for model in (build_model(simclr, 0), build_model(simclr, 1), ruined)
    ]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_the_forget_set_is_never_looked_at(simclr: SimCLR, build_model: BuildModel, noise: MakeRecords) -> None:
    watched, retain, forget = WatchedSimCLR(simclr.config), noise(20, 0), noise(10, 1)
    results = [
        METHODS["retrain"](
            build_model(simclr), watched, retain=retain, forget=each, calibration=noise(9, 2), config=CONFIG, seed=4
        )
        for each in (forget, noise(3, 8))
    ]
    assert watched.seen == set(record_ids(retain.images))
    assert torch.equal(state_of(results[0]), state_of(results[1]))


def test_the_result_depends_on_the_retain_set_and_the_seed(
    simclr: SimCLR, build_model: BuildModel, noise: MakeRecords
) -> None:
    results = [
        state_of(retrain(build_model(simclr), simclr, retain=records, config=CONFIG, seed=seed))
        for records, seed in ((noise(20, 0), 4), (noise(20, 1), 4), (noise(20, 0), 5))
    ]
    assert not torch.allclose(results[0], results[1])
    assert not torch.allclose(results[0], results[2])


def test_another_seed_starts_from_other_weights(simclr: SimCLR, build_model: BuildModel, noise: MakeRecords) -> None:
    still = CONFIG.model_copy(update={"learning_rate": 1e-12, "epochs": 1})
    first, other = (
        nn.utils.parameters_to_vector(
            retrain(build_model(simclr), simclr, retain=noise(20), config=still, seed=seed).parameters()
        )
        for seed in (0, 1)
    )
    assert (first - other).abs().mean() > 1e-2


def test_the_architecture_stays(supervised: Supervised, build_model: BuildModel, noise: MakeRecords) -> None:
    model = build_model(supervised, hidden=(9, 5), shape=(3, 4, 4), classes=4)
    fresh = retrain(model, supervised, retain=noise(20, shape=(3, 4, 4), classes=4), config=CONFIG, seed=0)
    assert fresh is not model
    assert fresh.spec == model.spec
    assert not fresh.training


def test_retraining_learns(supervised: Supervised, build_model: BuildModel, separable: MakeRecords) -> None:
    config = OptimisationConfig(epochs=15, batch_size=8, learning_rate=0.05)
    for seed in range(3):
        model = retrain(build_model(supervised), supervised, retain=separable(40), config=config, seed=seed)
        unseen = separable(40, seed=1)
        predicted = model(supervised.views(unseen.images, torch.Generator())[0]).argmax(dim=1)
        assert torch.equal(predicted, unseen.labels)


def test_the_forget_set_cannot_even_be_passed(simclr: SimCLR, build_model: BuildModel, noise: MakeRecords) -> None:
    with pytest.raises(TypeError, match="forget"):
        retrain(build_model(simclr), simclr, retain=noise(20), forget=noise(3), config=CONFIG, seed=0)  # type: ignore[call-arg]
