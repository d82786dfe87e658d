"""What the shell offers when somebody presses the tab key after an option.

Names of recipes are read from their files: importing what reads them would take seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import unlearning
from unlearning.core import settings


def recipes() -> list[str]:
    """That come with the library, such as digits-simclr."""
    return sorted(path.stem for path in (Path(unlearning.__file__).parent / "recipes").glob("*.yaml"))


def datasets() -> list[str]:
    """That recipes are named after."""
    return sorted({name.rpartition("-")[0] for name in recipes()})


def paradigms() -> list[str]:
    """That recipes are named after."""
    return sorted({name.rpartition("-")[2] for name in recipes()})


def methods() -> list[str]:
    """Of unlearning."""
    from unlearning.methods import METHODS

    return list(METHODS)


def runs() -> Iterator[str]:
    """Folders of finished runs in the home, the latest's link among them."""
    home = settings.from_environment().home
    return (str(path.parent) for path in sorted(home.glob("*/summary.json")))
