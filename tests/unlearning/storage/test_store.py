"""One suite for both stores: whoever uses the interface must not notice which one it has."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from unlearning.core.errors import MissingKeyError, UserError
from unlearning.storage.lease import lock
from unlearning.storage.local import LocalStore
from unlearning.storage.open import open_store
from unlearning.storage.s3 import S3Store
from unlearning.storage.store import Amount, Store, check_key

BUCKET = "erasure"
VERSIONED = {"Bucket": BUCKET, "VersioningConfiguration": {"Status": "Enabled"}}


@pytest.fixture(params=["local", "s3", "s3 with versions"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return open_store(f"file://{tmp_path}/store")
    client = request.getfixturevalue("aws")
    if request.param == "s3 with versions":
        client.put_bucket_versioning(**VERSIONED)
    return open_store(f"s3://{BUCKET}/some/prefix")


def a_file(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_comes_back_as_it_was_and_is_replaced(store: Store, tmp_path: Path) -> None:
    store.put_file("a/b.bin", a_file(tmp_path / "x", b"\x00\xff" * 1000))
    assert store.read("a/b.bin") == b"\x00\xff" * 1000
    store.put_file("a/b.bin", a_file(tmp_path / "x", b"short"))
    assert store.read("a/b.bin") == b"short"


def test_a_file_larger_than_one_part(store: Store, tmp_path: Path) -> None:
    content = bytes(range(256)) * (36 * 1024)  # 9 MiB; boto3 sends more than 8 MiB in parts
    store.put_file("large/one", a_file(tmp_path / "large", content))
    store.get_folder("large", tmp_path / "back")
    assert (tmp_path / "back/one").read_bytes() == content


def test_putting_a_missing_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist"):
        store.put_file("a", tmp_path / "nowhere")
    assert not store.exists("a")


def test_create_makes_an_object_once(store: Store) -> None:
    assert store.create("events/1", b"first")
    assert not store.create("events/1", b"second")
    assert store.read("events/1") == b"first"


def test_exists_and_delete(store: Store) -> None:
    assert not store.exists("a/b")
    store.create("a/b", b"")
    assert store.exists("a/b")
    assert not store.exists("a")
    assert not store.exists("a/b/c")
    store.delete("a")
    assert store.exists("a/b")
    store.delete("a/b")
    store.delete("a/b")
    assert not store.exists("a/b")
    assert store.create("a/b", b"again")


def test_a_prefix_is_a_folder(store: Store) -> None:
    for key in ("a/2", "a/1", "ab/1", "a/deep/er/3", "b"):
        store.create(key, b"x")
    assert store.list("a") == ["a/1", "a/2", "a/deep/er/3"]
    assert store.list("") == ["a/1", "a/2", "a/deep/er/3", "ab/1", "b"]
    assert store.list("b") == []
    assert store.list("nothing") == []
    # The order of whole keys, in which "-" and "." come before the "/" after a folder's name.
    for key in ("a/2-3/x", "a/deep-er/x", "a/deep.x"):
        store.create(key, b"x")
    for prefix in ("a", "", "b", "nothing"):
        assert list(store.iterate(prefix)) == store.list(prefix) == sorted(store.list(prefix))
    assert len(store.list("a")) == 6


@pytest.mark.usefixtures("aws")
def test_s3_listing_goes_past_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    store = open_store(f"s3://{BUCKET}")
    keys = [f"many/{number}" for number in range(8)]
    for key in keys:
        store.create(key, b"")
    assert store.list("many") == keys
    assert list(store.iterate("many")) == keys


def test_a_folder_becomes_exactly_what_was_put_last(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    a_file(folder / "model.safetensors", b"weights")
    a_file(folder / "sub/old.json", b"{}")
    store.create("models/other", b"kept")
    store.put_folder("models/m1", folder)
    (folder / "sub/old.json").unlink()
    a_file(folder / "sub/new.json", b"[]")
    store.put_folder("models/m1", folder)
    assert store.list("models") == ["models/m1/model.safetensors", "models/m1/sub/new.json", "models/other"]

    a_file(tmp_path / "back/stale", b"from an earlier try")
    store.get_folder("models/m1", tmp_path / "back")
    assert files_of(tmp_path / "back") == {"model.safetensors": b"weights", "sub/new.json": b"[]"}


def test_a_folder_that_is_not_there_changes_nothing(store: Store, tmp_path: Path) -> None:
    a_file(tmp_path / "back/kept", b"x")
    with pytest.raises(MissingKeyError, match="nothing under 'models/m2'"):
        store.get_folder("models/m2", tmp_path / "back")
    assert files_of(tmp_path / "back") == {"kept": b"x"}
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "absent"):
        with pytest.raises(UserError, match="holds no files"):
            store.put_folder("models/m2", tmp_path / folder)


def test_putting_a_folder_never_replaces_the_whole_store(store: Store, tmp_path: Path) -> None:
    store.create("kept", b"x")
    with pytest.raises(UserError, match="not allowed"):
        store.put_folder("", a_file(tmp_path / "f/x", b"").parent)
    assert store.list("") == ["kept"]


def test_a_missing_key_is_named(store: Store) -> None:
    store.create("folder/x", b"")
    for key in ("missing", "folder", "folder/x/y"):
        with pytest.raises(MissingKeyError, match=f"has no '{key}'"):
            store.read(key)


@pytest.mark.parametrize("key", ["", "/etc/x", "../x", "a/../../x", "a//b", "a/", "./a", "a\\b", "a\nb", ".staging/x"])
def test_keys_that_leave_the_store_are_refused(store: Store, tmp_path: Path, key: str) -> None:
    path = a_file(tmp_path / "x", b"")
    for use in (store.read, store.exists, store.delete, lambda key: store.create(key, b"")):
        with pytest.raises(UserError, match="not allowed"):
            use(key)
    with pytest.raises(UserError, match="not allowed"):
        store.put_file(key, path)
    if key:
        with pytest.raises(UserError, match="not allowed"):
            store.list(key)


def test_purging_removes_the_object_and_what_is_under_it_and_nothing_else(store: Store) -> None:
    for key in ("a/1", "a/deep/er/2", "a.complete", "ab/1", "a-b", "b"):
        store.create(key, b"xyz")
    assert store.measure("a") == Amount(2, 6)
    assert store.purge("a") == 2
    assert store.list("") == ["a-b", "a.complete", "ab/1", "b"]
    assert store.measure("a") == Amount(0, 0)
    assert store.purge("a") == 0
    assert store.purge("a.complete") == 1
    assert store.purge("nothing/at/all") == 0
    assert store.list("") == ["a-b", "ab/1", "b"]
    assert store.create("a/1", b"again")
    assert store.read("a/1") == b"again"


def test_the_whole_store_is_never_purged(store: Store) -> None:
    store.create("kept", b"x")
    for prefix in ("", "/", "..", "a/../.."):
        with pytest.raises(UserError, match="not allowed"):
            store.purge(prefix)
    assert store.list("") == ["kept"]


def test_a_purge_that_is_cut_off_leaves_the_last_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left can be recognised by it, so the next purge goes on."""
    for key in ("m/a", "m/manifest.json", "m/z", "m/deep/b"):
        store.create(key, b"x")
    place, name = (Path, "unlink") if isinstance(store, LocalStore) else (store._client, "delete_object")  # type: ignore[attr-defined]
    real = getattr(place, name)
    done: list[Any] = []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(arguments)
        return real(*arguments, **options)

    with monkeypatch.context() as broken:
        broken.setattr(place, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.purge("m", last="manifest.json")
    assert store.list("m") == ["m/manifest.json"]
    assert store.purge("m", last="manifest.json") == 1
    assert store.list("") == []


def test_a_purged_folder_of_the_local_store_is_gone_and_links_are_not_followed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    outside = a_file(tmp_path / "outside/kept", b"x")
    store.create("a/deep/1", b"xyz")
    (tmp_path / "store/a/file").symlink_to(outside)
    (tmp_path / "store/a/folder").symlink_to(outside.parent)
    (tmp_path / "store/link").symlink_to(outside.parent)
    assert store.purge("a") == 3
    assert store.purge("link") == 1
    assert outside.read_bytes() == b"x"
    assert [path.name for path in (tmp_path / "store").iterdir()] == [".staging"]


def test_every_version_of_an_object_is_purged(aws: Any, versions_in: Callable[[], list[Any]]) -> None:
    aws.put_bucket_versioning(**VERSIONED)
    store = open_store(f"s3://{BUCKET}/p")
    for content in (b"1", b"22", b"333"):
        aws.put_object(Bucket=BUCKET, Key="p/a/x", Body=content)
    for key in ("a/y", "b"):
        store.create(key, b"4444")
        store.delete(key)
    aws.put_object(Bucket=BUCKET, Key="a/x", Body=b"outside of the prefix")
    assert store.list("") == ["a/x"]
    assert store.measure("a") == Amount(4, 10)
    assert store.purge("a") == 4
    assert {(each["Key"], "Size" in each) for each in versions_in()} == {
        ("a/x", True), ("p/b", True), ("p/b", False)
    }  # fmt: skip
    assert store.purge("b") == 1
    assert [each["Key"] for each in versions_in()] == ["a/x"]


def test_purging_goes_past_one_page(
    aws: Any, versions_in: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.put_bucket_versioning(**VERSIONED)
    store = S3Store(BUCKET, "")
    for number in range(5):
        for _ in range(2):
            aws.put_object(Bucket=BUCKET, Key=f"many/{number}", Body=b"x")
        store.delete(f"many/{number}")
    store.create("many.complete", b"")
    listing = store._client.get_paginator("list_object_versions")
    sizes: list[int] = []

    class Small:
        def paginate(self, **options: Any) -> Iterator[Any]:
            for page in listing.paginate(**options, PaginationConfig={"PageSize": 4}):
                sizes.append(len(page.get("Versions", ())))
                yield page

    monkeypatch.setattr(store._client, "get_paginator", lambda _: Small())
    assert store.purge("many") == 10
    assert len(sizes) > 3
    assert [each["Key"] for each in versions_in()] == ["many.complete"]


def test_what_a_crash_left_unfinished_is_tidied(store: Store, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store.create("kept", b"x")
    before_it = 1_000_000_000.0  # moto says of every upload that it began in 2010
    if isinstance(store, LocalStore):
        before_it = time.time() - 60
        a_file(store.root / ".staging/tmpabc", b"half of a snapshot")

        def left() -> int:
            return len(list((tmp_path / "store/.staging").iterdir()))
    else:
        client = request.getfixturevalue("aws")
        for key in ("some/prefix/large", "elsewhere"):
            upload = client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
            client.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=1, Body=b"half of a snapshot")

        def left() -> int:
            return len(client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())) - 1

    assert store.tidy(before_it) == 0
    assert left() == 1
    assert store.tidy(time.time() + 60, only_count=True) == 1
    assert left() == 1
    assert store.tidy(time.time() + 60) == 1
    assert left() == 0
    assert store.tidy(time.time() + 60) == 0
    assert store.list("") == ["kept"]


def test_one_winner_per_key_among_eight_threads(store: Store) -> None:
    threads, keys = 8, [f"race/{number}" for number in range(20)]
    start = threading.Barrier(threads)
    store.list("")  # all threads then share a client that is ready

    def contend(me: int) -> list[bool]:
        start.wait()
        return [store.create(key, b"%d" % me) for key in keys]

    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(contend, range(threads)))
    for column, key in enumerate(keys):
        winners = [me for me in range(threads) if results[me][column]]
        assert len(winners) == 1
        assert store.read(key) == b"%d" % winners[0]


def test_locks_work_on_every_store(store: Store) -> None:
    for _ in range(3):
        with lock(store, "locks/promote", "run-1", seconds=60) as lease:
            lease.check()
            with pytest.raises(UserError, match="held by run-1"), lock(store, "locks/promote", "run-2", seconds=60):
                pytest.fail("two holders")
    assert len(store.list("locks/promote")) <= 4


def test_local_objects_are_complete_whenever_they_are_visible(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    content = b"x" * 4_000_000
    seen: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.extend(len(store.read(key)) for key in store.list(""))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(10):
        store.create(f"big/{number}", content)
    done.set()
    watcher.join()
    assert set(seen) <= {len(content)}
    assert list((tmp_path / ".staging").iterdir()) == []


def test_local_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    store = LocalStore(a_file(tmp_path / "root", b""))
    with pytest.raises(UserError, match="store"):
        store.create("a", b"")
    with pytest.raises(MissingKeyError):
        store.read("a")


def test_addresses(tmp_path: Path) -> None:
    for address in (str(tmp_path), f"file://{tmp_path}", f"file://localhost{tmp_path}"):
        local = open_store(address)
        assert isinstance(local, LocalStore)
        assert local.root == tmp_path
    spaced = open_store("file:///with%20space")
    assert isinstance(spaced, LocalStore)
    assert spaced.root == Path("/with space")
    for address, prefix in (("s3://bucket", ""), ("s3://bucket/", ""), ("s3://bucket/a/b/", "a/b/")):
        remote = open_store(address)
        assert isinstance(remote, S3Store)
        assert (remote.bucket, remote.prefix) == ("bucket", prefix)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "s3://",
        "s3://ab/x",
        "s3:///x",
        "file://host/x",
        "gs://bucket",
        "s3://bucket/a?endpoint=x",
        "s3://bucket/../x",
    ],
)
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(UserError):
        open_store(address)


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(UserError, match="credentials") as caught:
        # pragma: allowlist nextline secret
        open_store("s3://AKIA:hunter2@bucket/x")
    assert "hunter2" not in str(caught.value)


def test_keys_may_hold_what_file_names_hold() -> None:
    assert check_key("a/..b/c d/é.json") == "a/..b/c d/é.json"


def one_line_error(store: Store, tmp_path: Path) -> list[str]:
    """What each call says about a store that cannot be used."""
    messages = []
    path = a_file(tmp_path / "file", b"")
    for use in (
        lambda: store.read("a"),
        lambda: store.exists("a"),
        lambda: store.create("a", b""),
        lambda: store.put_file("a", path),
        lambda: store.list(""),
        lambda: store.measure("a"),
        lambda: store.purge("a"),
        lambda: store.tidy(0),
    ):
        with pytest.raises(UserError) as caught:
            use()
        messages.append(str(caught.value))
        assert "\n" not in messages[-1]
    return messages


@pytest.mark.usefixtures("aws")
def test_s3_without_the_bucket(tmp_path: Path) -> None:
    for message in one_line_error(open_store("s3://not-made"), tmp_path):
        assert "bucket not-made does not exist" in message


@pytest.mark.usefixtures("aws")
def test_s3_without_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for message in one_line_error(open_store(f"s3://{BUCKET}"), tmp_path):
        assert "no credentials" in message


@pytest.mark.usefixtures("aws")
def test_s3_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be reached: check the network and AWS_ENDPOINT_URL"):
        open_store(f"s3://{BUCKET}").exists("a")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not an address")
    with pytest.raises(UserError, match="AWS_ENDPOINT_URL"):
        open_store(f"s3://{BUCKET}").exists("a")


def test_s3_keys_made_by_others(aws: Any, tmp_path: Path) -> None:
    store = open_store(f"s3://{BUCKET}/p")
    aws.put_object(Bucket=BUCKET, Key="p/shown/", Body=b"")  # how consoles show a folder
    assert store.list("") == []
    aws.put_object(Bucket=BUCKET, Key="p/shown/../../../escape", Body=b"")
    with pytest.raises(UserError, match="not allowed"):
        store.get_folder("shown", tmp_path / "deep/er/back")
    assert not (tmp_path / "deep/er/back").exists()
    assert not list(tmp_path.rglob("escape"))


@pytest.mark.parametrize(("content", "made"), [(b"mine", True), (b"theirs", False)])
@pytest.mark.usefixtures("aws")
def test_s3_create_whose_first_answer_was_lost(monkeypatch: pytest.MonkeyPatch, content: bytes, made: bool) -> None:
    """boto3 repeats a lost request by itself; the second one then meets the object the first one made."""
    store = S3Store(BUCKET, "")
    store.create("lock", content)

    def repeated(**_: object) -> None:
        answer = {"ResponseMetadata": {"HTTPStatusCode": 412, "RetryAttempts": 1}, "Error": {"Code": "x"}}
        raise ClientError(answer, "PutObject")

    monkeypatch.setattr(store._client, "put_object", repeated)
    assert store.create("lock", b"mine") is made


@pytest.mark.usefixtures("aws")
def test_s3_create_during_another_write(monkeypatch: pytest.MonkeyPatch) -> None:
    store = S3Store(BUCKET, "")
    put, answers = store._client.put_object, [409, 409]

    def busy(**arguments: object) -> None:
        if answers:
            raise ClientError({"ResponseMetadata": {"HTTPStatusCode": answers.pop()}}, "PutObject")
        put(**arguments)

    monkeypatch.setattr(store._client, "put_object", busy)
    monkeypatch.setattr("unlearning.storage.s3.CONFLICT_SECONDS", 0)
    assert store.create("lock", b"mine")
    assert answers == []
    answers += [409] * 50
    with pytest.raises(UserError, match="try again later"):
        store.create("other", b"mine")


def test_local_use_does_not_import_boto3(tmp_path: Path) -> None:
    program = (
        "import sys; from unlearning.storage.open import open_store; "
        f"open_store({str(tmp_path)!r}).create('a', b''); sys.exit('boto3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini", "._a"])
def test_what_a_file_manager_leaves_is_no_object(tmp_path: Path, name: str) -> None:
    store = LocalStore(tmp_path / "store")
    store.create("a/b/1", b"one")
    for folder in ("", "a", "a/b"):
        (tmp_path / "store" / folder / name).write_bytes(b"litter")
    assert store.list("") == store.list("a") == ["a/b/1"]
    assert list(store.iterate("a/b")) == ["a/b/1"]
    store.get_folder("a", tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").rglob("*") if path.is_file()] == ["1"]
    store.purge("a")
    assert not (tmp_path / "store" / "a").exists(), "it keeps no folder of what was purged"


def test_nobody_else_on_the_machine_can_read_an_object(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create("requests/R1.json", b"{}")
    assert (tmp_path / "requests/R1.json").stat().st_mode & 0o007 == 0
