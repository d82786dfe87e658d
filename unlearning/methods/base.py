"""The signature every method shares, and what it may be shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unlearning.core.config import Config
from unlearning.core.seeding import generator
from unlearning.data.records import Records
from unlearning.learning.models import Model
from unlearning.learning.paradigms import Paradigm


@dataclass(frozen=True)
class Method:
    """A way to make a model forget.

    `run(model, paradigm, retain=…[, forget=…][, calibration=…], config=…, seed=…)` changes the
    model it is given and returns it. The parts in `sees` are all it is handed beside the retain
    set: exact retraining never sees the forget set, stage 2 never a non-member.
    """

    name: str
    config: type[Config]
    run: Callable[..., Model]
    sees: frozenset[str]
    inherits: bool = True
    """Whether the result grows out of the given model, rather than from fresh weights."""

    def __call__(
        self,
        model: Model,
        paradigm: Paradigm,
        *,
        retain: Records,
        forget: Records,
        calibration: Records,
        config: Any,
        seed: int,
    ) -> Model:
        """The unlearned model; `model` itself stays as it is.

        What the paradigm remembers beside the weights (momentum encoder, queue) is made anew from
        retained records before the method runs and from the new weights after it.
        """
        offered = {"forget": forget, "calibration": calibration}
        shown = {part: records for part, records in offered.items() if part in self.sees}
        draw = generator(seed, "rebuild state", retain.images.device)
        start = model.clone()
        if not self.inherits:
            return self.run(start, paradigm, retain=retain, **shown, config=config, seed=seed)
        paradigm = paradigm.while_unlearning()
        paradigm.rebuild_state(start, retain, draw)
        unlearned = self.run(start, paradigm, retain=retain, **shown, config=config, seed=seed)
        paradigm.rebuild_state(unlearned, retain, draw)
        return unlearned
