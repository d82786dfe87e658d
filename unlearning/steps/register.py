"""Register: an original enters the registry and serves."""

from __future__ import annotations

from pathlib import Path

from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.data import splits
from unlearning.learning import models
from unlearning.recipes import provenance
from unlearning.recipes.provenance import Provenance
from unlearning.registry import descriptions
from unlearning.registry.client import DatasetLink, NewVersion, Registry, Version
from unlearning.registry.history import by_number, chain
from unlearning.registry.versions import champion
from unlearning.steps.evaluate import EvaluationReport, load_evaluation
from unlearning.steps.references import load_for
from unlearning.steps.tombstones import refuse_erased
from unlearning.steps.unlearn import check_split
from unlearning.storage.datasets import split_key
from unlearning.storage.lease import lock
from unlearning.storage.store import open_store

LOCK_SECONDS = 300.0


def accuracy_metrics(evaluation: EvaluationReport, model: str) -> dict[str, float]:
    """The accuracies of one model, as MLflow metrics."""
    values = evaluation.accuracies[model].model_dump()
    return {name: value["estimate"] for name, value in values.items() if value is not None}


def provenance_tags(made: Provenance, status: str) -> dict[str, str]:
    """The searchable links every version carries; each key is always there, since MLflow's
    searches skip versions that lack it. An original stands on no rung, was compared
    with nothing, and nothing had to be accepted."""
    return {
        "status": status,
        "method": made.method,
        "paradigm": made.recipe.paradigm.name,
        "recipe": made.recipe.name,
        "recipe_digest": made.recipe.digest,
        "seed": str(made.seed),
        "commit": made.commit,
        "snapshot": made.snapshot,
        "split": made.split,
        "forget": made.forget or "none",
        "from_snapshot": made.snapshot if made.parent else "none",
        "from_split": made.split if made.parent else "none",
        "batch": "none",
        "parent_digest": made.parent or "none",
        # Those of an original were trained on what a later version has forgotten: only an original has any.
        "references": "0",
        "compared_with": "none",
        "rung": made.rung or "none",
        "action": "none",
        "accepted": "no",
        "statement": "none",
    }


def promotion_lock(model_name: str) -> str:
    """The lock under which `champion` moves, and versions are withdrawn and condemned."""
    return f"locks/promote-{model_name}"


def serve(registry: Registry, version: Version, owner: str, *, follows: Version | None = None) -> Version:
    """Move `champion` under the promotion lock, as the registry has no compare-and-set, and tell it on its pages.

    Args:
        follows: the version it was made from, which must be serving now; None for an original.

    Raises:
        UserError: another version serves, or somebody else is moving `champion`.
    """
    store = open_store(settings.from_environment().store)
    with lock(store, promotion_lock(version.name), owner, seconds=LOCK_SECONDS) as lease:
        lease.check()
        if follows is None or not check_follows(registry, follows, version):
            registry.make_champion(version)
        descriptions.tell(registry, version.name)
        return registry.resolve(version.name, version.version)


def check_follows(registry: Registry, parent: Version, version: Version | None = None) -> bool:
    """Make sure that what was made from `parent` would not bring back what others have made it forget since.

    Args:
        version: made from it; None before it is registered.

    Returns:
        Whether `version` serves, or served before what serves now was made from it.

    Raises:
        UserError: a version serves that comes neither from `version` nor is its parent.
    """
    found = by_number(registry.versions(parent.name))
    serves = champion(found.values())
    if serves is None or serves.version == parent.version:
        return False
    if version is not None and version.version in {each.version for each in chain(serves, found)}:
        return True
    raise UserError(
        f"model {parent.name} version {serves.version} serves by now, which was not made from what was made from "
        f"version {parent.version}: unlearn version {serves.version} instead"
    )


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
            tags=provenance_tags(made, "registered")
            | {"verdict": "none", "parent": "none", "run_name": run_name, "references": str(count)},
            description=f"Original: {made.recipe.description}",
            datasets=(DatasetLink("members", made.split, made.recipe.split.members, made.snapshot),),
            metrics={"seconds": made.seconds, **accuracy_metrics(evaluation, "original")},
            params={"recipe": made.recipe.name, "seed": str(made.seed), "method": made.method},
            files=(evaluation_path,),
        )
    )
    return serve(registry, version, run_name)
