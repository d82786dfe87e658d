from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from unlearning.data.records import Records, record_ids
from unlearning.learning.models import Model
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.learning.training import OptimisationConfig
from unlearning.methods import METHODS
from unlearning.methods.finetune import finetune

BuildModel = Callable[..., Model]
MakeRecords = Callable[..., Records]

CONFIG = OptimisationConfig(epochs=10, batch_size=10, learning_rate=0.02)


class WatchedSupervised(Supervised):
    """Supervised training that remembers whose images it made views of."""

    seen: frozenset[str] = frozenset()

    def views(self, images: Tensor, generator: torch.Generator) -> Tensor:
        self.seen |= set(record_ids(images))
        return super().views(images, generator)


def mean_loss(model: Model, paradigm: Supervised, records: Records) -> float:
    views = paradigm.views(records.images, torch.Generator().manual_seed(0))
    with torch.no_grad():
        return paradigm.per_sample_loss(model.eval(), views, records.labels).mean().item()


def test_finetuning_goes_on_from_the_given_weights_and_fits_the_retain_set(
    supervised: Supervised, build_model: BuildModel, noise: MakeRecords
) -> None:
    for seed in range(3):
        model, retain = build_model(supervised, seed), noise(20, seed)
        before = mean_loss(model, supervised, retain)
        tuned = finetune(model, supervised, retain=retain, config=CONFIG, seed=seed)
        assert tuned is model
        assert mean_loss(tuned, supervised, retain) < 0.7 * before


def test_a_tiny_rate_leaves_the_weights_nearly_where_they_were(
    supervised: Supervised, build_model: BuildModel, noise: MakeRecords
) -> None:
    still = CONFIG.model_copy(update={"learning_rate": 1e-9})
    tuned = finetune(build_model(supervised), supervised, retain=noise(20), config=still, seed=0)
    torch.testing.assert_close(
        nn.utils.parameters_to_vector(tuned.parameters()),
        nn.utils.parameters_to_vector(build_model(supervised).parameters()),
        atol=1e-6,
        rtol=0,
    )


def test_only_the_retain_set_is_looked_at(supervised: Supervised, build_model: BuildModel, noise: MakeRecords) -> None:
    watched, retain = WatchedSupervised(supervised.config), noise(20, 0)
    METHODS["finetune"](
        build_model(supervised),
        watched,
        retain=retain,
        forget=noise(10, 1),
        calibration=noise(10, 2),
        config=CONFIG,
        seed=0,
    )
    assert watched.seen == set(record_ids(retain.images))


def test_the_forget_set_cannot_even_be_passed(
    supervised: Supervised, build_model: BuildModel, noise: MakeRecords
) -> None:
    with pytest.raises(TypeError, match="forget"):
        finetune(build_model(supervised), supervised, retain=noise(20), forget=noise(3), config=CONFIG, seed=0)  # type: ignore[call-arg]
