"""A recipe: data, encoder, paradigm, training and the settings of every method."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import Field, ValidationError

from unlearning.audit.accuracy import EvaluationConfig
from unlearning.audit.signals import SignalConfig
from unlearning.core.config import Config, first_problem
from unlearning.core.errors import UserError
from unlearning.core.files import sha256_json
from unlearning.data.splits import SplitConfig
from unlearning.learning.encoders import EncoderConfig
from unlearning.learning.near_duplicates import NearDuplicateConfig
from unlearning.learning.paradigms import ParadigmConfig
from unlearning.learning.training import OptimisationConfig, TrainingConfig
from unlearning.methods import FORMER_NAMES, METHODS, check_known
from unlearning.methods.alignment_calibration import AlignmentCalibrationConfig
from unlearning.methods.bad_teacher import BadTeacherConfig
from unlearning.methods.coun import CoUnConfig
from unlearning.methods.gradient_ascent import GradientAscentConfig
from unlearning.methods.gradient_matching import GradientMatchingConfig
from unlearning.methods.gradient_penalty import GradientPenaltyConfig
from unlearning.methods.l1_sparse import L1SparseConfig
from unlearning.methods.loss_matching import LossMatchingConfig
from unlearning.methods.npo import NPOConfig
from unlearning.methods.random_label import RandomLabelConfig
from unlearning.methods.saliency import SaliencyConfig
from unlearning.methods.scrub import SCRUBConfig
from unlearning.methods.shrink_and_perturb import ShrinkAndPerturbConfig
from unlearning.methods.ssd import SSDConfig


class DataConfig(Config):
    """What to ingest."""

    source: str
    limit: int | None = Field(None, gt=0, description="Random sample of this many rows; all if unset.")
    image_side: int = Field(gt=3, description="Images are area-averaged to this many pixels a side.")
    subjects: str | None = Field(
        None, min_length=1, description="CSV file beside the data: record_id,subject or file,subject."
    )


def _if_set() -> Any:
    """Left out where it is unset, so that a recipe without it keeps its digest."""
    return Field(None, exclude_if=lambda value: value is None)


class MethodsConfig(Config):
    """Settings of every method that can be chosen; `retrain` uses the training settings.

    A method without settings cannot be chosen with this recipe.
    """

    gradient_matching: GradientMatchingConfig
    gradient_matching_stage2: GradientMatchingConfig
    finetune: OptimisationConfig
    loss_matching: LossMatchingConfig | None = None
    gradient_ascent: GradientAscentConfig | None = None
    random_label: RandomLabelConfig | None = None
    saliency: SaliencyConfig | None = None
    alignment_calibration: AlignmentCalibrationConfig | None = None
    gradient_penalty: GradientPenaltyConfig | None = _if_set()
    npo: NPOConfig | None = _if_set()
    scrub: SCRUBConfig | None = _if_set()
    bad_teacher: BadTeacherConfig | None = _if_set()
    ssd: SSDConfig | None = _if_set()
    l1_sparse: L1SparseConfig | None = _if_set()
    coun: CoUnConfig | None = _if_set()
    shrink_and_perturb: ShrinkAndPerturbConfig | None = _if_set()


class Recipe(Config):
    """A validated recipe; unknown keys are errors."""

    name: str
    description: str
    data: DataConfig
    split: SplitConfig
    encoder: EncoderConfig
    paradigm: ParadigmConfig
    training: TrainingConfig
    checkpoint_every: int = Field(50, gt=0, description="Epochs between checkpoints.")
    methods: MethodsConfig
    signals: SignalConfig = SignalConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    near_duplicates: NearDuplicateConfig = NearDuplicateConfig()

    @property
    def digest(self) -> str:
        """SHA-256 over every setting."""
        return sha256_json(self.model_dump(mode="json"))

    def method_config(self, method: str) -> Config:
        """The settings of one method.

        Raises:
            UserError: there is no such method, or the recipe has no settings for it.
        """
        check_known(method)
        config: Config | None = self.training if method == "retrain" else getattr(self.methods, method)
        if config is None:
            raise UserError(f"recipe {self.name} has no settings for method {method}: give it methods.{method}")
        return config


def validate_recipe(content: Any, where: str) -> Recipe:
    """A recipe from parsed YAML or JSON.

    Raises:
        UserError: names the first wrong key.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise UserError(f"recipe {where}: {first_problem(error)}{more}{_renamed(error)}") from None


def _renamed(error: ValidationError) -> str:
    """Today's name of a method that a recipe calls by its former one, to be added to what is wrong; else empty.

    A former name can be another method's now: then settings that only its first bearer has give it away.
    """
    for problem in error.errors():
        section, *path = map(str, problem["loc"] or ("",))
        for former, present in FORMER_NAMES.items():
            match (problem["type"], path):
                case ("missing", [name]) if name == present and former in problem["input"]:
                    found = True
                case ("extra_forbidden", [name, *settings]) if name == former and len(settings) < 2:
                    found = set(settings) <= METHODS[present].config.model_fields.keys()
                case _:
                    found = False
            if found and section == "methods":
                return f"; what was {former} is called {present} now"
    return ""


def with_present_names(recipe: Any) -> Any:
    """A recipe as it was stored, its methods under the names that they have now.

    It is of before where none of its methods has a name that is new.
    """
    methods = recipe.get("methods") if isinstance(recipe, dict) else None
    if not isinstance(methods, dict) or methods.keys() & (set(FORMER_NAMES.values()) - FORMER_NAMES.keys()):
        return recipe
    return recipe | {"methods": {FORMER_NAMES.get(name, name): settings for name, settings in methods.items()}}


SORTS = {"encoder": "kind", "paradigm": "name"}
"""Parts of a recipe that come in several sorts, and the key that names the sort."""


def merge(base: Any, overrides: Any) -> Any:
    """`overrides` laid over `base`: mappings key by key, everything else replaced. Of another sort of encoder or
    paradigm nothing of the one before is kept: it has no such settings."""
    if not (isinstance(base, dict) and isinstance(overrides, dict)):
        return overrides
    laid = {
        key: value if _another_sort(key, base, value) else merge(base.get(key), value)
        for key, value in overrides.items()
    }
    return {**base, **laid}


def _another_sort(key: str, base: dict[str, Any], value: Any) -> bool:
    sort, before = SORTS.get(key), base.get(key)
    if sort is None or not isinstance(value, dict) or not isinstance(before, dict):
        return False
    return sort in value and value[sort] != before.get(sort)


def parse_yaml(text: str, where: str) -> Any:
    """YAML to plain values.

    Raises:
        UserError: not YAML.
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2024-13-01
        raise UserError(f"{where} is not YAML: {str(error).splitlines()[0]}") from None


def override_method(recipe: Recipe, method: str, overrides: str) -> Recipe:
    """The recipe with YAML `overrides` laid over one method's settings.

    Raises:
        UserError: no such method, one without settings of its own (`retrain`), or not valid.
    """
    if not overrides:
        return recipe
    check_known(method)
    if method not in MethodsConfig.model_fields:
        raise UserError(f"method {method!r} has no settings of its own: leave the overrides empty")
    changed = {"methods": {method: parse_yaml(overrides, f"settings of {method}")}}
    return validate_recipe(merge(recipe.model_dump(mode="json"), changed), f"{recipe.name} with settings of {method}")
