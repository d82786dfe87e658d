"""Objects of Kubeflow Trainer against the models that it publishes: the schemas of Kubernetes do not have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubeflow_trainer_api import models
from pydantic import ValidationError

from manifests.objects import Object, name_of
from unlearning.cluster.names import TRAINER_GROUP


def against_trainer(item: Object) -> Iterator[str]:
    """What does not fit; unknown fields, kinds and versions do not."""
    version = item["apiVersion"].removeprefix(f"{TRAINER_GROUP}/")
    model = getattr(models, f"Trainer{version.capitalize()}{item['kind']}", None)
    if model is None:
        yield f"{name_of(item)}: Kubeflow Trainer has no {item['kind']} in {item['apiVersion']}"
        return
    try:
        known = model.from_dict(item).to_dict()
    except ValidationError as error:
        first = error.errors()[0]
        yield f"{name_of(item)}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        return
    for path in _lost(item, known):
        yield f"{name_of(item)}: {path} is not known"


def _lost(given: Any, known: Any, path: str = "") -> Iterator[str]:
    """Where something given is not in what the models have kept of it."""
    if isinstance(given, dict) and isinstance(known, dict):
        for key, value in given.items():
            yield from _lost(value, known[key], f"{path}.{key}") if key in known else [f"{path}.{key}"]
    elif isinstance(given, list) and isinstance(known, list) and len(given) == len(known):
        for number, (one, other) in enumerate(zip(given, known, strict=True)):
            yield from _lost(one, other, f"{path}[{number}]")
    elif given != known:
        yield path
