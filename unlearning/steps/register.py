"""Register: an original enters the registry and serves."""

from __future__ import annotations

from pathlib import Path

from unlearning.audit.references.signals import load_for
from unlearning.audit.results import load_evaluation
from unlearning.compliance.retention.tombstones import refuse_erased
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.data import splits
from unlearning.learning import models
from unlearning.recipes import provenance
from unlearning.recipes.provenance import check_split
from unlearning.registry.client import DatasetLink, NewVersion, Registry, Version
from unlearning.registry.promotion import serve
from unlearning.registry.tags import NONE, Tags, accuracy_metrics, provenance_tags
from unlearning.storage.keys import split_key
from unlearning.storage.open import open_store


def _count(references_path: Path | None, digest: str, split: str) -> int:
    """How many references the model has, after a look whether they are its own."""
    if references_path is None:
        return 0
    return load_for(references_path, digest, split).manifest.count


def register(
    *,
    model_path: Path,
    split_path: Path,
    evaluation_path: Path,
    references_path: Path | None = None,
    model_name: str,
    run_name: str,
) -> Version:
    """Register an original as a new version and let it serve. Doing it twice changes nothing.

    Args:
        references_path: reference models that were trained for it; None for none.
        model_name: registered model; empty means the recipe's name.
        run_name: names the work, so that a retried step finds its own version.

    Raises:
        UserError: model, split, references and evaluation do not belong together, or records were erased while it
            was trained.
    """
    made, evaluation, split = provenance.load(model_path), load_evaluation(evaluation_path), splits.load(split_path)
    check_split(made, split)
    refuse_erased(split.ids, f"split {made.split[:12]} of the model", "ingest with erased=drop and train again")
    digest = models.digest(model_path)
    count = _count(references_path, digest, made.split)
    if evaluation.models.get("original") != digest:
        raise UserError(f"evaluation {evaluation_path} is of another model: evaluate {model_path} first")
    where = settings.from_environment()
    if not open_store(where.store).exists(split_key(made.split)):
        raise UserError(
            f"split {made.split[:12]} is not in the store {where.store}: run the split step with this store"
        )
    registry = Registry(where.tracking_uri)
    version = registry.register(
        NewVersion(
            name=model_name or made.recipe.name,
            operation=f"register:{run_name}:{digest}:{made.recipe.digest}",
            kind="original",
            folder=model_path,
            digest=digest,
            image_shape=models.load(model_path).spec.image_shape,
            tags=provenance_tags(made.record(), "registered").changed(
                Tags(verdict=NONE, parent=NONE, run_name=run_name, references=str(count))
            ),
            description=f"Original: {made.recipe.description}",
            datasets=(DatasetLink("members", made.split, made.recipe.split.members, made.snapshot),),
            metrics={"seconds": made.seconds, **accuracy_metrics(evaluation, "original")},
            params={"recipe": made.recipe.name, "seed": str(made.seed), "method": made.method},
            files=(evaluation_path,),
        )
    )
    return serve(registry, version, run_name)
