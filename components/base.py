"""What every component shares: the image, which holds the library, so nothing is installed at run time."""

import os
from collections.abc import Callable
from typing import Any

from kfp import dsl

from components.execute import RUNTIME
from unlearning import __version__

IMAGE = os.environ.get("UNLEARNING_IMAGE", f"unlearning:{__version__}")
"""Set when pipelines are compiled. The tag must be immutable (a version or a commit), because
KFP's cache does not see that a tag was rebuilt."""


def component(function: Callable[..., Any]) -> Any:
    """A KFP component whose body runs inside `IMAGE`; inside a task the function itself, which is all that runs there.

    On one machine KFP ships the body's source alone: everything it uses is imported inside it.
    """
    if os.environ.get(RUNTIME) == "true":
        return function
    return dsl.component(base_image=IMAGE, install_kfp_package=False)(function)
