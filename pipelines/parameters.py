"""Every parameter of the pipelines, once: its name, type, default, bounds and meaning.

The form in the Kubeflow Pipelines UI, the options of the command line, the record of a local run, what is checked
before anything is submitted and the tables of the documentation all come from here. Groups that tasks are handed as a
whole stand where they act: `Policy`, `SetsToForget`, `ForgetSelection`, `BatchParameters` and `Hardware`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, Field
from pydantic.fields import FieldInfo

from unlearning.audit.policy import OnInconclusive, Policy
from unlearning.audit.qualification.plan import SetsToForget
from unlearning.audit.references.plan import check_count
from unlearning.cluster.workers import DeviceName, Hardware
from unlearning.compliance.batches.parameters import BatchParameters
from unlearning.core.config import Config
from unlearning.data.forget_selection import ForgetSelection
from unlearning.methods import check_known


def _known_method(name: str) -> str:
    check_known(name)
    return name


def _possible_count(count: int) -> int:
    check_count(count)
    return count


class Training(Config):
    """What is trained, and on what."""

    recipe: str = "fashion-mnist-simclr"
    """Name of a shipped recipe (see `unlearn recipes`): data, encoder, paradigm, training."""
    overrides: str = ""
    """YAML laid over the recipe, such as "training: {epochs: 10}". Empty for none."""
    seed: int = 0
    """Seed of the split, the initial weights and the training."""
    erased: Literal["refuse", "drop"] = "refuse"
    """What becomes of records that were erased and that the source still holds: refuse (stop, so that somebody looks)
    or drop (train without them, as a recurring run wants)."""


class ReferenceModels(Config):
    """Reference models, which every later audit of the original compares with."""

    reference_models: Annotated[int, AfterValidator(_possible_count)] = 16
    """Models trained on random halves of the members (even, 8 or more; 0 for none)."""
    reference_tasks: int = Field(4, ge=1)
    """Tasks that train them side by side."""


class Registered(Config):
    """Where the original stands in MLflow."""

    model_name: str = ""
    """Registered model in MLflow. Empty: the recipe's name."""
    run_name: str = ""
    """Name of this run in MLflow. Empty: the KFP run's id."""


class RegisteredModel(Config):
    """The model that is to forget."""

    model_name: str = "fashion-mnist-simclr"
    """Registered model in MLflow."""
    model_version: str = "champion"
    """Version number or alias of the model that is to forget."""


class QualifiedMethod(Config):
    """The method that is to be qualified, with the settings that it will have."""

    method: Annotated[str, AfterValidator(_known_method)] = "gradient_matching"
    """The method, but for retrain, which needs no qualification."""
    method_overrides: str = ""
    """YAML laid over the method's settings, such as "weight: 3.0". Empty for none."""
    seed: int = 0
    """Seed of the sets, the forgetting and the audit."""


class MethodChoice(Config):
    """How it is made to forget."""

    method: Annotated[str, AfterValidator(_known_method)] = "gradient_matching"
    """gradient_matching, gradient_matching_stage2, gradient_penalty, or a peer: loss_matching, gradient_ascent, npo,
    random_label, saliency, alignment_calibration, scrub, bad_teacher, ssd, l1_sparse, coun, shrink_and_perturb,
    finetune or retrain."""
    method_overrides: str = ""
    """YAML laid over the method's settings, such as "weight: 3.0". Empty for none."""
    seed: int = 0
    """Seed of the forget set, the unlearning and the audit."""


class Named(Config):
    """What the run is called."""

    run_name: str = ""
    """Name of this run in MLflow. Empty: the KFP run's id."""
    batch: str = ""
    """Compliance batch that asks for it, for forget_kind batch. Empty for none."""


class BatchName(Config):
    """What the batch is called."""

    batch: str = ""
    """Name of this batch. Empty: the KFP run's id."""


class CompliancePolicy(Policy):
    """The policy of a batch, which must come to an end before the deadline."""

    on_inconclusive: OnInconclusive = "accept_retrained"
    """Where the audit cannot tell: retrain, stop, accept, accept_retrained (a request for a few records is honoured by
    training again without them, and the certificate says that no audit could tell), or qualified (without training,
    where the method is qualified to forget so few; otherwise as accept_retrained)."""


class ModelsToHonour(Config):
    """What the inner pipeline of a batch is handed."""

    models: list[str]
    batch: str
    grace_days: int


class LocalHardware(Config):
    """What a local run computes on."""

    device: DeviceName = "auto"
    """auto, cpu or cuda."""
    processes: int = Field(1, ge=1)
    """Processes that train one model together; each takes a GPU of its own."""


class LocalRun(LocalHardware, Policy, MethodChoice, ForgetSelection, ReferenceModels, Registered, Training):
    """Parameters of a local run of pretraining and unlearning."""

    reference_models: Annotated[int, AfterValidator(_possible_count)] = 0
    """Reference models for the per-record attacks (even, 8 or more; 0 for none)."""
    reference_tasks: int = Field(1, ge=1)
    """Tasks that train them; on one machine they follow one another."""


class LocalQualification(LocalHardware, SetsToForget, QualifiedMethod, RegisteredModel):
    """Parameters of a local qualification."""

    qualification_tasks: int = Field(1, ge=1)
    """Tasks that forget the sets; on one machine they follow one another."""


class LocalBatch(LocalHardware, CompliancePolicy, MethodChoice, BatchParameters):
    """Parameters of a local compliance batch."""

    most_models: int = Field(0, ge=0)
    """Models that one batch unlearns, those with the earliest deadlines first; the others wait for the next batch. 0
    for all."""


FORMS: dict[str, dict[str, type[Config]]] = {
    "pretraining": {
        "training": Training, "references": ReferenceModels, "registered": Registered, "hardware": Hardware,
    },
    "unlearning": {
        "model": RegisteredModel, "forget": ForgetSelection, "method": MethodChoice, "policy": Policy, "named": Named,
        "hardware": Hardware,
    },
    "qualification": {
        "model": RegisteredModel, "method": QualifiedMethod, "sets": SetsToForget, "hardware": Hardware,
    },
    "compliance": {
        "named": BatchName, "requests": BatchParameters, "method": MethodChoice, "policy": CompliancePolicy,
        "hardware": Hardware,
    },
    "honour": {"work": ModelsToHonour, "method": MethodChoice, "policy": CompliancePolicy, "hardware": Hardware},
}  # fmt: skip
"""The groups of each pipeline's form, in the order in which a person thinks."""

TITLES = {
    "training": "Model", "references": "Audit", "registered": "Registry", "model": "Model", "forget": "What to forget",
    "method": "How", "sets": "Simulated sets", "policy": "Policy", "named": "Name", "requests": "Requests",
    "hardware": "Hardware", "work": "Work",
}  # fmt: skip
"""What a group is called in front of people."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a form."""

    name: str
    group: str
    field: FieldInfo

    @property
    def type(self) -> Any:
        """What KFP and typer know: `Literal` is text."""
        annotation = self.field.annotation
        return str if get_origin(annotation) is Literal else annotation

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it may have; empty where there are too many to name."""
        found = self.field.annotation
        return tuple(_literals(found)) if get_origin(found) is Literal else ()

    @property
    def bounds(self) -> str:
        """In words; empty where there are none."""
        words = {Ge: "at least {.ge}", Gt: "more than {.gt}", Le: "at most {.le}", Lt: "less than {.lt}"}
        found = [words[type(each)].format(each) for each in self.field.metadata if type(each) in words]
        return f"{found[0][:1].upper()}{', '.join(found)[1:]}." if found else ""

    @property
    def text(self) -> str:
        """Its meaning, with choices and bounds where the words do not tell them."""
        meaning = " ".join((self.field.description or "").split())
        untold = [each for each in self.choices if each not in meaning]
        return " ".join(filter(None, [meaning, f"One of {', '.join(self.choices)}." if untold else "", self.bounds]))

    @property
    def default(self) -> Any:
        return self.field.get_default(call_default_factory=True)


def _literals(annotation: Any) -> Iterator[str]:
    for each in get_args(annotation):
        if get_origin(each) is Literal:
            yield from _literals(each)
        else:
            yield str(each)


def parameters_of(groups: Mapping[str, type[Config]]) -> list[Parameter]:
    """The parameters of these groups, in their order."""
    return [
        Parameter(name, group, field) for group, kind in groups.items() for name, field in kind.model_fields.items()
    ]
