"""Against the local store, and against stores that misbehave in one way each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.cluster.doctor import object_store as module
from pipelines.cluster.doctor.object_store import buckets, object_store
from tests import services
from unlearning.core.errors import UserError
from unlearning.storage.local import LocalStore


def test_a_store_that_does_what_it_should(tmp_path: Path) -> None:
    (finding,) = object_store(str(tmp_path / "store"))
    assert finding.state == "ok"
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


class Overwriting(LocalStore):
    """Does not honour conditional writes, as some object stores do not."""

    def create(self, key: str, data: bytes) -> bool:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return True


class Quiet(Overwriting):
    """The same, but says that the second write lost."""

    def create(self, key: str, data: bytes) -> bool:
        there = (self.root / key).exists()
        super().create(key, data)
        return not there


class Forgetful(LocalStore):
    """Lists nothing."""

    def list(self, prefix: str) -> list[str]:
        return []


class Clinging(LocalStore):
    """Deletes nothing."""

    def delete(self, key: str) -> None:
        pass


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (Overwriting, "created twice"),
        (Quiet, "created twice"),
        (Forgetful, "is not listed"),
        (Clinging, "is still there"),
    ],
)
def test_a_store_that_misbehaves_is_found_and_left_clean(
    kind: type[LocalStore], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "open_store", lambda uri: kind(tmp_path))
    (finding,) = object_store("x")
    assert (finding.state, problem in finding.found, bool(finding.do)) == ("failed", True, True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_store_that_refuses_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> bool:
        raise UserError("store: access denied")

    monkeypatch.setattr(LocalStore, "create", refuse)
    with pytest.raises(UserError, match="access denied"):
        list(object_store(str(tmp_path)))


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an S3 server in this process, where the environment leads too; it holds no bucket."""
    for name in services.FOREIGN:
        monkeypatch.delenv(name, raising=False)
    with services.object_store() as server:
        for name, value in services.reaching(server, tmp_path).items():
            monkeypatch.setenv(name, value)
        import boto3

        yield boto3.session.Session().client("s3")


def test_a_bucket_that_is_not_there_is_found_by_its_name(aws: Any) -> None:
    aws.create_bucket(Bucket="made")
    found = list(buckets(("s3://made/pipelines", "s3://not-made/mlflow", "s3://made/pipelines", "", "/folder")))
    assert [each.state for each in found] == ["ok", "failed"]
    assert "bucket not-made does not exist: create it" in found[1].found
    assert aws.list_objects_v2(Bucket="made")["KeyCount"] == 0


@pytest.mark.usefixtures("aws")
def test_a_store_whose_bucket_is_not_there_says_so() -> None:
    with pytest.raises(UserError, match="bucket not-made does not exist: create it"):
        list(object_store("s3://not-made/store"))
