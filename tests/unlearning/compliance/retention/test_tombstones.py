from __future__ import annotations

import hashlib
import json
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from unlearning.compliance.retention import tombstones
from unlearning.core.errors import UserError
from unlearning.data import snapshots
from unlearning.data.records import core, record_id
from unlearning.data.sources import open_source
from unlearning.storage.datasets import keep_snapshot
from unlearning.storage.local import LocalStore
from unlearning.storage.pictures import ids_of_pictures
from unlearning.storage.store import Keys

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
AT = datetime(2025, 3, 31, 14, 0, tzinfo=timezone(timedelta(hours=2)))


def ids(count: int, start: int = 0) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(start, start + count)]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def content(store: LocalStore) -> dict[str, bytes]:
    return {key: store.read(key) for key in store.list("tombstones")}


def test_an_empty_store_has_none(store: LocalStore) -> None:
    assert tombstones.load(store) == {}


def test_a_tombstone_names_its_request_and_its_time(store: LocalStore) -> None:
    (record,) = ids(1)
    assert tombstones.add(store, [record], request="case-1", at=AT) == 1
    assert tombstones.load(store) == {record: ("case-1",)}
    assert json.loads(store.read(f"tombstones/{record}/case-1")) == {
        "record": record,
        "request": "case-1",
        "at": "2025-03-31T12:00:00Z",
    }


def test_setting_it_twice_changes_nothing(store: LocalStore) -> None:
    assert tombstones.add(store, ids(3), request="case-1", at=AT) == 3
    before = content(store)
    assert tombstones.add(store, [*ids(3), *ids(3)], request="case-1") == 0
    assert content(store) == before
    assert tombstones.add(store, ids(4), request="case-1") == 1  # where it was cut off


def test_now_is_the_time_that_counts_unless_another_is_given(store: LocalStore) -> None:
    before = datetime.now(UTC)
    tombstones.add(store, ids(1), request="case-1")
    (made,) = content(store).values()
    assert before <= datetime.fromisoformat(json.loads(made)["at"]) <= datetime.now(UTC)


def test_two_requests_may_erase_the_same_record(store: LocalStore) -> None:
    first, second = ids(2)
    tombstones.add(store, [first, second], request="b", at=AT)
    assert tombstones.add(store, [first], request="a", at=AT) == 1
    assert tombstones.load(store) == {first: ("a", "b"), second: ("b",)}


@pytest.mark.parametrize("wrong", ["", "0123", "Z" * 64, "A" * 64, "a" * 65, "a" * 64 + "\n", "../" + "a" * 61])
def test_a_malformed_record_id_sets_nothing(store: LocalStore, wrong: str) -> None:
    with pytest.raises(UserError, match="a record id is malformed") as caught:
        tombstones.add(store, [*ids(2), wrong], request="case-1", at=AT)
    assert "\n" not in str(caught.value)
    assert tombstones.load(store) == {}


@pytest.mark.parametrize("wrong", ["", "a/b", ".hidden", "x" * 65, "a b", "a\n"])
def test_a_malformed_request_id_sets_nothing(store: LocalStore, wrong: str) -> None:
    with pytest.raises(UserError, match="a request id is malformed"):
        tombstones.add(store, ids(2), request=wrong, at=AT)
    assert store.list("") == []


@pytest.mark.parametrize("key", ["tombstones/readme.txt", f"tombstones/{'a' * 64}", f"tombstones/{'a' * 64}/b/c"])
def test_something_else_among_them_is_named_and_not_ignored(store: LocalStore, key: str) -> None:
    tombstones.add(store, ids(1), request="case-1", at=AT)
    store.create(key, b"")
    with pytest.raises(UserError, match=f"'{key}' in the store is no tombstone"):
        tombstones.load(store)


def test_loading_takes_one_listing_and_reads_nothing(tmp_path: Path) -> None:
    class Counting(LocalStore):
        listings = 0

        def list(self, prefix: str) -> Keys:
            self.listings += 1
            return [f"{prefix}/{record}/case-{number % 7}" for number, record in enumerate(ids(100_000))]

        def read(self, key: str) -> bytes:
            pytest.fail("an object was read")

    counting = Counting(tmp_path)
    assert len(tombstones.load(counting)) == 100_000
    assert counting.listings == 1


def test_of_many_that_set_the_same_each_is_set_once(store: LocalStore) -> None:
    start = threading.Barrier(6)

    def work(_: int) -> int:
        start.wait()
        return tombstones.add(store, ids(20), request="case-1")

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(6))) == 20
    assert tombstones.load(store) == dict.fromkeys(ids(20), ("case-1",))


@given(chosen=st.sets(st.integers(0, 9)), asked=st.lists(st.integers(0, 12)))
def test_the_erased_among_records_are_found(chosen: set[int], asked: list[int]) -> None:
    known = ids(13)
    erased = {known[number]: (f"r{number}",) for number in chosen}
    found = tombstones.among(erased, [known[number] for number in asked])
    assert found == {known[number]: (f"r{number}",) for number in chosen & set(asked)}


def test_the_digest_depends_on_the_records_alone() -> None:
    first, second = ids(2)
    both = tombstones.digest({first: ("a",), second: ("b",)})
    assert both == tombstones.digest({second: ("c", "d"), first: ("a",)})
    assert len({both, tombstones.digest({first: ("a",)}), tombstones.digest({})}) == 3


def test_a_few_requests_are_named_and_many_are_counted() -> None:
    erased = {record: (f"r{number}",) for number, record in enumerate(ids(5))}
    assert tombstones.named(erased) == "requests r0, r1, r2 and 2 more"
    assert tombstones.named({ids(1)[0]: ("r7",)}) == "request r7"


ENCODINGS = ("L", "RGB", "P", "1", "optimised", "interlaced")


ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def interlaced(pixels: Pixels) -> bytes:
    """An interlaced grey PNG, which Pillow reads and does not write."""
    rows = (row for y, x, down, right in ADAM7 for row in pixels[y::down, x::right] if row.size)
    height, width = pixels.shape
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1),
        b"IDAT": zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)),
        b"IEND": b"",
    }
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def write(path: Path, pixels: Pixels, encoding: str) -> None:
    """A grey picture of black and white, losslessly in any of the ways."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    match encoding:
        case "L" | "RGB" | "1":
            image.convert(encoding).save(path)
        case "P":
            image.convert("RGB").quantize(2).save(path)
        case "optimised":
            image.save(path, optimize=True, compress_level=9)
        case "interlaced":
            path.write_bytes(interlaced(pixels))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 9999),
    first=st.sampled_from(ENCODINGS),
    again=st.sampled_from(ENCODINGS),
    colour=st.tuples(st.booleans(), st.booleans()),
    pad=st.integers(0, 3),
    old=st.booleans(),
)
def test_an_erased_picture_stays_out_however_it_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    first: str,
    again: str,
    colour: tuple[bool, bool],
    pad: int,
    old: bool,
) -> None:
    """Encodings, a folder that becomes RGB by one file, and padding; `old` is a tombstone by the id of before."""
    top, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(seed)
    grey = draw.choice(np.array([0, 255], np.uint8), (2, 9, 9))
    assume(core(grey[0][None]) is None)
    for folder, encoding, coloured, border in (("before", first, colour[0], 0), ("after", again, colour[1], pad)):
        padded = np.pad(grey, ((0, 0), (border, 0), (0, border)), constant_values=int(draw.choice([0, 255])))
        write(top / folder / "a" / "erased.png", padded[0], encoding)
        write(top / folder / "a" / "other.png", padded[1], "L")
        if coloured:
            Image.fromarray(draw.integers(0, 256, (*padded.shape[1:], 3), dtype=np.uint8)).save(
                top / folder / "a/c.png"
            )
    found = [open_source("image_folder", top / each, limit=None, seed=0) for each in ("before", "after")]
    store = LocalStore(top / "store")
    snapshots.save(found[0], top / "snapshot")
    keep_snapshot(store, top / "snapshot", found[0].manifest.digest)
    erased = record_id(grey[0][None])
    three = hashlib.sha256(b"3,9,9:" + grey[0].tobytes() * 3).hexdigest()
    both = ids_of_pictures(store, {"case-1": [erased]})["case-1"]
    tombstones.add(store, [three] if old else both, request="case-1")
    stones = tombstones.load(store)
    for each in found:
        back = tombstones.erased_in(stones, each)
        assert list(back.values()) == [("case-1",)]
        assert len(snapshots.without(each, back).records) == len(each.records) - 1
