"""`python -m benchmarks.near_duplicates`: how often unrelated records are taken for near-duplicates, and
copies are found.

Members of a recipe, an original trained on them, and copies made of some: moved, brighter, darker, compressed,
mirrored. The bounds were chosen on seed 0; what is shown is measured on others, whose members are another sample.
"""

from __future__ import annotations

import io
from pathlib import Path
from statistics import mean
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
import typer
from PIL import Image
from pydantic import AliasChoices, Field, TypeAdapter
from torch import Tensor
from torch.nn import functional as F

from benchmarks.rows import machine
from benchmarks.workbench import CPU, Bench, prepare
from unlearning import recipes
from unlearning.core import settings
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json, write_text
from unlearning.data import forget_set
from unlearning.data.records import Records
from unlearning.learning.features import features
from unlearning.learning.near_duplicates import NearDuplicateConfig, correlations, cosines, find
from unlearning.learning.paradigms import PARADIGMS

Bytes = npt.NDArray[np.uint8]

COPIED = 500
"""Members, at most, that copies are made of."""
SETS = 10
"""Random forget sets per original."""
QUANTILES = (0.5, 0.9, 0.99, 0.999)
BOUNDS = (0.97, 0.98, 0.985, 0.99, 0.995)
"""Correlations that are compared; the one in use is among them."""


class Copies(Config):
    """Copies of one kind."""

    correlation: dict[float, float]
    """Share found, by the bound of the correlation."""
    cosine: float
    """Share found by the model's own bound."""
    both: float
    """Share found where both bounds in use must be reached."""


class MeasuredPairs(Config):
    """One original."""

    paradigm: str
    seed: int
    members: int
    nearest: dict[float, float]
    """Quantiles of the correlation of each member with its nearest among half of the others."""
    unrelated: dict[float, float] = Field(validation_alias=AliasChoices("unrelated", "strangers"))
    """Share of kept members found though nobody copied anything, by the bound: a fifth of the members is forgotten."""
    alike: float
    """Share of kept members that only the model's own bound finds."""
    cosine: float
    """The model's own bound, mean over forget sets."""
    copies: dict[str, Copies]
    commit: str
    machine: str


MEASURED = TypeAdapter(list[MeasuredPairs])


def moved(images: Tensor, down: int, right: int) -> Tensor:
    """The pictures further down and to the right; what comes in is black."""
    room = max(abs(down), abs(right))
    padded = F.pad(images, (room,) * 4)
    height, width = images.shape[-2:]
    return padded[..., room - down : room - down + height, room - right : room - right + width]


def scaled(images: Tensor, factor: float) -> Tensor:
    """Brighter or darker pictures."""
    return (images.float() * factor).round().clamp(0, 255).to(torch.uint8)


def compressed(images: Tensor, quality: int) -> Tensor:
    """As JPEG gives the pictures back."""

    def again(image: Bytes) -> Bytes:
        buffer = io.BytesIO()
        Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(buffer, "JPEG", quality=quality)
        back = np.asarray(Image.open(buffer), dtype=np.uint8)
        return back[None] if back.ndim == 2 else back.transpose(2, 0, 1)

    return torch.from_numpy(np.stack([again(image) for image in images.numpy()]))


def copies_of(images: Tensor) -> dict[str, Tensor]:
    """Copies of every kind."""
    return {
        "moved by 1 pixel": moved(images, 0, 1),
        "moved by 1 pixel both ways": moved(images, 1, -1),
        "3 % brighter": scaled(images, 1.03),
        "3 % darker": scaled(images, 0.97),
        "JPEG, quality 75": compressed(images, 75),
        "JPEG, quality 50": compressed(images, 50),
        "moved both ways, 3 % brighter, JPEG 75": compressed(scaled(moved(images, 1, -1), 1.03), 75),
        "moved by 2 pixels (not meant to be found)": moved(images, 2, 0),
        "mirrored (not meant to be found)": images.flip(-1),
    }


def _copies(bench: Bench, config: NearDuplicateConfig, limit: float) -> dict[str, Copies]:
    originals = bench.snapshot.rows(bench.split.members[:COPIED])
    side, own = bench.recipe.data.image_side, torch.arange(len(originals))

    def embedded(images: Tensor) -> Tensor:
        resized = Records(images, originals.labels).resized(side).images
        return F.normalize(features(bench.original, resized), dim=1)

    found = {}
    for kind, images in copies_of(originals.images).items():
        by_pixels, pixel_rows = correlations(originals.images, images, config.shift)
        by_model, model_rows = cosines(embedded(originals.images), embedded(images))
        # Only where the copy is nearest to its own original: it could be near another by chance.
        pixels, model = (torch.where(rows == own, each, -1.0) for each, rows in
                         ((by_pixels, pixel_rows), (by_model, model_rows)))  # fmt: skip
        found[kind] = Copies(
            correlation={each: _share(pixels >= each) for each in BOUNDS},
            cosine=_share(model >= limit),
            both=_share((pixels >= config.correlation) & (model >= limit)),
        )
    return found


def _share(hits: Tensor) -> float:
    return float(hits.float().mean())


def measure(bench: Bench) -> MeasuredPairs:
    """Unrelated records and copies of one original."""
    config, split, snapshot = bench.recipe.near_duplicates, bench.split, bench.snapshot
    images = snapshot.rows(split.members).images
    half = len(images) // 2
    halves = ((images[:half], images[half:]), (images[half:], images[:half]))
    nearest = torch.cat([correlations(others, some, config.shift)[0] for some, others in halves])
    unrelated, alike, limits = dict.fromkeys(BOUNDS, 0.0), 0.0, []
    for draw in range(SETS):
        forget = forget_set.select(split, snapshot, kind="random", fraction=0.2, seed=draw)
        kept = split.retained(forget.ids)
        by_pixels, _ = correlations(snapshot.rows(forget.ids).images, snapshot.rows(kept).images, config.shift)
        for each in BOUNDS:
            unrelated[each] += _share(by_pixels >= each) / SETS
        side = bench.recipe.data.image_side
        found = find(snapshot, split, forget, bench.original, side=side, config=config, device=CPU)
        alike += len(found.alike) / len(kept) / SETS
        limits.append(found.cosine)
    return MeasuredPairs(
        paradigm=bench.recipe.paradigm.name,
        seed=bench.seed,
        members=len(images),
        nearest={each: float(nearest.quantile(each)) for each in QUANTILES},
        unrelated=unrelated,
        alike=alike,
        cosine=mean(limits),
        copies=_copies(bench, config, mean(limits)),
        commit=settings.from_environment().commit,
        machine=machine(),
    )


def _range(values: list[float], percent: bool = True) -> str:
    """The least and the largest over seeds and paradigms."""
    scale, digits = (100, 1) if percent else (1, 3)
    low, high = (f"{scale * each:.{digits}f}" for each in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _pixels_table(found: list[MeasuredPairs]) -> list[str]:
    lines = [
        "| | " + " | ".join(f"correlation ≥ {each:g}" for each in BOUNDS) + " |",
        "|---" * (1 + len(BOUNDS)) + "|",
    ]
    rows = {"unrelated: kept members found when a fifth is forgotten": [one.unrelated for one in found]}
    rows |= {f"copies: {kind}": [one.copies[kind].correlation for one in found] for kind in found[0].copies}
    return lines + [
        f"| {name} | {' | '.join(_range([one[each] for one in shares]) for each in BOUNDS)} |"
        for name, shares in rows.items()
    ]


def _model_table(found: list[MeasuredPairs]) -> list[str]:
    grouped = {name: [one for one in found if one.paradigm == name] for name in sorted({o.paradigm for o in found})}
    bounds = [f"{_range([one.cosine for one in some], False)} | —" for some in grouped.values()]
    unrelated = [f"{_range([one.alike for one in some])} | —" for some in grouped.values()]
    lines = [
        "| | " + " | ".join(f"{name}, cosine | {name}, both" for name in grouped) + " |",
        "|---" * (1 + 2 * len(grouped)) + "|",
        f"| bound | {' | '.join(bounds)} |",
        f"| unrelated that only the model finds | {' | '.join(unrelated)} |",
    ]
    for kind in found[0].copies:
        shares = [[one.copies[kind] for one in some] for some in grouped.values()]
        cells = [f"{_range([o.cosine for o in some])} | {_range([o.both for o in some])}" for some in shares]
        lines.append(f"| copies: {kind} | {' | '.join(cells)} |")
    return lines


def render(measured: list[MeasuredPairs], dataset: str) -> str:
    """The page."""
    config = NearDuplicateConfig()
    seeds = ", ".join(map(str, sorted({each.seed for each in measured})))
    paradigms = {name: sorted(each.seed for each in measured if each.paradigm == name) for name in PARADIGMS}
    originals = "; ".join(f"{name} {', '.join(map(str, some))}" for name, some in paradigms.items() if some)
    pixels = list({each.seed: each for each in measured}.values())  # which know no paradigm
    quantiles = ", ".join(
        f"{100 * each:g} % below {_range([one.nearest[each] for one in pixels], False)}" for each in QUANTILES
    )
    lines = [
        "# Near-duplicates: unrelated records taken for copies, and copies found", "",
        f"{measured[0].members:,} members of `{dataset}`, seeds {seeds}; the bounds were chosen on seed 0. Shares are",
        "in per cent; where there are two numbers, they are the least and the largest over seeds.", "",
        f"In use: a correlation of {config.correlation:g}, where pictures may be moved by {config.shift} pixel.",
        f"Nearest correlation of a member with half of the others: {quantiles}.", "",
        *_pixels_table(pixels), "",
        f"By the model's own bound of the cosine, which {100 * config.alike:g} % of the kept members reach with",
        "another kept member; and where the bounds of correlation and cosine must both be reached:", "",
        *_model_table(measured), "",
        "Some of the unrelated records may be real repetitions in the data.", "",
        f"Command: `python -m benchmarks.near_duplicates`. Originals by paradigm and seed: {originals}. "
        f"Commits: {', '.join(sorted({one.commit[:12] for one in measured}))}. Machine: {measured[0].machine}.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def main(
    dataset: Annotated[str, typer.Option(help="fashion-mnist or digits.")] = "fashion-mnist",
    paradigm: Annotated[list[str] | None, typer.Option(help="Only these; repeat for more.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Only these; repeat for more.")] = None,
    output: Annotated[Path, typer.Option(help="JSON; the page beside it.")] = Path(
        "benchmarks/results/near_duplicates.json"
    ),
) -> None:
    """Measure unrelated records and copies. Originals that `output` holds are not trained again."""
    try:
        found = MEASURED.validate_python(read_json(output, "near-duplicates measured")) if output.exists() else []
        done = {(each.paradigm, each.seed) for each in found}
        for number in seed or [1, 2]:
            for name in paradigm or list(PARADIGMS):
                if (name, number) not in done:
                    recipe = recipes.load(recipes.default_recipe(dataset, name))
                    found.append(measure(prepare(recipe, number)))
                    write_json(output, [each.model_dump(mode="json") for each in found])
                    write_text(output.with_suffix(".md"), render(found, dataset))
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{len(found)} originals in {output} and {output.with_suffix('.md')}")


if __name__ == "__main__":
    typer.run(main)
