"""Whether what was forgotten before still is: forgetting others may bring it back.

A model that has forgotten A and is made to forget B may learn A again from members that are like it, and its audit over
B would not show that. The model that is retrained without B was never trained on A either, so that the candidate is
compared with it over A as over B. References say nothing here: those of the first original were trained on A, and a
version that has forgotten has none.
"""

from __future__ import annotations

from collections.abc import Mapping

from unlearning.audit.audit import compare, measure_model
from unlearning.audit.reference_baseline import own_attacks
from unlearning.audit.results import Comparison
from unlearning.audit.signals import SignalConfig
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm

COMPARED = ("candidate", "retrained")


def compare_forgotten_before(
    models: Mapping[str, Model],
    paradigm: Paradigm,
    *,
    before: Records,
    holdout: Records,
    retained: Records,
    config: SignalConfig,
    seed: int,
) -> tuple[Comparison, ...]:
    """Every attack that needs no references, on candidate minus retrained model; 0 is ideal, positive has come back.

    Args:
        models: with `candidate` and `retrained`, neither of them trained on the holdout.
        before: (B, C, H, W) images of what was forgotten before.
        holdout, retained: as in `audit`.
        config: how often each record is looked at.
        seed: of views, batches and folds, the same for both models.
    """
    given = {"forget": before, "holdout": holdout, "retained": retained}
    scores = {
        name: own_attacks(measure_model(models[name], paradigm, **given, config=config, seed=seed), seed)
        for name in COMPARED
    }
    retrained = {name: each.placements for name, each in scores["retrained"].items()}
    return compare(scores["candidate"], retrained, "retrained", seed).attacks
