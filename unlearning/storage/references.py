"""Reference models in the store."""

from __future__ import annotations

import json
from pathlib import Path

from unlearning.audit.results import REFERENCES_FILE
from unlearning.storage.keys import references_key
from unlearning.storage.store import Store


def kept(store: Store, original: str, split: str) -> bool:
    """Whether the store holds references of an original as it stands, which the digest of its split says."""
    key = f"{references_key(original)}/{REFERENCES_FILE}"
    return store.exists(key) and json.loads(store.read(key)).get("split") == split


def fetch(store: Store, original: str, target: Path) -> None:
    """Bring the references of an original into a folder.

    Raises:
        MissingKeyError: there are none.
    """
    store.get_folder(references_key(original), target)
