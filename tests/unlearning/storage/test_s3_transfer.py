"""Uploads that are cut off, repeated, or meet others; downloads that are damaged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unlearning.core.errors import UserError
from unlearning.storage import s3_transfer
from unlearning.storage.open import open_store
from unlearning.storage.s3_transfer import DamagedError, Part, download, parts_of, upload

BUCKET = "erasure"
SIZE = 5 * 1024**2
"""The least that S3 takes as a part."""


class Counting:
    """boto3's client, counting calls; fails the parts it is told to, once each."""

    def __init__(self, client: Any, fail: set[int] | None = None) -> None:
        self.client, self.fail = client, fail or set()
        self.parts: list[int] = []
        self.calls: list[str] = []
        self.lock = threading.Lock()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            with self.lock:
                self.calls.append(name)
                if name == "upload_part":
                    if options["PartNumber"] in self.fail:
                        self.fail.discard(options["PartNumber"])
                        raise ConnectionError("cut off")
                    self.parts.append(options["PartNumber"])
            return getattr(self.client, name)(*arguments, **options)

        return call


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_transfer, "PART", SIZE)
    monkeypatch.setattr(s3_transfer, "WORKERS", 1)


def content(seed: int, size: int = 3 * SIZE + 7) -> bytes:
    return bytes((seed + number) % 251 for number in range(1000)) * (size // 1000) + b"x" * (size % 1000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(content(0))
    return tmp_path / "file"


def stored(client: Any, name: str = "k") -> bytes:
    body: bytes = client.get_object(Bucket=BUCKET, Key=name)["Body"].read()
    return body


@pytest.mark.parametrize("size", [0, 1, SIZE, SIZE + 1, 2 * SIZE, 2 * SIZE + 1])
def test_parts_are_the_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(content(3, size))
    parts = parts_of(path)
    assert b"".join(part.read() for part in parts) == content(3, size)
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert all(part.size == SIZE for part in parts[:-1])


def test_a_huge_file_has_no_more_parts_than_s3_takes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(s3_transfer.MOST_PARTS * SIZE + 1)  # takes no room
    parts = parts_of(path)
    assert len(parts) <= s3_transfer.MOST_PARTS
    assert sum(part.size for part in parts) == s3_transfer.MOST_PARTS * SIZE + 1


@pytest.mark.parametrize("workers", [1, 4])
def test_there_and_back(aws: Any, path: Path, tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_transfer, "WORKERS", workers)
    client = Counting(aws)
    upload(client, BUCKET, "k", path)
    assert sorted(client.parts) == [1, 2, 3, 4]
    download(aws, BUCKET, "k", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("cut", [2, 3, 4])
def test_an_upload_that_was_cut_off_goes_on(aws: Any, path: Path, cut: int) -> None:
    first = Counting(aws, {cut})
    with pytest.raises(ConnectionError):
        upload(first, BUCKET, "k", path)
    assert aws.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0, "nothing half-written is to be seen"
    client = Counting(aws)
    upload(client, BUCKET, "k", path)
    assert set(range(1, cut)) <= set(first.parts), "those before it arrived"
    assert client.parts == sorted({1, 2, 3, 4} - set(first.parts))
    assert "create_multipart_upload" not in client.calls
    assert stored(aws) == path.read_bytes()
    assert not aws.list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def test_another_file_never_goes_on_with_it(aws: Any, path: Path, tmp_path: Path) -> None:
    """Not even one that begins alike: the first parts are the same, a later one differs."""
    with pytest.raises(ConnectionError):
        upload(Counting(aws, {4}), BUCKET, "k", path)
    other = tmp_path / "other"
    changed = bytearray(content(0))
    changed[2 * SIZE + 1] ^= 1
    other.write_bytes(changed)
    client = Counting(aws)
    upload(client, BUCKET, "k", other)
    assert client.parts == [1, 2, 3, 4]
    assert stored(aws) == bytes(changed)
    upload(Counting(aws), BUCKET, "k", path)
    assert stored(aws) == content(0)


def test_a_neighbour_is_not_gone_on_with(aws: Any, path: Path) -> None:
    with pytest.raises(ConnectionError):
        upload(Counting(aws, {4}), BUCKET, "k-and-more", path)
    client = Counting(aws)
    upload(client, BUCKET, "k", path)
    assert client.parts == [1, 2, 3, 4]


def test_what_is_there_already_is_not_sent_again(aws: Any, path: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"a few bytes")
    for name, file in (("k", path), ("s", small)):
        upload(aws, BUCKET, name, file)
        client = Counting(aws)
        upload(client, BUCKET, name, file)
        assert client.calls == ["head_object"]
    small.write_bytes(b"other bytes")
    upload(aws, BUCKET, "s", small)
    assert stored(aws, "s") == b"other bytes"


def test_a_folder_that_was_cut_off_goes_on(aws: Any, tmp_path: Path) -> None:
    """As `put_folder` does it: files that arrived are not sent again."""
    store: Any = open_store(f"s3://{BUCKET}")
    for number in range(4):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / str(number)).write_bytes(content(number, 100))
    store.put_folder("f", tmp_path / "folder")
    (tmp_path / "folder" / "2").write_bytes(b"changed")
    sending = Counting(store._client)
    store.__dict__["_client"] = sending
    store.put_folder("f", tmp_path / "folder")
    assert sending.calls.count("put_object") == 1
    assert store.read("f/2") == b"changed"


def test_what_was_damaged_in_the_store_is_found(aws: Any, path: Path, tmp_path: Path) -> None:
    upload(aws, BUCKET, "k", path)
    digest = aws.head_object(Bucket=BUCKET, Key="k")["Metadata"]
    aws.put_object(Bucket=BUCKET, Key="k", Body=content(1), Metadata=digest)
    with pytest.raises(DamagedError, match="k is damaged"):
        download(aws, BUCKET, "k", tmp_path / "back")
    with pytest.raises(UserError, match="is damaged"):
        open_store(f"s3://{BUCKET}").get_folder("", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_what_others_put_is_taken_as_it_is(aws: Any, tmp_path: Path) -> None:
    aws.put_object(Bucket=BUCKET, Key="k", Body=b"theirs")
    download(aws, BUCKET, "k", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"theirs"


def test_every_part_is_sent_with_its_checksum(aws: Any, path: Path) -> None:
    """S3 refuses what does not fit its checksum; here it is looked at, since moto does not refuse."""
    sent: list[dict[str, Any]] = []

    class Looking(Counting):
        def __getattr__(self, name: str) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                sent.append({"call": name, **options})
                return getattr(self.client, name)(*arguments, **options)

            return call

    upload(Looking(aws), BUCKET, "k", path)
    parts = {each["PartNumber"]: each for each in sent if each["call"] == "upload_part"}
    (complete,) = [each for each in sent if each["call"] == "complete_multipart_upload"]
    for part in parts_of(path):
        checksum = s3_transfer._checksum(part.read())
        assert parts[part.number]["ChecksumSHA256"] == checksum
        assert complete["MultipartUpload"]["Parts"][part.number - 1]["ChecksumSHA256"] == checksum


def test_the_checksum_is_the_one_of_s3() -> None:
    """Base64 of SHA-256; of nothing it is a constant that everybody knows."""
    assert s3_transfer._checksum(b"") == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def test_lists_with_sha256_are_compared_by_it() -> None:
    body = b"body"
    listed = {"ChecksumSHA256": s3_transfer._checksum(body), "ETag": '"encrypted"'}
    assert s3_transfer._same(listed, body, s3_transfer._checksum(body))
    assert not s3_transfer._same(listed, b"other", s3_transfer._checksum(b"other"))
    assert not s3_transfer._same({"ETag": '"encrypted"'}, body, s3_transfer._checksum(body))


def test_a_part_reads_no_more_than_itself(path: Path) -> None:
    assert Part(path, 2, 10, 5).read() == content(0)[10:15]
