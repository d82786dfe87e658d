"""Audit: membership-inference attacks on original, candidate and what a model not trained on the records shows."""

from __future__ import annotations

from pathlib import Path

from unlearning.audit.audit import audit as run_audit
from unlearning.audit.audit import forgotten_of
from unlearning.audit.references.plan import GROUPS, check_comparable, check_unlearned
from unlearning.audit.results import Audit
from unlearning.core.errors import UserError
from unlearning.core.files import write_json
from unlearning.learning import models
from unlearning.learning.devices import choose_device, deterministic
from unlearning.learning.paradigms import make_paradigm
from unlearning.learning.retrained import retrained_at
from unlearning.recipes import provenance, run_data
from unlearning.recipes.forgotten_before import audit_forgotten_before, past_of
from unlearning.recipes.provenance import check_made_from
from unlearning.recipes.unlearned_references import with_unlearned


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
    unlearned_references: int = 0,
    forgotten_before_path: Path | None = None,
    audit_path: Path,
) -> Audit:
    """Attack the models over the same records and write the result.

    Forget set against holdout; the retained members show what a member still looks like.

    Args:
        retrained_path: exactly retrained without the forget set; None, or the word that there is none, where the
            references decide.
        references_path: of this original; None, or an empty set, for none.
        unlearned_references: how many of them are made to forget too, for U-LiRA; their weights must be there.
        forgotten_before_path: what the original had forgotten before, as `resolve` wrote it; None where the audit is
            not given any.

    Raises:
        UserError: the models, the data and the forget set do not belong together, or there is nothing to
            compare the candidate with, or nothing that can answer for this kind of forget set,
            or not as many references, or without weights.
        TrainingDivergedError: a reference cannot be made to forget.
    """
    retrained = retrained_at(retrained_path)
    run = run_data.load(original_path, snapshot_path, split_path, forget_path)
    recipe, forget = run.made.recipe, run.forget
    check_made_from(original_path, forget, candidate=candidate_path, retrained=retrained)
    forgotten = forgotten_of(references_path, models.digest(original_path), run.split, forget)
    if retrained is None and forgotten is None:
        raise UserError("nothing to compare the candidate with: give a retrained model, or the original's references")
    if retrained is None:
        check_comparable(forget.kind)
    made, past = provenance.load(candidate_path), past_of(forgotten_before_path, run)
    check_unlearned(unlearned_references, 0 if forgotten is None else len(forgotten.references.trained))
    chosen = choose_device(device, gpus)
    deterministic()
    if forgotten is not None and references_path is not None:
        forgotten = with_unlearned(forgotten, unlearned_references, references_path, made, run, chosen)
    paths = {"original": original_path, "candidate": candidate_path, "retrained": retrained}
    loaded = {name: models.load(path, chosen) for name, path in paths.items() if path is not None}
    result = run_audit(
        {name: (models.digest(path), loaded[name]) for name, path in paths.items() if path is not None},
        make_paradigm(recipe.paradigm),
        forget=run.records(forget.ids, chosen),
        holdout=run.records(run.split.holdout, chosen),
        retained=run.records(run.retained, chosen),
        config=recipe.signals,
        seed=seed,
        split=run.split.digest,
        forget_digest=forget.digest,
        forgotten=forgotten,
        grouped=forget.kind in GROUPS,
    )
    before = audit_forgotten_before(past, run, loaded, seed=seed, device=chosen)
    told = result.model_copy(update={"diverged": made.diverged, "forgotten_before": before})
    write_json(audit_path, told.model_dump(mode="json"))
    return told
