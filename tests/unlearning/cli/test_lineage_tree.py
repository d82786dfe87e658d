from __future__ import annotations

from unlearning.cli.lineage_tree import label
from unlearning.registry import Version


def test_what_was_accepted_without_having_passed_and_on_which_rung_is_told() -> None:
    tags = {"kind": "unlearned", "method": "finetune", "status": "serving", "verdict": "inconclusive"}
    tags |= {"rung": "stronger_1", "accepted": "yes"}
    told = label(Version(name="m", version="3", aliases=("champion",), tags=tags, description=""))
    assert told == (
        "version 3 [champion]: unlearned by finetune (stronger setting 1), serving, verdict inconclusive, "
        "accepted all the same"
    )
