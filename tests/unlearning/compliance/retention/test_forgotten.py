from __future__ import annotations

from pathlib import Path

from unlearning.compliance.retention import forgotten
from unlearning.storage.local import LocalStore

ONE, TWO, THREE = (character * 64 for character in "123")


def test_what_is_kept_is_read_by_model_and_version(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert forgotten.load(store) == {}
    forgotten.add(store, "shop", "2", [ONE, TWO])
    forgotten.add(store, "shop", "2", [TWO])
    forgotten.add(store, "shop", forgotten.WITHDRAWN, [THREE])
    forgotten.add(store, "shelf", "2", [THREE])
    assert forgotten.load(store) == {
        "shop": {"2": {ONE, TWO}, "withdrawn": {THREE}},
        "shelf": {"2": {THREE}},
    }
