"""The signature every method shares, and what it may be shown."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from unlearning.core.config import Config
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
    function: str | Callable[..., Model]
    """The function that runs, or its module and name below this package, to be imported when it is needed."""
    sees: frozenset[str]
    inherits: bool = True
    """Whether the result grows out of the given model, rather than from fresh weights."""

    @cached_property
    def run(self) -> Callable[..., Model]:
        """The function that runs."""
        if not isinstance(self.function, str):
            return self.function
        module, _, name = self.function.partition(".")
        found: Callable[..., Model] = getattr(importlib.import_module(f"{__package__}.{module}"), name)
        return found

    @property
    def config(self) -> type[Config]:
        """The type of its settings, as its signature says."""
        found: type[Config] = get_type_hints(self.run)["config"]
        return found

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
        from unlearning.core.seeding import generator

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
