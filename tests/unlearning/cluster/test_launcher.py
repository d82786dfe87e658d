"""Held against the rule of KFP's launcher (`S3ProviderConfig.ProvideSessionInfo` of 2.17), written down once more."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from unlearning.cluster import names
from unlearning.cluster.launcher import access, disagreements
from unlearning.core.errors import UserError

ROOT = "s3://bucket/some/prefix"
SECRET = {"secretName": "a", "accessKeyKey": "b", "secretKeyKey": "c"}
OTHER = {"secretName": "d", "accessKeyKey": "e", "secretKeyKey": "f"}


def session(providers: Mapping[str, Any], root: str) -> dict[str, Any]:
    """What KFP makes of it, step by step; a ValueError where it refuses, or ends in a nil pointer."""
    scheme, _, rest = root.partition("://")
    bucket, _, prefix = rest.partition("/")
    prefix = f"{prefix}/" if prefix else ""
    provider = providers.get(scheme) or {}
    if provider.get("default") is None and provider.get("overrides") is None:
        if scheme == "s3":
            return {"fromEnv": True}
        # pragma: allowlist nextline secret
        own = {"secretName": "mlpipeline-minio-artifact", "accessKeyKey": "accesskey", "secretKeyKey": "secretkey"}
        return {"endpoint": "seaweedfs.kubeflow:9000", "region": "minio", "disableSSL": True, "fromEnv": False} | own
    default = provider.get("default")
    if default is None or default.get("credentials") is None:
        raise ValueError("missing default credentials")
    found = {key: default.get(key, "") for key in ("endpoint", "region")}
    found |= {"disableSSL": default.get("disableSSL", False), "fromEnv": default["credentials"].get("fromEnv", False)}
    if not found["fromEnv"]:
        if default["credentials"].get("secretRef") is None:
            raise ValueError("nil pointer")
        found |= default["credentials"]["secretRef"]
    for override in provider.get("overrides") or []:
        if override.get("bucketName", "") == bucket and prefix.startswith(override.get("keyPrefix", "")):
            return overridden(found, override)
    return found


def overridden(found: dict[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """The first override that fits is laid over the default."""
    found = found | {key: override[key] for key in ("endpoint", "region") if override.get(key)}
    found["disableSSL"] = override.get("disableSSL", found["disableSSL"])
    if override.get("credentials") is None:
        raise ValueError("missing override credentials")
    found["fromEnv"] = override["credentials"].get("fromEnv", False)
    if found["fromEnv"]:
        return {key: value for key, value in found.items() if key not in SECRET}
    if override["credentials"].get("secretRef") is None:
        raise ValueError("missing override secretref")
    secret: dict[str, str] = override["credentials"]["secretRef"]
    return found | secret


def seen(providers: Mapping[str, Any], root: str) -> dict[str, Any] | None:
    """The rule's answer in our words."""
    found = session(providers, root)
    if set(found) == {"fromEnv"}:
        return None
    scheme = "http" if found["disableSSL"] else "https"
    port = "" if ":" in found["endpoint"] else (":80" if found["disableSSL"] else ":443")
    amazon = found["endpoint"] in ("", "s3.amazonaws.com")
    return {
        "endpoint": "" if amazon else f"{scheme}://{found['endpoint']}{port}",
        "region": found["region"],
        "secret": found.get("secretName", ""),
        "keys": tuple(found[key] for key in ("accessKeyKey", "secretKeyKey") if key in found),
    }


CREDENTIALS: tuple[dict[str, Any] | None, ...] = (
    None,
    {},
    {"fromEnv": True},
    {"secretRef": SECRET},
    {"fromEnv": True, "secretRef": SECRET},
)
DEFAULTS = (
    None,
    *(
        {"endpoint": "store.example:9000", "region": "r", "disableSSL": True, "credentials": each}
        for each in CREDENTIALS
    ),
    {"endpoint": "s3.amazonaws.com", "region": "us-east-1", "credentials": {"secretRef": SECRET}},
    {"endpoint": "store.example", "credentials": {"secretRef": SECRET}},
)
OVERRIDES: tuple[list[dict[str, Any]] | None, ...] = (
    None,
    [],
    [{"bucketName": "another", "credentials": {"secretRef": OTHER}}],
    [{"bucketName": "bucket", "credentials": {"secretRef": OTHER}}],
    [{"bucketName": "bucket", "keyPrefix": "some/prefix/", "endpoint": "x:1", "credentials": {"fromEnv": True}}],
    [{"bucketName": "bucket", "keyPrefix": "some/pre"}],
    [{"bucketName": "bucket", "keyPrefix": "other", "credentials": {}}],
    [{"bucketName": "bucket", "region": "z", "disableSSL": False, "credentials": {"secretRef": OTHER}}],
    [{"bucketName": "bucket", "credentials": {}}],
)


@pytest.mark.parametrize("root", [ROOT, "minio://bucket/some/prefix", "s3://bucket", "minio://another/x"])
def test_it_is_read_as_kfp_reads_it(root: str) -> None:
    refused = 0
    for default, overrides, scheme in itertools.product(DEFAULTS, OVERRIDES, ("s3", "minio")):
        provider = {"default": default, "overrides": overrides}
        providers = {scheme: {key: value for key, value in provider.items() if value is not None}}
        try:
            expected = seen(providers, root)
        except ValueError:
            refused += 1
            with pytest.raises(UserError, match="providers: "):
                access({"providers": yaml.safe_dump(providers)}, root)
            continue
        found = access({"providers": yaml.safe_dump(providers)}, root)
        assert (found.model_dump() if found else None) == expected, providers
    assert 0 < refused < len(DEFAULTS) * len(OVERRIDES) * 2


def test_names_of_fields_may_be_written_in_any_case() -> None:
    """As Go's JSON takes them: KFP's own source calls one of them `Overrides`."""
    default = {"Endpoint": "x:1", "disablessl": True, "Credentials": {"secretRef": SECRET}}
    found = access({"providers": yaml.safe_dump({"S3": {"default": default, "Overrides": []}})}, ROOT)
    assert found is not None
    assert (found.endpoint, found.secret) == ("http://x:1", "a")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{", "is no YAML"),
        ("s3", "providers"),
        ("s3: {default: {endpiont: x}}", "endpiont"),
        ("s3: {default: {disableSSL: 'true'}}", "disablessl"),
        ("s3: {default: {endpoint: 9000}}", "endpoint"),
        ("s3: {default: {endpoint: 'x:y', credentials: {fromEnv: true}}}", "is no address"),
        ("s3: {default: {credentials: {secretRef: {secretName: a}}}}", "accesskeykey"),
    ],
)
def test_what_kfp_would_stumble_over_or_leave_unread_is_told_in_one_line(text: str, wrong: str) -> None:
    with pytest.raises(UserError, match=wrong) as caught:
        access({"providers": text}, ROOT)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("root", ["", "bucket/prefix", "s3:///prefix", "gs://bucket/prefix"])
def test_a_root_that_is_none_of_ours_is_refused(root: str) -> None:
    with pytest.raises(UserError, match="pipeline root"):
        access({}, root)


def agreeing(**default: Any) -> dict[str, str]:
    """The ConfigMap for the settings below, with changes."""
    reference = dict(zip(SECRET, (names.OBJECT_STORE, *names.OBJECT_STORE_KEYS), strict=True))
    place = {"endpoint": "seaweedfs.kubeflow:9000", "disableSSL": True, "credentials": {"secretRef": reference}}
    return {"defaultPipelineRoot": ROOT, "providers": yaml.safe_dump({"s3": {"default": place | default}})}


SETTINGS = {
    "UNLEARNING_PIPELINE_ROOT": ROOT,
    "AWS_ENDPOINT_URL": "http://seaweedfs.kubeflow:9000",
    "AWS_DEFAULT_REGION": "us-east-1",
}
AMAZON = {key: value for key, value in SETTINGS.items() if key != "AWS_ENDPOINT_URL"}
KUBEFLOWS = dict(zip(SECRET, (names.KUBEFLOW_STORE, "accesskey", "secretkey"), strict=True))


@pytest.mark.parametrize(
    ("launcher", "settings"),
    [
        (agreeing(), SETTINGS),
        (agreeing(endpoint="seaweedfs.kubeflow.svc.cluster.local:9000"), SETTINGS),
        (agreeing(endpoint="http://seaweedfs.kubeflow.svc:9000", disableSSL=False), SETTINGS),
        (agreeing() | {"defaultPipelineRoot": f"{ROOT}/"}, SETTINGS),
        (agreeing(credentials={"secretRef": KUBEFLOWS}), SETTINGS),
        (agreeing(credentials={"fromEnv": True}), SETTINGS),
        (agreeing(endpoint="s3.amazonaws.com", region="us-east-1", disableSSL=False), AMAZON),
        (
            agreeing(endpoint="", region="us-east-1"),
            AMAZON | {"AWS_ENDPOINT_URL": "https://s3.eu-west-1.amazonaws.com"},
        ),
        (
            agreeing(endpoint="store.example", disableSSL=False),
            SETTINGS | {"AWS_ENDPOINT_URL": "https://store.example:443"},
        ),
    ],
)
def test_both_agree_however_it_is_written(launcher: dict[str, str], settings: dict[str, str]) -> None:
    assert list(disagreements(launcher, settings)) == []


@pytest.mark.parametrize(
    ("launcher", "settings", "words"),
    [
        (agreeing() | {"defaultPipelineRoot": ""}, SETTINGS, ("minio://mlpipeline/v2/artifacts", ROOT)),
        (agreeing() | {"defaultPipelineRoot": "s3://other/p"}, SETTINGS, ("s3://other/p", ROOT)),
        ({"defaultPipelineRoot": ROOT}, SETTINGS, ("says nothing of s3",)),
        (
            agreeing(endpoint="minio-service.kubeflow:9000"),
            SETTINGS,
            ("http://minio-service.kubeflow:9000", "seaweedfs"),
        ),
        (agreeing(disableSSL=False), SETTINGS, ("https://seaweedfs.kubeflow:9000", "http://seaweedfs.kubeflow:9000")),
        (agreeing(), AMAZON, ("http://seaweedfs.kubeflow:9000", "Amazon's")),
        (agreeing(endpoint="", region="eu-west-1"), AMAZON, ("eu-west-1", "us-east-1")),
        (agreeing(credentials={"secretRef": SECRET}), SETTINGS, ("secret a", "unlearning-runner may not read")),
        (
            agreeing(credentials={"secretRef": KUBEFLOWS | {"secretName": names.OBJECT_STORE}}),
            SETTINGS,
            ("accesskey, secretkey", "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"),
        ),
    ],
)
def test_each_disagreement_names_both_sides(
    launcher: dict[str, str], settings: dict[str, str], words: tuple[str, ...]
) -> None:
    (found,) = disagreements(launcher, settings)
    assert [each for each in words if each not in found] == []
