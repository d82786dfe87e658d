"""Qualifications in the store: kept with the original, and purged with it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pydantic import ValidationError

from unlearning.audit.qualification_results import Qualification
from unlearning.core.errors import UserError
from unlearning.core.files import sha256_json, write_json
from unlearning.storage.keys import qualification_folder, qualification_key
from unlearning.storage.store import Store


def keep(store: Store, found: Qualification) -> str:
    """Write one in place of what was known of the same method, setting and size before; returns its key."""
    key = qualification_key(found.original, found.method, sha256_json(found.settings), found.size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "qualification.json"
        write_json(path, found.model_dump(mode="json"))
        store.put_file(key, path)
    return key


def load_all(store: Store, original: str) -> tuple[Qualification, ...]:
    """All that are known of an original, by method and size.

    Raises:
        UserError: one is damaged.
    """
    found = []
    for key in store.list(qualification_folder(original)):
        try:
            found.append(Qualification.model_validate_json(store.read(key)))
        except ValidationError:
            raise UserError(f"qualification {key} is damaged: delete it, and qualify the method again") from None
    return tuple(sorted(found, key=lambda each: (each.method, each.size)))
