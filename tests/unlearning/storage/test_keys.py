from __future__ import annotations

from unlearning.storage.keys import event_key


def test_keys_sort_as_numbers_do() -> None:
    keys = [event_key("C-1", number) for number in (1, 9, 10, 99_999_999)]
    assert keys == sorted(keys)
    assert keys[0] == "ledger/C-1/00000001.json"
