"""U-LiRA: does the model show a record like models that were made to forget it, or like models that were made to forget
others? (Hayes et al. 2024, 2403.01218, after LiRA.)

Other attacks look for what is left of training. Unlearning leaves traces of its own, and they need not look like those
of a member: "in" is therefore what references show of a record that they were trained on and then unlearned, by the
candidate's own method and settings. A score above "out" tells that the record was forgotten, whether the method forgot
too little or too much.

"Out" is what the references show that were never trained on the record, after they have forgotten others. Models that
were made to forget anything differ from those that were not, on records that have nothing to do with it too: beside
references as they were trained, the gradient penalty's models seemed to have forgotten records that they never saw,
with an AUC of .56 to .69 on the digits. That a model was unlearned is no secret; which records it forgot is.

A reference unlearns at once all forgotten records that it was trained on, as the candidate did, so that half of the
references know each record from one side and half from the other.
"""

from __future__ import annotations

from unlearning.audit.attacks.base import MembershipScores
from unlearning.audit.attacks.referenced import ReferencedLosses, lira_online


def u_lira(losses: ReferencedLosses) -> MembershipScores:
    """Whether the model knows a forgotten record more like references that unlearned it or like references that were
    never trained on it, on a scale that all models share.

    The non-members are those last ones, each put in the model's place and judged by the others, as in `lira_online`.

    Score direction: larger means "like a record that was unlearned".

    Args:
        losses: the references' after they have unlearned what they were trained on of the forgotten records, which
            `trained` tells.

    Raises:
        ValueError: without one of them, a record has fewer than two references on either side.
    """
    return lira_online(losses)
