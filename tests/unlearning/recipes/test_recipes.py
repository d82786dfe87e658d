from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from unlearning import recipes
from unlearning.core.errors import UserError
from unlearning.data import snapshots
from unlearning.data.records import Records
from unlearning.data.sources import SOURCES
from unlearning.data.splits import make_split
from unlearning.learning.paradigms import PARADIGMS
from unlearning.learning.training import OptimisationConfig
from unlearning.methods import FORMER_NAMES, METHODS
from unlearning.methods.alignment_calibration import AlignmentCalibrationConfig
from unlearning.methods.objective import UnlearningConfig
from unlearning.methods.shrink_and_perturb import ShrinkAndPerturbConfig
from unlearning.recipes.recipe import (
    MethodsConfig,
    Recipe,
    merge,
    override_method,
    validate_recipe,
    with_present_names,
)

NAMES = recipes.names()
TINY = "digits-simclr"


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(UserError) as refused:
        call(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def nested(path: str, value: Any) -> str:
    """YAML overrides of one value: `a.b` is {a: {b: value}}."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return yaml.safe_dump(value)


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_recipe_is_valid_and_knows_its_name(name: str) -> None:
    recipe = recipes.load(name)
    assert recipe.name == name
    assert name.endswith(f"-{recipe.paradigm.name}")
    assert recipe.data.source in SOURCES
    assert recipe.description


@pytest.mark.parametrize("dataset", ["digits", "fashion-mnist", "cifar10", "image-folder"])
def test_there_is_a_recipe_of_every_paradigm_for_every_data_set(dataset: str) -> None:
    for paradigm in PARADIGMS:
        recipe = recipes.load(recipes.default_recipe(dataset, paradigm))
        assert recipe.paradigm.name == paradigm
        assert recipe.data.source == dataset.replace("-", "_")
    assert sorted(NAMES) == NAMES


NUMBER = re.compile(r":\s+(\[?-?\d|true\b|false\b)")


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_every_number_of_cifar10_has_its_source_beside_it(paradigm: str) -> None:
    """A source that the head of the file lists with its arXiv id, or the word that there is none."""
    text = (resources.files(recipes) / f"cifar10-{paradigm}.yaml").read_text()
    head = [line for line in text.splitlines() if line.startswith("#")]
    listed = {found[1] for line in head if (found := re.match(r"# (\[\w+\])", line))}
    unsourced = [
        line
        for line in text.splitlines()
        if NUMBER.search(line.partition("#")[0])
        and not re.search(r"\bours\b|as published", line)
        and not any(source in line for source in listed)
    ]
    assert unsourced == []
    assert len(listed) >= 4
    assert "has not been run at full scale" in text
    assert "not run at full scale" in recipes.load(f"cifar10-{paradigm}").description


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_cifar10_is_for_a_gpu_and_fits_the_published_images(paradigm: str) -> None:
    recipe = recipes.load(f"cifar10-{paradigm}")
    assert recipe.training.acceleration.wanted == ("bf16", "channels_last", "compile")
    assert recipe.encoder.kind == "resnet18"
    assert sum(recipe.split.model_dump().values()) <= 59_900  # of 60,000, some of them twice


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_a_small_folder_of_images_is_enough_and_a_smaller_one_is_refused_in_a_line(paradigm: str) -> None:
    recipe = recipes.load(f"image-folder-{paradigm}")
    pixels = np.random.default_rng(0).integers(0, 256, (380, 1, 4, 4), dtype=np.uint8)
    records = Records(torch.from_numpy(pixels), torch.zeros(380, dtype=torch.int64))
    manifest = snapshots.build(records, source="x", licence="x", class_names=("a",)).manifest
    assert len(make_split(manifest, recipe.split, 0).members) == recipe.split.members
    few = snapshots.build(records[:100], source="x", licence="x", class_names=("a",)).manifest
    assert "the split needs 380 distinct records but" in refusal(make_split, few, recipe.split, 0)


def test_acceleration_is_for_training_alone() -> None:
    acceleration = "{acceleration: {bf16: true}}"
    assert recipes.load(TINY, f"training: {acceleration}").training.acceleration.wanted == ("bf16",)
    for path in ("finetune", "gradient_matching.optimisation"):
        found = refusal(recipes.load, TINY, nested(f"methods.{path}.acceleration", {"bf16": True}))
        assert f"methods.{path}.acceleration: Extra inputs are not permitted" in found


def test_a_recipe_without_acceleration_keeps_its_digest() -> None:
    """It is the name of checkpoints and of benchmark rows."""
    plain, off = recipes.load(TINY), recipes.load(TINY, "training: {acceleration: {bf16: false}}")
    assert "acceleration" not in plain.model_dump(mode="json")["training"]
    assert off.digest == plain.digest
    assert recipes.load(TINY, "training: {acceleration: {bf16: true}}").digest != plain.digest


def test_a_recipe_without_settings_for_newer_methods_keeps_its_digest() -> None:
    """Those that came later are left out where they are unset; written as null they are unset too."""
    older = "{gradient_penalty: null, npo: null, scrub: null, bad_teacher: null, ssd: null, "
    without = recipes.load(TINY, f"methods: {older}l1_sparse: null, coun: null, shrink_and_perturb: null}}")
    assert list(without.model_dump(mode="json")["methods"]) == [
        "gradient_matching", "gradient_matching_stage2", "finetune", "loss_matching", "gradient_ascent", "random_label",
        "saliency", "alignment_calibration",
    ]  # fmt: skip
    assert without.digest != recipes.load(TINY).digest


@pytest.mark.parametrize("name", NAMES)
def test_every_method_has_settings_of_its_type_in_every_recipe(name: str) -> None:
    recipe = recipes.load(name)
    for method in METHODS.values():
        if (method.name, recipe.paradigm.name) == ("alignment_calibration", "supervised"):
            found = refusal(recipe.method_config, method.name)
            assert found.startswith(f"recipe {name} has no settings for method alignment_calibration: give it methods.")
        else:
            assert isinstance(recipe.method_config(method.name), method.config)
    assert recipe.method_config("retrain") is recipe.training
    assert recipe.method_config("finetune") is recipe.methods.finetune
    assert recipe.method_config("gradient_matching_stage2") is recipe.methods.gradient_matching_stage2


LEVELS = [
    "unheard_of",
    "data.unheard_of",
    "split.unheard_of",
    "training.unheard_of",
    "signals.unheard_of",
    "evaluation.unheard_of",
    "methods.unheard_of",
    "methods.finetune.unheard_of",
    "methods.gradient_matching.unheard_of",
    "methods.gradient_matching.optimisation.unheard_of",
    "methods.gradient_matching_stage2.optimisation.unheard_of",
]


@pytest.mark.parametrize("path", LEVELS)
def test_an_unknown_key_is_an_error_that_names_it(path: str) -> None:
    assert f"recipe {TINY}: {path}: Extra inputs are not permitted" in refusal(recipes.load, TINY, nested(path, 1))


@pytest.mark.parametrize("path", ["encoder.unheard_of", "paradigm.unheard_of", "paradigm.augmentation.unheard_of"])
def test_an_unknown_key_of_a_chosen_kind_is_an_error_that_names_it(path: str) -> None:
    found = refusal(recipes.load, TINY, nested(path, 1))
    section, _, rest = path.partition(".")
    kind = {"encoder": "mlp", "paradigm": "simclr"}[section]
    assert f"{section}.{kind}.{rest}: Extra inputs are not permitted" in found


def test_the_number_of_further_errors_is_told() -> None:
    found = refusal(recipes.load, TINY, "{first: 1, second: 2, third: 3}")
    assert found.endswith("(and 2 more)")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("training.epochs", 0, "training.epochs: Input should be greater than 0"),
        ("training.epochs", "many", "training.epochs: Input should be a valid integer"),
        ("data.image_side", 3, "data.image_side: Input should be greater than 3"),
        ("data.limit", 0, "data.limit: Input should be greater than 0"),
        ("encoder.kind", "transformer", "encoder: Input tag 'transformer'"),
        ("paradigm.name", "telepathy", "paradigm: Input tag 'telepathy'"),
        ("split", None, "split: Input should be"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_its_key(path: str, value: Any, message: str) -> None:
    assert message in refusal(recipes.load, TINY, nested(path, value))


@pytest.mark.parametrize("content", ["", "[]", "just text", "7"])
def test_a_recipe_is_a_mapping(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    assert f"recipe {path}: top level: Input should be" in refusal(recipes.load, str(path))


def test_overrides_reach_deep_and_leave_their_neighbours_alone() -> None:
    base = recipes.load(TINY).model_dump()
    found = recipes.load(TINY, "methods: {gradient_matching: {optimisation: {epochs: 3}}}\ncheckpoint_every: 9")
    base["methods"]["gradient_matching"]["optimisation"]["epochs"] = 3
    base["checkpoint_every"] = 9
    assert found.model_dump() == base


def test_merging_replaces_lists_and_scalars_and_joins_mappings() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 4}
    overrides = {"a": {"c": [3], "e": {"f": 5}}, "d": {"g": 6}}
    assert merge(base, overrides) == {"a": {"b": 1, "c": [3], "e": {"f": 5}}, "d": {"g": 6}}
    assert merge(base, {}) == base
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 4}


def test_of_another_sort_of_encoder_or_paradigm_nothing_of_the_one_before_is_kept() -> None:
    found = recipes.load("image-folder-simclr", "encoder: {kind: resnet_small, width: 16}")
    assert found.encoder.model_dump() == {"kind": "resnet_small", "width": 16}
    same = recipes.load("image-folder-simclr", "encoder: {kind: mlp}")
    assert same.encoder == recipes.load("image-folder-simclr").encoder
    base = {"paradigm": {"name": "simclr", "temperature": 0.2}, "name": "mine", "kind": "mine"}
    assert merge(base, {"paradigm": {"name": "byol"}})["paradigm"] == {"name": "byol"}
    assert merge(base, {"paradigm": {"temperature": 0.5}})["paradigm"] == {"name": "simclr", "temperature": 0.5}
    assert merge(base, {"name": "yours", "kind": "yours"}) == base | {"name": "yours", "kind": "yours"}
    assert merge({"encoder": None}, {"encoder": {"kind": "mlp"}}) == {"encoder": {"kind": "mlp"}}


def test_the_digest_is_of_every_setting() -> None:
    recipe = recipes.load(TINY)
    assert recipes.load(TINY).digest == recipe.digest
    changed = {recipes.load(TINY, nested(path, 3)).digest for path in ("training.epochs", "signals.queries")}
    assert len({recipe.digest, *changed}) == 3


def test_a_file_is_as_good_as_a_shipped_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(yaml.safe_dump(recipes.load(TINY).model_dump(mode="json")))
    assert recipes.load(str(path)) == recipes.load(TINY)


@pytest.mark.parametrize("name", ["", "unheard-of", "digits-simclr.yam", "../recipes/digits-simclr", "digits_simclr"])
def test_an_unknown_recipe_names_the_known_ones(name: str) -> None:
    found = refusal(recipes.load, name)
    assert found == f"recipe {name!r} is unknown: choose one of {', '.join(NAMES)}, or give a YAML file"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing, folder, binary = tmp_path / "missing.yaml", tmp_path / "folder.yaml", tmp_path / "binary.yaml"
    folder.mkdir()
    binary.write_bytes(b"\xff\xfe\x00")
    for path, reason in ((missing, "No such file"), (folder, "Is a directory"), (binary, "not text in UTF-8")):
        found = refusal(recipes.load, str(path))
        assert found.startswith(f"recipe {path}: {reason}")
        assert found.endswith("give a readable YAML file")


@pytest.mark.parametrize("content", ["a: [1", "a: b: c", "\tx: 1", "a: &x *y", "day: 2024-13-01", "{[]: 1}"])
def test_what_is_not_yaml_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    assert f"recipe {path} is not YAML: " in refusal(recipes.load, str(path))
    assert "recipe overrides is not YAML: " in refusal(recipes.load, TINY, content)


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'made'}]")
    assert "is not YAML" in refusal(recipes.load, str(path))
    assert not (tmp_path / "made").exists()


def test_the_recipe_of_a_data_set_and_a_paradigm() -> None:
    assert recipes.default_recipe("digits", "supervised") == "digits-supervised"


def test_an_unknown_paradigm_names_the_known_ones() -> None:
    found = refusal(recipes.default_recipe, "digits", "telepathy")
    assert found == f"paradigm 'telepathy' is unknown: choose one of {', '.join(sorted(PARADIGMS))}"


def test_a_data_set_without_a_recipe_names_the_recipes_there_are() -> None:
    found = refusal(recipes.default_recipe, "stamps", "simclr")
    assert found == f"no recipe 'stamps-simclr': choose one of {', '.join(NAMES)}, or give a YAML file"


@pytest.fixture
def recipe() -> Recipe:
    return recipes.load(TINY)


def test_an_unknown_method_names_the_known_ones(recipe: Recipe) -> None:
    found = refusal(recipe.method_config, "amnesia")
    assert found == f"method 'amnesia' is unknown: choose one of {', '.join(METHODS)}"


@pytest.mark.parametrize("method", MethodsConfig.model_fields)
def test_overriding_a_method_changes_its_settings_and_nothing_else(recipe: Recipe, method: str) -> None:
    nests = isinstance(recipe.method_config(method), UnlearningConfig | ShrinkAndPerturbConfig)
    name = "context" if method == "ssd" else "epochs"
    found = override_method(recipe, method, f"optimisation: {{{name}: 2}}" if nests else f"{name}: 2")
    expected = recipe.model_dump()
    settings = expected["methods"][method]
    (settings["optimisation"] if nests else settings)[name] = 2
    assert found.model_dump() == expected
    assert found != recipe


def test_a_method_that_a_recipe_does_not_know_can_be_given_its_settings() -> None:
    recipe = recipes.load("digits-supervised")
    with_it = override_method(recipe, "alignment_calibration", "{optimisation: {epochs: 2}, positive: 3}")
    found = with_it.method_config("alignment_calibration")
    assert isinstance(found, AlignmentCalibrationConfig)
    assert (found.optimisation.epochs, found.positive) == (2, 3)


def test_no_overrides_change_nothing(recipe: Recipe) -> None:
    for method in METHODS:
        assert override_method(recipe, method, "") is recipe


def test_a_method_without_settings_has_none_to_override(recipe: Recipe) -> None:
    found = refusal(override_method, recipe, "retrain", "epochs: 2")
    assert found == "method 'retrain' has no settings of its own: leave the overrides empty"
    assert refusal(override_method, recipe, "amnesia", "epochs: 2").startswith("method 'amnesia' is unknown: choose")


@pytest.mark.parametrize("overrides", ["match: mean", "tolerance: 0.1", "rest: 3", "{target: 0, rest: 3, weight: 1}"])
def test_settings_of_what_had_the_name_before_say_what_it_is_called_now(recipe: Recipe, overrides: str) -> None:
    for found in (
        refusal(override_method, recipe, "gradient_penalty", overrides),
        refusal(recipes.load, TINY, yaml.safe_dump({"methods": {"gradient_penalty": yaml.safe_load(overrides)}})),
    ):
        assert "methods.gradient_penalty." in found
        assert found.endswith(
            ": Extra inputs are not permitted; what was gradient_penalty is called gradient_matching now"
        )
        assert "\n" not in found


def test_settings_that_neither_has_or_that_are_of_today_say_nothing_of_names(recipe: Recipe) -> None:
    for method, wrong in (
        ("gradient_penalty", "unheard_of: 1"),
        ("gradient_penalty", "optimisation: {unheard_of: 1}"),
        ("gradient_penalty", "target: -1"),
        ("gradient_matching", "target: 1"),
        ("loss_matching", "tolerance: 0.1"),
    ):
        assert "is called" not in refusal(override_method, recipe, method, wrong)
    assert override_method(recipe, "gradient_penalty", "{target: 0, weight: 0}").method_config("gradient_penalty")


def with_former_names(recipe: Recipe) -> dict[str, Any]:
    document = recipe.model_dump(mode="json")
    former = {present: name for name, present in FORMER_NAMES.items()}
    document["methods"] = {former.get(name, name): given for name, given in document["methods"].items()}
    return document


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_with_former_names_is_refused_in_a_line_and_read_where_it_was_stored(name: str) -> None:
    recipe = recipes.load(name)
    stored = with_former_names(recipe)
    found = refusal(validate_recipe, stored, name)
    assert found.startswith(f"recipe {name}: methods.gradient_matching: Field required (and ")
    assert found.endswith("more); what was gradient_penalty is called gradient_matching now")
    assert validate_recipe(with_present_names(stored), name) == recipe
    present = recipe.model_dump(mode="json")
    assert with_present_names(present) == present
    stored["methods"] = {"interpolated_gradient_penalty": {}} | present["methods"]
    told = "Extra inputs are not permitted; what was interpolated_gradient_penalty is called gradient_penalty now"
    assert refusal(validate_recipe, stored, name).endswith(told)


@pytest.mark.parametrize("former", sorted(FORMER_NAMES.keys() - METHODS.keys()))
def test_a_former_name_is_no_method_and_says_which_it_is(recipe: Recipe, former: str) -> None:
    told = f"method {former!r} is unknown: it is called {FORMER_NAMES[former]} now"
    assert refusal(recipe.method_config, former) == refusal(override_method, recipe, former, "weight: 2") == told


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("unheard_of: 1", "methods.finetune.unheard_of: Extra inputs are not permitted"),
        ("epochs: 0", "methods.finetune.epochs: Input should be greater than 0"),
        ("[1]", "methods.finetune: Input should be"),
        ("a: [", "settings of finetune is not YAML"),
    ],
)
def test_wrong_overrides_of_a_method_are_named(recipe: Recipe, overrides: str, message: str) -> None:
    assert message in refusal(override_method, recipe, "finetune", overrides)


def test_settings_that_are_left_out_have_their_defaults(tmp_path: Path) -> None:
    document = recipes.load(TINY).model_dump(mode="json")
    for key in ("signals", "evaluation", "checkpoint_every"):
        del document[key]
    document["methods"]["finetune"] = {"epochs": 4}
    found = validate_recipe(document, "mine")
    assert found.checkpoint_every == 50
    assert found.methods.finetune == OptimisationConfig(epochs=4)
