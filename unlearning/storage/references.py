"""Reference models in the store."""

from __future__ import annotations

import json
from pathlib import Path

from unlearning.audit.results import REFERENCES_FILE
from unlearning.storage.keys import references_key
from unlearning.storage.store import Store


def kept(store: Store, original: str, split: str) -> int:
    """How many references of an original the store holds as it stands, which the digest of its split says; 0 for
    none."""
    key = f"{references_key(original)}/{REFERENCES_FILE}"
    found = json.loads(store.read(key)) if store.exists(key) else {}
    return int(found["count"]) if found.get("split") == split else 0


def fetch(store: Store, original: str, target: Path) -> None:
    """Bring the references of an original into a folder.

    Raises:
        MissingKeyError: there are none.
    """
    store.get_folder(references_key(original), target)
