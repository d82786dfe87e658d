"""Audit: membership-inference attacks on original, candidate and what a model that never saw the records shows."""

from __future__ import annotations

from pathlib import Path

from unlearning.audit.audit import audit as run_audit
from unlearning.audit.audit import forgotten_of
from unlearning.audit.references.plan import check_comparable
from unlearning.audit.results import Audit
from unlearning.core.errors import UserError
from unlearning.core.files import write_json
from unlearning.data import forget_set
from unlearning.data.loading import load_split, part
from unlearning.learning import models
from unlearning.learning.devices import choose_device, deterministic
from unlearning.learning.paradigms import make_paradigm
from unlearning.learning.retrained import retrained_at
from unlearning.recipes import provenance
from unlearning.recipes.provenance import check_belongs


def audit(
    *,
    original_path: Path,
    candidate_path: Path,
    retrained_path: Path | None,
    references_path: Path | None = None,
    snapshot_path: Path,
    split_path: Path,
    forget_path: Path,
    seed: int,
    device: str,
    gpus: int = 0,
    audit_path: Path,
) -> Audit:
    """Attack the models over the same records and write the result.

    Forget set against holdout; the retained members show what a member still looks like.

    Args:
        retrained_path: exactly retrained without the forget set; None, or the word that there is none, where the
            references decide.
        references_path: of this original; None, or an empty set, for none.

    Raises:
        UserError: the models, the data and the forget set do not belong together, or there is nothing to
            compare the candidate with, or nothing that can answer for this kind of forget set.
    """
    made, retrained = provenance.load(original_path), retrained_at(retrained_path)
    snapshot, split = load_split(snapshot_path, split_path)
    forget = forget_set.load(forget_path)
    check_belongs(made, split, forget)
    _check_models(original_path, candidate_path, retrained, forget.digest)
    forgotten = forgotten_of(references_path, models.digest(original_path), split, forget)
    if retrained is None and forgotten is None:
        raise UserError("nothing to compare the candidate with: give a retrained model, or the original's references")
    if retrained is None:
        check_comparable(forget.kind)
    chosen = choose_device(device, gpus)
    deterministic()
    side = made.recipe.data.image_side
    paths = {"original": original_path, "candidate": candidate_path, "retrained": retrained}
    result = run_audit(
        {name: (models.digest(path), models.load(path, chosen)) for name, path in paths.items() if path is not None},
        make_paradigm(made.recipe.paradigm),
        forget=part(snapshot, forget.ids, side, chosen),
        holdout=part(snapshot, split.holdout, side, chosen),
        retained=part(snapshot, split.retained(forget.ids), side, chosen),
        config=made.recipe.signals,
        seed=seed,
        split=split.digest,
        forget_digest=forget.digest,
        forgotten=forgotten,
    )
    told = result.model_copy(update={"diverged": provenance.load(candidate_path).diverged})
    write_json(audit_path, told.model_dump(mode="json"))
    return told


def _check_models(original_path: Path, candidate_path: Path, retrained_path: Path | None, forget: str) -> None:
    """A candidate compared with anything but an exactly retrained model of its own could pass unforgotten."""
    original = models.digest(original_path)
    for name, path in (("candidate", candidate_path), ("retrained", retrained_path)):
        if path is None:
            continue
        made = provenance.load(path)
        if made.parent != original or made.forget != forget:
            raise UserError(f"{name} {path} was not made from this original and this forget set: give the one that was")
    if retrained_path is None:
        return
    if provenance.load(retrained_path).method != "retrain":
        raise UserError(f"{retrained_path} is not a retrained model: make the reference with the method retrain")
    if models.digest(candidate_path) == models.digest(retrained_path):
        raise UserError("the candidate is its own reference: retrain the reference from another seed")
