"""Qualify: a method forgets many simulated sets of an original's members, which are audited together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unlearning.audit.policy import Margins
from unlearning.audit.qualification import files
from unlearning.audit.qualification.files import SetsManifest
from unlearning.audit.qualification.judge import judge
from unlearning.audit.qualification.plan import draw, from_text, sizes_of
from unlearning.audit.qualification_results import Qualification
from unlearning.audit.references.plan import refuse_without_references
from unlearning.audit.references.signals import load_for
from unlearning.compliance.retention.tombstones import refuse_erased_in
from unlearning.core import settings
from unlearning.core.errors import UserError
from unlearning.core.files import write_json
from unlearning.data.loading import load_split
from unlearning.learning import models
from unlearning.learning.devices import choose_device, deterministic
from unlearning.recipes import provenance, qualification
from unlearning.recipes.provenance import check_split
from unlearning.registry import descriptions
from unlearning.registry.client import Registry
from unlearning.registry.tags import Tags
from unlearning.storage import qualifications
from unlearning.storage.open import open_store


def forget(
    *,
    model_path: Path,
    references_path: Path,
    snapshot_path: Path,
    split_path: Path,
    method: str,
    overrides: str,
    sizes: str,
    sets: int,
    share: str,
    seed: int,
    device: str,
    gpus: int = 0,
    part_path: Path,
) -> SetsManifest:
    """Forget the sets of a share, each on the original anew, and write what the models show of them.

    Args:
        references_path: of this original.
        overrides: YAML laid over the method's settings; empty for none.
        sizes: records of a set, such as `1,3,10,30`.
        sets: of each size, at most.
        share: as `unlearning.audit.qualification.plan.as_text` writes it.

    Raises:
        UserError: not an original, without references, trained on other data or on records that were erased since,
            or a parameter has no meaning.
    """
    made = provenance.load(model_path)
    snapshot, split = load_split(snapshot_path, split_path)
    if made.parent:
        raise UserError(f"{model_path} was unlearned: a method is qualified on an original, before it forgets")
    check_split(made, split)
    refuse_erased_in(snapshot)
    references = load_for(references_path, models.digest(model_path), split.digest)
    if not references.manifest.count:
        refuse_without_references(str(model_path), unlearned=False)
    asked: dict[str, Any] = {
        "method": method,
        "overrides": overrides,
        "seed": seed,
        "device": choose_device(device, gpus),
    }
    deterministic()
    given = qualification.prepare(model_path, made, snapshot, split, references, **asked)
    return qualification.forget_sets(
        given, split, from_text(share), sizes=sizes_of(sizes), sets=sets, part_path=part_path
    )


def conclude(
    *, parts: Sequence[Path], references_path: Path, margins: Margins, qualifications_path: Path
) -> list[Qualification]:
    """Judge the method at every size, keep what was found with the original, and show it on its version's page.

    Raises:
        UserError: the shares are not one whole, or the references are another original's.
    """
    manifest, sets = files.gather(parts)
    references = load_for(references_path, manifest.original, manifest.split)
    members, found = references.trained.shape[1], []
    for size, forgotten in sets.items():
        pool = qualification.pool_of(references, draw(members, size, len(forgotten), manifest.seed))
        asked: dict[str, Any] = manifest.model_dump(include={"method", "settings", "seed"})
        found.append(judge(forgotten, pool, margins=margins, **asked))
    write_json(qualifications_path, [each.model_dump(mode="json") for each in found])
    where = settings.from_environment()
    store, registry = open_store(where.store), Registry(where.tracking_uri)
    told = {f"{each.method}.{each.size}": each.told for each in found}
    for each in found:
        qualifications.keep(store, each)
    for version in registry.search(Tags(kind="original", digest=manifest.original)):
        registry.set_tags(version, Tags(qualifications=told))
        descriptions.tell(registry, version.name)
    return found
