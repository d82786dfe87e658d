"""What registration logged of a version, read back: it outlives the weights."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.registry.client import Registry
from unlearning.registry.versions import Version

Document = TypeVar("Document", bound=Config)


def read_logged(registry: Registry, version: Version, name: str, kind: type[Document]) -> Document:
    """A file that was logged with a version; by hand it may have been given an ending.

    Raises:
        UserError: it is missing, or not valid.
    """
    for file in (name, f"{name}.json"):
        content = registry.read(version, file)
        if content is not None:
            try:
                return kind.model_validate_json(content)
            except ValidationError as error:
                raise UserError(
                    f"model {version.name} version {version.version}: {file} in MLflow is not valid: "
                    f"{error.errors()[0]['msg']}"
                ) from None
    raise UserError(f"model {version.name} version {version.version} has no {name} in MLflow: was its run deleted?")
