from __future__ import annotations

from pathlib import Path

import pytest

from tests.unlearning.audit.test_qualification_results import qualification
from unlearning.core.errors import UserError
from unlearning.storage.local import LocalStore
from unlearning.storage.qualifications import keep, load_all


def test_each_method_setting_and_size_has_its_own_and_the_newest_counts(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    first = qualification(3, seed=1)
    others = [qualification(10), qualification(3, method="finetune"), qualification(3, settings={"weight": 2.0})]
    for each in (first, *others, newer := qualification(3, seed=2), qualification(3, original="c" * 64)):
        keep(store, each)
    found = load_all(store, "a" * 64)
    assert sorted(found, key=str) == sorted([newer, *others], key=str)
    assert [(each.method, each.size) for each in found] == sorted((each.method, each.size) for each in found)
    assert load_all(store, "d" * 64) == ()


def test_damage_is_told_with_what_to_do(tmp_path: Path) -> None:
    key = keep(LocalStore(tmp_path), qualification())
    (tmp_path / key).write_text("{}")
    with pytest.raises(UserError, match="is damaged: delete it, and qualify the method again"):
        load_all(LocalStore(tmp_path), "a" * 64)
