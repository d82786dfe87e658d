"""Members that nearly repeat a forgotten record: a model that keeps the copy has not forgotten the picture.

Two measures, each of a kept member and the forgotten record that is nearest to it:

- `correlation` of the pixels, which decides what is a near-duplicate. The middle of one picture is laid over the other
  at every offset of up to `shift` pixels; both are brought to mean 0 and length 1 there, and the largest product
  counts. So 1 is the same picture whatever its brightness and contrast. Pictures larger than `SIDE` are averaged down
  to that before. A picture without any contrast resembles none.
- `cosine` of the model's own embeddings, which is only reported. How near unrelated records are to one another depends
  on how a model was trained, so the bound is the model's own: the share `alike` of the kept members have another kept
  member as near. It finds mirror images where the model does not tell those apart, and pictures that are not alike at
  all.

Measured on Fashion-MNIST (`benchmarks/results/near_duplicates.md`): to ask for both at once would lose shifted copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from pydantic import AliasChoices, Field, ValidationError
from torch import Tensor
from torch.nn import functional as F

from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.core.seeding import generator
from unlearning.data.forget_selection import NearDuplicateCounts
from unlearning.data.forget_set import ForgetSet
from unlearning.data.snapshots import Snapshot
from unlearning.data.splits import Split
from unlearning.learning.features import features
from unlearning.learning.models import Model

SIDE = 32
"""Pixels a side that pictures are compared at, at most."""

BLOCK = 1024
"""Pictures on either side that are compared at once."""

SAMPLE = 2000
"""Kept members, at most, whose nearest neighbours give the bound of the cosine."""


class NearDuplicateConfig(Config):
    """What counts as nearly the same."""

    correlation: float = Field(0.985, gt=0, le=1, description="Of pixels; from here on it is a near-duplicate.")
    shift: int = Field(1, ge=0, le=4, description="Pixels that a copy may be moved by, either way.")
    alike: float = Field(0.01, gt=0, lt=1, description="Share of kept members that have another as near by cosine.")


class Pair(Config):
    """A kept member and the forgotten record that it is nearest to."""

    kept: str
    forgotten: str
    nearness: float
    """Correlation or cosine."""


class NearDuplicates(Config):
    """What was found for one forget set. It names records, so it stays where the forget set is."""

    forget: str
    """Digest of the forget set as it was asked for."""
    config: NearDuplicateConfig
    cosine: float
    """Bound of the model's own."""
    repeated: tuple[Pair, ...] = Field(validation_alias=AliasChoices("repeated", "found"))
    """Near-duplicates by their pixels, in the split's order."""
    alike: tuple[Pair, ...]
    """Others that the model hardly tells apart from a forgotten record, in the split's order."""


def correlations(queries: Tensor, others: Tensor, shift: int) -> tuple[Tensor, Tensor]:
    """(N,) largest correlation of each of `others` with any of the `queries`, and (N,) the row of that query.

    Args:
        queries, others: (M, C, H, W) and (N, C, H, W) uint8 pictures of one size.
        shift: pixels that they may be moved against each other, either way; less where they are too small for that.
    """
    queries, others = _reduced(queries), _reduced(others)
    shift = min(shift, (min(queries.shape[-2:]) - 1) // 2)
    offsets = [(down, right) for down in range(2 * shift + 1) for right in range(2 * shift + 1)]

    def nearness(first: slice, second: slice) -> Tensor:
        middle = _window(queries[first], shift, shift, shift)
        products = (middle @ _window(others[second], shift, *offset).T for offset in offsets)
        return torch.stack(list(products)).amax(dim=0)

    return _nearest(nearness, len(queries), len(others), others.device)


def cosines(queries: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) largest cosine of each of `others` with any of the `queries`, and (N,) the row of that query.

    Args:
        queries, others: (M, D) and (N, D) embeddings of length 1.
    """
    return _nearest(lambda first, second: queries[first] @ others[second].T, len(queries), len(others), others.device)


def bound(embeddings: Tensor, share: float, seed: int = 0) -> float:
    """The cosine that this share of the (N, D) embeddings reach with another of them; 1 for fewer than two.

    Asked of `SAMPLE` of them at most, drawn by the seed.
    """
    if len(embeddings) < 2:
        return 1.0
    rows = torch.randperm(len(embeddings), generator=generator(seed, "near-duplicates"))[:SAMPLE].to(embeddings.device)

    def nearness(first: slice, second: slice) -> Tensor:
        products = embeddings[first] @ embeddings[rows[second]].T
        own = torch.arange(first.start, first.stop, device=rows.device)[:, None] == rows[second]
        return products.masked_fill(own, -torch.inf)

    nearest, _ = _nearest(nearness, len(embeddings), len(rows), embeddings.device)
    return float(nearest.quantile(1 - share))


def find(
    snapshot: Snapshot,
    split: Split,
    forget: ForgetSet,
    model: Model,
    *,
    side: int,
    config: NearDuplicateConfig,
    device: torch.device,
) -> NearDuplicates:
    """Look among the kept members for repetitions of what is to be forgotten.

    Args:
        snapshot, split: of the model.
        forget: as it was asked for.
        model: that is to forget, on the device; it embeds the records.
        side: pixels a side that the model sees.
        config: what counts as nearly the same.
        device: to compare on.
    """
    kept = split.retained(forget.ids)
    forgotten, others = (snapshot.rows(ids).to(device) for ids in (forget.ids, kept))
    by_pixels, pixel_rows = correlations(forgotten.images, others.images, config.shift)
    embedded = [F.normalize(features(model, each.resized(side).images), dim=1) for each in (forgotten, others)]
    by_model, model_rows = cosines(*embedded)
    limit = bound(embedded[1], config.alike)
    repeated = by_pixels >= config.correlation

    def pairs(chosen: Tensor, nearness: Tensor, rows: Tensor) -> tuple[Pair, ...]:
        return tuple(
            Pair(kept=kept[row], forgotten=forget.ids[int(rows[row])], nearness=float(nearness[row]))
            for row in chosen.nonzero().flatten().tolist()
        )

    return NearDuplicates(
        forget=forget.digest,
        config=config,
        cosine=limit,
        repeated=pairs(repeated, by_pixels, pixel_rows),
        alike=pairs((by_model >= limit) & ~repeated, by_model, model_rows),
    )


def save(near_duplicates: NearDuplicates, path: Path) -> None:
    """Write it as JSON."""
    write_json(path, near_duplicates.model_dump(mode="json"))


def load(path: Path) -> NearDuplicates:
    """Read it.

    Raises:
        UserError: not what `save` writes.
    """
    try:
        return NearDuplicates.model_validate(read_json(path, "near-duplicates"))
    except ValidationError as error:
        raise UserError(f"near-duplicates {path} are not valid: {error.errors()[0]['msg']}") from None


def _reduced(images: Tensor) -> Tensor:
    """uint8 pictures of `SIDE` pixels at most, their shape kept."""
    height, width = images.shape[-2:]
    if max(height, width) <= SIDE:
        return images
    small_height, small_width = (max(1, round(each * SIDE / max(height, width))) for each in (height, width))
    parts = (
        F.adaptive_avg_pool2d(images[block].float(), (small_height, small_width)).round().to(torch.uint8)
        for block in _blocks(len(images))
    )
    return torch.cat(list(parts))


def _window(images: Tensor, shift: int, down: int, right: int) -> Tensor:
    """(N, P) the pixels left by cutting `2 * shift` off each side together, with mean 0 and length 1."""
    height, width = (each - 2 * shift for each in images.shape[-2:])
    pixels = images[..., down : down + height, right : right + width].flatten(1).float()
    return F.normalize(pixels - pixels.mean(dim=1, keepdim=True), dim=1)


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))


def _nearest(
    nearness: Callable[[slice, slice], Tensor], queries: int, others: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """For each of `others` the largest nearness to any query, and that query's row, block by block."""
    best = torch.full((others,), -torch.inf, device=device)
    rows = torch.zeros(others, dtype=torch.int64, device=device)
    for second in _blocks(others):
        for first in _blocks(queries):
            largest, row = nearness(first, second).max(dim=0)
            better = largest > best[second]
            best[second] = torch.where(better, largest, best[second])
            rows[second] = torch.where(better, row + first.start, rows[second])
    return best, rows


def with_near_duplicates(
    forget: ForgetSet, near_duplicates: NearDuplicates, split: Split, repeated: frozenset[str]
) -> ForgetSet:
    """The forget set and what nearly repeats those of its records."""
    more = tuple(dict.fromkeys(pair.kept for pair in near_duplicates.repeated if pair.forgotten in repeated))
    ids = forget.ids + more
    split.retained(ids)  # refuses to forget everybody
    counts = NearDuplicateCounts(
        repeated=len(near_duplicates.repeated), alike=len(near_duplicates.alike), included=bool(repeated)
    )
    return forget.model_copy(update={"ids": ids, "near_duplicates": counts})
