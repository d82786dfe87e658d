"""Where Kubeflow Pipelines keep what tasks hand to each other: their ConfigMap `kfp-launcher`, read as they read it.

Drivers, importers and launchers look there for the pipeline root and for the endpoint and secret of each kind of object
store (`providers`, YAML in one value). They take names of fields in any case, and say nothing of those that they do not
know. Here those are errors: a field that is misspelt is one that is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unlearning.cluster import names
from unlearning.core.errors import UserError

DEFAULT_ROOT = "minio://mlpipeline/v2/artifacts"
"""Where artifacts go if nothing is said."""

OWN_ENDPOINT = "http://seaweedfs.kubeflow:9000"
OWN_KEYS = ("accesskey", "secretkey")
"""Of the secret of KFP's own object store, which is used for `minio://` if nothing is said."""

READABLE = (names.OBJECT_STORE, names.KUBEFLOW_STORE)
"""Secrets that the role of the tasks' service account lets KFP read."""

AMAZON = "amazonaws.com"
PORTS = {"http": 80, "https": 443}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Secret(_Section):
    name: str = Field(alias="secretname")
    access_key: str = Field(alias="accesskeykey")
    secret_key: str = Field(alias="secretkeykey")


class _Credentials(_Section):
    from_environment: bool = Field(False, alias="fromenv")
    secret: _Secret | None = Field(None, alias="secretref")


class _Place(_Section):
    endpoint: str = ""
    region: str = ""
    plain: bool | None = Field(None, alias="disablessl")
    path_style: bool | None = Field(None, alias="forcepathstyle")
    retries: int | None = Field(None, alias="maxretries")
    credentials: _Credentials | None = None


class _Override(_Place):
    bucket: str = Field("", alias="bucketname")
    prefix: str = Field("", alias="keyprefix")


class _Provider(_Section):
    default: _Place | None = None
    overrides: list[_Override] | None = None


class _Providers(BaseModel):
    """Others than these (`gs`) are not for this library to judge."""

    s3: _Provider | None = None
    minio: _Provider | None = None


class Access(BaseModel):
    """How KFP reaches the bucket of a pipeline root."""

    endpoint: str
    """A URL; empty for Amazon's."""
    region: str
    secret: str
    """Empty where credentials come from the environment of whoever asks."""
    keys: tuple[str, ...] = ()
    """Of the secret: that of the access key and that of the secret one."""


def access(launcher: Mapping[str, str], root: str) -> Access | None:
    """How the bucket of a root is reached; None where KFP leaves it to the environment since nothing is said of it.

    Raises:
        UserError: the ConfigMap is damaged, or lacks what KFP needs.
    """
    scheme, bucket, prefix = _taken_apart(root)
    provider: _Provider | None = getattr(_providers(launcher.get("providers", "")), scheme)
    if provider is None or (provider.default is None and provider.overrides is None):
        own = Access(endpoint=OWN_ENDPOINT, region="minio", secret=names.KUBEFLOW_STORE, keys=OWN_KEYS)
        return own if scheme == "minio" else None
    if provider.default is None:
        raise UserError(f"providers: {scheme} has no default")
    found = _access(f"{scheme}.default", provider.default, provider.default)
    for each in provider.overrides or ():
        if each.bucket == bucket and (f"{prefix}/" if prefix else "").startswith(each.prefix):
            return _access(f"{scheme}.overrides of {bucket}", each, provider.default)
    return found


def disagreements(launcher: Mapping[str, str], settings: Mapping[str, str]) -> Iterator[str]:
    """In what it says otherwise than the settings of the tasks, one line each; nothing where both agree.

    Raises:
        UserError: as `access`.
    """
    wanted = settings.get("UNLEARNING_PIPELINE_ROOT", "")
    root = launcher.get("defaultPipelineRoot", "") or DEFAULT_ROOT
    if wanted and _taken_apart(root)[1:] != _taken_apart(wanted)[1:]:
        yield f"defaultPipelineRoot is {root}, UNLEARNING_PIPELINE_ROOT is {wanted}: purging would not look there"
        root = wanted
    found = access(launcher, root)
    if found is None:
        yield f"providers says nothing of {root.partition(':')[0]}, so neither the endpoint nor the secret is known"
        return
    theirs, ours = found.endpoint, _url(settings.get("AWS_ENDPOINT_URL", ""), plain=False)
    if theirs != ours:
        yield f"providers has the endpoint {_shown(theirs)}, AWS_ENDPOINT_URL is {_shown(ours)}"
    region = settings.get("AWS_DEFAULT_REGION", "")
    if not theirs and not ours and found.region != region:
        yield f"providers has the region {found.region or 'none'}, AWS_DEFAULT_REGION is {region}"
    if found.secret and found.secret not in READABLE:
        yield f"providers has the secret {found.secret}, which {names.SERVICE_ACCOUNT} may not read"
    if found.secret == names.OBJECT_STORE and found.keys != names.OBJECT_STORE_KEYS:
        looked, has = ", ".join(found.keys), ", ".join(names.OBJECT_STORE_KEYS)
        yield f"providers looks in {found.secret} for {looked}, which has {has}"


def _providers(text: str) -> _Providers:
    try:
        return _Providers.model_validate(_lowered(yaml.safe_load(text) or {}))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(each) for each in first["loc"])
        raise UserError(f"providers: {place}: {first['msg']}") from None
    except yaml.YAMLError as error:
        raise UserError(f"providers is no YAML: {' '.join(str(error).split())}") from None


def _lowered(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key).lower(): _lowered(inner) for key, inner in value.items()}
    return [_lowered(inner) for inner in value] if isinstance(value, list) else value


def _access(where: str, place: _Place, default: _Place) -> Access:
    if place.credentials is None:
        raise UserError(f"providers: {where} has no credentials")
    secret = None if place.credentials.from_environment else place.credentials.secret
    if secret is None and not place.credentials.from_environment:
        raise UserError(f"providers: {where}.credentials has neither fromEnv nor secretRef")
    plain = default.plain if place.plain is None else place.plain
    return Access(
        endpoint=_url(place.endpoint or default.endpoint, plain=bool(plain)),
        region=place.region or default.region,
        secret=secret.name if secret else "",
        keys=(secret.access_key, secret.secret_key) if secret else (),
    )


def _taken_apart(root: str) -> tuple[str, str, str]:
    """Scheme, bucket and prefix."""
    parts = urlsplit(root)
    if parts.scheme not in ("s3", "minio") or not parts.netloc:
        raise UserError(f"pipeline root {root!r} is not s3://bucket/prefix")
    return parts.scheme, parts.netloc, parts.path.strip("/")


def _url(endpoint: str, *, plain: bool) -> str:
    """One way to write it: with scheme and port, a service's name without the cluster's; empty for Amazon's."""
    if not endpoint:
        return ""
    if "://" not in endpoint:
        endpoint = f"{'http' if plain else 'https'}://{endpoint}"
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        raise UserError(f"endpoint {endpoint!r} is no address") from None
    if host.endswith(AMAZON):
        return ""
    host = host.removesuffix(".cluster.local").removesuffix(".svc")
    return f"{parts.scheme}://{host}:{port}"


def _shown(endpoint: str) -> str:
    return endpoint or "Amazon's"
