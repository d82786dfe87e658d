"""The tags of a registered version: the one place that spells them.

MLflow's searches skip a version that lacks a tag, so that every version which this product registers has all that
belong to its provenance; what has no value says `none`. A version that something else registered may lack any.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_serializer, model_validator

from unlearning.audit.results import EvaluationReport
from unlearning.core.config import Config
from unlearning.data.provenance import ProvenanceRecord

NONE = "none"
"""What a tag says that has no value."""

FULFILLED = "fulfilled"
"""What the tag of a request says on every version that honours it."""

_PREFIXES = {"requests": "request.", "certificates": "certificate.", "qualifications": "qualification."}
"""Tags of which there is one for each request, or each qualification, by the field that holds them."""

_KEYS = {"attempt": "rung"}
"""Keys in MLflow that differ from the field's name: versions registered before carry them."""
_FIELDS = {key: field for field, key in _KEYS.items()}


LONGEST = 5_000
"""Characters of a tag's value that every MLflow server takes."""

_PART = re.compile(r"withdrawn_for\.([0-9]+)")
"""The second and later parts of a list of requests that is longer."""


class Tags(Config):
    """What is searchable of a version. Read from MLflow's keys, and written as them; a field that was not given is
    `none` when it is read, and is not written."""

    kind: str = NONE
    """`original`, `unlearned` or `retrained`."""
    operation: str = NONE
    """The work that made it: registering it again gives the same version."""
    digest: str = NONE
    """SHA-256 of the weights."""
    run: str = NONE
    """Id of the MLflow run that made it."""
    logged_model: str = NONE
    """Id of its logged model; follows from the version's source and is never written."""

    status: str = NONE
    """`registered`, `serving`, `superseded`, `rejected`, `withdrawn` or `purged`."""
    served_at: str = NONE
    superseded_by: str = NONE
    superseded_at: str = NONE

    method: str = NONE
    paradigm: str = NONE
    recipe: str = NONE
    recipe_digest: str = NONE
    seed: str = NONE
    commit: str = NONE
    run_name: str = NONE
    snapshot: str = NONE
    """The data it stands for: what it was trained on and has not forgotten."""
    split: str = NONE
    from_snapshot: str = NONE
    """The data its parent stands for; `none` of an original."""
    from_split: str = NONE
    forget: str = NONE
    """Digest of the forget set."""
    forgotten_records: str = NONE
    parent: str = NONE
    parent_digest: str = NONE
    batch: str = NONE
    """Compliance batch that it was made for."""
    references: str = NONE
    """How many reference models were trained for it; only an original has any."""

    attempt: str = NONE
    """Which attempt of the escalation policy made it."""
    action: str = NONE
    """What followed its verdict."""
    verdict: str = NONE
    compared_with: str = NONE
    accepted: str = NONE
    """`yes` where it serves though its audit could not tell."""
    statement: str = NONE
    """Under which it was accepted."""
    qualified_by: str = NONE
    """The qualifications of its method by which it was accepted, in a line."""
    largest_auc: str = NONE
    largest_auc_gap: str = NONE
    auc_margin: str = NONE

    withdrawn_at: str = NONE
    withdrawn_for: str = NONE
    """Requests, separated by commas; written last, so that a withdrawal that was cut off is seen."""
    purge_after: str = NONE
    purge_started: str = NONE
    purged_at: str = NONE
    purged_objects: str = NONE

    requests: dict[str, str] = Field(default_factory=dict)
    """`fulfilled` by the id of every request that it honours."""
    certificates: dict[str, str] = Field(default_factory=dict)
    """Key in the store of the newest certificate, by request."""
    qualifications: dict[str, str] = Field(default_factory=dict)
    """Of an original: how each method forgot simulated sets, in a line, by `<method>.<records of a set>`."""
    others: dict[str, str] = Field(default_factory=dict)
    """What other people or programs have written."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        """From MLflow's keys; from fields too."""
        if not isinstance(given, Mapping):
            return given
        found: dict[str, Any] = {"others": dict(given.get("others", {}))}
        for field, prefix in _PREFIXES.items():
            own = {key.removeprefix(prefix): value for key, value in given.items() if key.startswith(prefix)}
            found[field] = {**given.get(field, {}), **own}
        parts = {int(part[1]): value for key, value in given.items() if (part := _PART.fullmatch(str(key)))}
        for key, value in given.items():
            if key in found or key.startswith(tuple(_PREFIXES.values())) or _PART.fullmatch(str(key)):
                continue
            field = _FIELDS.get(key, str(key))
            if field in cls.model_fields:
                found[field] = value
            else:
                found["others"][key] = value
        if "withdrawn_for" in found:
            found["withdrawn_for"] += "".join(parts[number] for number in sorted(parts))
        return {key: value for key, value in found.items() if value != {}}

    @model_serializer
    def written(self) -> dict[str, str]:
        """As MLflow's keys, without what was not given."""
        fields = {
            _KEYS.get(key, key): getattr(self, key) for key in type(self).model_fields if key in self.model_fields_set
        }
        nested = {key: fields.pop(key) for key in (*_PREFIXES, "others") if key in fields}
        found: dict[str, str] = fields | nested.get("others", {})
        whole = found.pop("withdrawn_for", "")
        for start in reversed(range(0, len(whole), LONGEST)):  # the first part last: it says that all is there
            number = start // LONGEST + 1
            found["withdrawn_for" if number == 1 else f"withdrawn_for.{number}"] = whole[start : start + LONGEST]
        for field, prefix in _PREFIXES.items():
            found |= {prefix + name: value for name, value in nested.get(field, {}).items()}
        return found

    def value(self, key: str) -> str:
        """A field by its name, empty where it says `none`."""
        found = str(getattr(self, key))
        return "" if found == NONE else found

    def changed(self, by: Tags) -> Self:
        """These with what `by` gives in their place."""
        return type(self).model_validate(self.written() | by.written())


def accuracy_metrics(evaluation: EvaluationReport, model: str) -> dict[str, float]:
    """The accuracies of one model, as MLflow metrics."""
    values = evaluation.accuracies[model].model_dump()
    return {name: value["estimate"] for name, value in values.items() if value is not None}


def accuracies_of_all(evaluation: EvaluationReport) -> dict[str, float]:
    """The same of every model, as KFP's metrics."""
    return {
        f"{model} {name}": value
        for model in evaluation.models
        for name, value in accuracy_metrics(evaluation, model).items()
    }


def provenance_tags(made: ProvenanceRecord, status: str) -> Tags:
    """The links every version carries. An original is no attempt, was compared with nothing, and nothing had to
    be accepted."""
    return Tags(
        status=status,
        method=made.method,
        paradigm=made.paradigm,
        recipe=made.recipe_name,
        recipe_digest=made.recipe_digest,
        seed=str(made.seed),
        commit=made.commit,
        snapshot=made.snapshot,
        split=made.split,
        forget=made.forget or NONE,
        from_snapshot=made.snapshot if made.parent else NONE,
        from_split=made.split if made.parent else NONE,
        batch=NONE,
        parent_digest=made.parent or NONE,
        # Those of an original were trained on what a later version has forgotten: only an original has any.
        references="0",
        compared_with=NONE,
        attempt=made.attempt or NONE,
        action=NONE,
        accepted="no",
        statement=NONE,
        qualified_by=NONE,
    )
