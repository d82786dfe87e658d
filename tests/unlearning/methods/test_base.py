from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.unlearning.methods.untouchable import Untouchable
from unlearning.core.config import Config
from unlearning.data.augmentations import AugmentationConfig
from unlearning.data.records import Records, as_pixels, concatenate
from unlearning.learning.models import Model
from unlearning.learning.paradigms import PARADIGMS, Paradigm
from unlearning.learning.paradigms.moco import MoCo, MoCoConfig
from unlearning.learning.paradigms.momentum import catch_up
from unlearning.learning.paradigms.supervised import Supervised
from unlearning.learning.training import OptimisationConfig
from unlearning.methods import METHODS, Method
from unlearning.methods.objective import UnlearningConfig
from unlearning.methods.shrink_and_perturb import ShrinkAndPerturbConfig

OFFERED = ("forget", "calibration")
SUBSETS = [frozenset(subset) for subset in ((), ("forget",), ("calibration",), OFFERED)]


@dataclass
class Spy:
    """A method that keeps what it was handed, and ruins the model."""

    given: dict[str, Any] = field(default_factory=dict)

    def __call__(self, model: Model, paradigm: Paradigm, **given: Any) -> Model:
        self.given = given | {"model": model, "paradigm": paradigm}
        for value in model.state_dict().values():
            value.fill_(7)
        return model.train()


@pytest.fixture
def parts(noise: Callable[..., Records]) -> dict[str, Records]:
    return {"retain": noise(20, 0), "forget": noise(8, 1), "calibration": noise(8, 2)}


@pytest.fixture
def model(supervised: Supervised, build_model: Callable[..., Model]) -> Model:
    model = build_model(supervised).eval()
    model.spec = model.spec.model_copy(update={"gradient_target": (1.0,)})
    return model


def state_of(model: Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def config_for(method: Method) -> Config:
    optimisation = OptimisationConfig(epochs=epochs_of(method.name) or 1, batch_size=10, learning_rate=0.05)
    if issubclass(method.config, UnlearningConfig | ShrinkAndPerturbConfig):
        return method.config(optimisation=optimisation)
    return optimisation if method.config is OptimisationConfig else method.config()


def epochs_of(name: str) -> int:
    """SSD does not train, and SCRUB alternates."""
    return {"ssd": 0, "scrub": 3}.get(name, 2)


@pytest.mark.parametrize("sees", SUBSETS, ids=lambda sees: "+".join(sorted(sees)) or "nothing")
def test_a_method_is_handed_the_retain_set_and_what_it_may_see_and_nothing_else(
    model: Model, supervised: Supervised, parts: dict[str, Records], sees: frozenset[str]
) -> None:
    spy, config = Spy(), Config()
    Method("spy", spy, sees)(model, supervised, **parts, config=config, seed=3)
    assert spy.given.keys() == {"model", "paradigm", "retain", "config", "seed"} | sees
    assert all(spy.given[part] is parts[part] for part in {"retain"} | sees)
    assert spy.given["paradigm"] is supervised
    assert spy.given["config"] is config
    assert spy.given["seed"] == 3


def test_a_method_works_on_a_copy_and_its_result_is_handed_on(
    model: Model, supervised: Supervised, parts: dict[str, Records]
) -> None:
    spy, before = Spy(), state_of(model)
    result = Method("spy", spy, frozenset())(model, supervised, **parts, config=Config(), seed=0)
    assert result is spy.given["model"]
    assert result is not model
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


EVERY_PAIR = [
    (name, paradigm)
    for name in METHODS
    for paradigm in PARADIGMS
    if (name, paradigm) != ("alignment_calibration", "supervised")
]


def model_of(paradigm: Paradigm, build_model: Callable[..., Model]) -> Model:
    model = build_model(paradigm).eval()
    model.spec = model.spec.model_copy(update={"gradient_target": (1.0,)})
    return model


@pytest.mark.parametrize(("name", "paradigm_name"), EVERY_PAIR)
def test_every_method_works_on_every_paradigm_and_leaves_the_given_model_alone(
    every_paradigm: dict[str, Paradigm],
    build_model: Callable[..., Model],
    parts: dict[str, Records],
    name: str,
    paradigm_name: str,
) -> None:
    paradigm, method = every_paradigm[paradigm_name], METHODS[name]
    model = model_of(paradigm, build_model)
    before = state_of(model)
    first, again, other = (method(model, paradigm, **parts, config=config_for(method), seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    assert not model.training
    assert not first.training
    assert all(torch.equal(again.state_dict()[key], value) for key, value in first.state_dict().items())
    vectors = [torch.nn.utils.parameters_to_vector(found.parameters()) for found in (model, first, other)]
    assert not torch.allclose(vectors[0], vectors[1])
    # Without augmentation nothing is drawn that SSD's result depends on.
    assert (name, paradigm_name) == ("ssd", "supervised") or not torch.allclose(vectors[1], vectors[2])


@dataclass
class Unlearner:
    """A method that steps once, as every method does, and remembers what stood at its beginning."""

    queue: Tensor = field(default_factory=lambda: torch.empty(0))

    def __call__(
        self, model: Model, paradigm: Paradigm, *, retain: Records, forget: Records, config: Any, seed: int
    ) -> Model:
        self.queue = model.queue.clone()
        with torch.no_grad():
            for weight in model.backbone.parameters():
                weight.add_(0.1)
        paradigm.after_step(model, paradigm.views(retain.images[:4], torch.Generator().manual_seed(0)))
        return model


def keys_of(model: Model, records: Records) -> Tensor:
    """(N, D) queue entries that these records would leave; views are the images themselves."""
    with torch.no_grad():
        return F.normalize(model.momentum(as_pixels(records.images)), dim=1)


def distances(rows: Tensor, among: Tensor) -> Tensor:
    """(R, A) distances, summed term by term: the fast way by products rounds them away."""
    return torch.cdist(rows, among, compute_mode="donot_use_mm_for_euclid_dist")


def rows_in(rows: Tensor, among: Tensor) -> Tensor:
    """(R,) whether each row is, to rounding, one of `among`."""
    return distances(rows, among).min(dim=1).values < 1e-4


def test_no_forgotten_record_stays_in_a_queue(build_model: Callable[..., Model], noise: Callable[..., Records]) -> None:
    still = AugmentationConfig(crop_min_scale=1.0, flip=0.0, brightness=0.0, contrast=0.0)
    moco = MoCo(MoCoConfig(queue=32, projection=6, projector_hidden=(8,), augmentation=still))
    retain, forget = noise(20, 0), noise(12, 1)
    model = build_model(moco).eval()
    with torch.no_grad():
        model.queue.copy_(keys_of(model, concatenate(retain, forget)))
    assert rows_in(model.queue, keys_of(model, forget)).sum() == 12
    unlearner = Unlearner()
    method = Method("step", unlearner, frozenset({"forget"}))
    result = method(model, moco, retain=retain, forget=forget, calibration=noise(4, 2), config=Config(), seed=0)
    for queue, moment in ((unlearner.queue, model_caught_up(model)), (result.queue, result)):
        assert rows_in(queue, keys_of(moment, retain)).all()
        assert not rows_in(queue, keys_of(moment, forget)).any()
    # Every retained record is there once before any is there twice.
    assert len(torch.unique(distances(result.queue, keys_of(result, retain)).argmin(dim=1))) == 20


def model_caught_up(model: Model) -> Model:
    copy = model.clone()
    catch_up(copy)
    return copy


@pytest.mark.parametrize("name", ["moco", "byol"])
def test_the_slow_copy_is_the_unlearned_model_itself(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], parts: dict[str, Records], name: str
) -> None:
    paradigm = every_paradigm[name]
    model = model_of(paradigm, build_model)
    for method in METHODS.values():
        if not method.inherits:
            continue
        result = method(model, paradigm, **parts, config=config_for(method), seed=0)
        online = torch.nn.Sequential(result.backbone, result.head).state_dict()
        assert all(torch.equal(value, online[key]) for key, value in result.momentum.state_dict().items())
        if name == "byol" and method.name != "ssd":  # which may find nothing to shrink there
            before = model.predictor.state_dict()
            assert any(not torch.equal(value, before[key]) for key, value in result.predictor.state_dict().items())


@pytest.mark.parametrize("name", PARADIGMS)
def test_retraining_inherits_nothing_from_the_given_model(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], parts: dict[str, Records], name: str
) -> None:
    paradigm, method = every_paradigm[name], METHODS["retrain"]
    one, other = (
        method(build_model(paradigm, seed).eval(), paradigm, **parts, config=config_for(method), seed=0)
        for seed in (1, 2)
    )
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())


@pytest.mark.parametrize(("name", "paradigm_name"), EVERY_PAIR)
def test_only_views_of_retained_records_are_remembered(
    every_paradigm: dict[str, Paradigm],
    build_model: Callable[..., Model],
    noise: Callable[..., Records],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    paradigm_name: str,
) -> None:
    """Retained images are dark, all others bright; augmentation keeps them so."""
    paradigm, method = every_paradigm[paradigm_name], METHODS[name]
    dark, bright = noise(20, 0), noise(8, 1)
    retain = replace(dark, images=dark.images // 16)
    other = replace(bright, images=bright.images // 16 + 200)
    brightest: list[float] = []
    followed = type(paradigm).after_step

    def watched(self: Paradigm, model: Model, views: Tensor) -> None:
        brightest.append(views.max().item())
        followed(self, model, views)

    monkeypatch.setattr(type(paradigm), "after_step", watched)
    config = config_for(method)
    method(
        model_of(paradigm, build_model), paradigm, retain=retain, forget=other, calibration=other, config=config, seed=0
    )
    assert len(brightest) == 2 * epochs_of(name)
    assert max(brightest, default=0) < 0.4


@pytest.mark.parametrize("name", METHODS)
def test_a_method_asks_for_exactly_what_it_may_see(name: str) -> None:
    parameters = inspect.signature(METHODS[name].run).parameters
    assert {part for part in OFFERED if part in parameters} == METHODS[name].sees
    assert METHODS[name].name == name


def test_only_penalties_between_members_and_non_members_and_their_ablation_ever_see_non_members() -> None:
    seeing = [name for name, method in METHODS.items() if "calibration" in method.sees]
    assert seeing == ["gradient_matching", "gradient_penalty", "loss_matching"]


WEIGHTED = [
    name
    for name, method in METHODS.items()
    if issubclass(method.config, UnlearningConfig) and name != "alignment_calibration"
]


@pytest.mark.parametrize("name", WEIGHTED)
def test_without_weight_a_method_finetunes(
    model: Model, supervised: Supervised, parts: dict[str, Records], name: str
) -> None:
    """Steps of plain descent over the whole retain set, so that nothing is drawn but the order of its records."""
    method, steps = METHODS[name], 2
    plain = OptimisationConfig(epochs=steps, batch_size=20, optimiser="sgd", momentum=0, learning_rate=0.1)
    own = {"scrub": {"agreement": 0.0}, "saliency": {"share": 1.0}}.get(name, {})
    # A max-epoch without weight stands still.
    optimisation = plain.model_copy(update={"epochs": steps + 1}) if name == "scrub" else plain
    config = method.config.model_validate({"optimisation": optimisation.model_dump()} | own)
    shown: dict[str, Any] = parts | {"seed": 0}
    found = method(model, supervised, **shown, config=config.model_copy(update={"weight": 0.0}))
    expected = METHODS["finetune"](model, supervised, **shown, config=plain)
    for key, value in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[key], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", PARADIGMS)
def test_stage_2_never_touches_a_non_member(
    every_paradigm: dict[str, Paradigm], build_model: Callable[..., Model], parts: dict[str, Records], name: str
) -> None:
    paradigm = every_paradigm[name]
    shown: dict[str, Any] = parts | {"calibration": Untouchable()}
    for method in (METHODS["gradient_matching_stage2"], METHODS["gradient_matching"]):
        run = partial(method, model_of(paradigm, build_model), paradigm, config=config_for(method), seed=0)
        if method.name == "gradient_matching_stage2":
            run(**shown)
        else:
            with pytest.raises(AssertionError, match="non-members were"):
                run(**shown)
