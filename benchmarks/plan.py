"""Plan a pretraining and its daily unlearning on many GPUs: arithmetic from stated inputs, nothing measured."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field, ValidationError

from unlearning.core.config import Config
from unlearning.core.errors import UserError

HOUR = 3600
DAYS_A_YEAR = 365
BYTES_A_FLOAT = 4


class Inputs(Config):
    """What is planned with; the defaults are ImageNet-1k, ResNet-50 and SimCLR on 8 nodes of 8 GPUs."""

    records: int = Field(1_281_167, gt=0, description="Training images of ImageNet-1k.")
    bytes_per_image: int = Field(3 * 224 * 224, gt=0, description="uint8 pixels, as snapshots and memory hold them.")
    forward_flop: float = Field(2 * 4.09e9, gt=0, description="ResNet-50 at 224: 4.09 G multiply-adds, 2 FLOP each.")
    parameters: int = Field(25_557_032, gt=0, description="ResNet-50 with its classifier; a projector is about as big.")
    views: int = Field(2, gt=0, description="Passes through the encoder per image and step.")
    backward_factor: float = Field(2.0, gt=0, description="FLOP of the backward pass over the forward pass.")
    epochs: int = Field(100, gt=0)
    batch: int = Field(4096, gt=0, description="Over all GPUs.")
    projection: int = Field(128, gt=0, description="Numbers per view that are gathered as negatives.")
    nodes: int = Field(8, gt=0)
    gpus_per_node: int = Field(8, gt=0)
    peak_flop_per_s: float = Field(312e12, gt=0, description="Of one GPU: A100, bfloat16, dense.")
    utilisation: float = Field(0.15, gt=0, le=1, description="Of the peak.")
    gpu_memory: float = Field(80e9, gt=0, description="Bytes of one GPU.")
    bandwidth: float = Field(10e9, gt=0, description="Bytes per second that one GPU sends to the next.")
    references: int = Field(16, ge=0)
    reference_share: float = Field(0.5, gt=0, le=1, description="Of the records each reference is trained on.")
    penalty_ratio: float = Field(3.0, gt=0, description="A step with the penalty over a plain one.")
    precision_ratio: float = Field(2.0, ge=1, description="Unlearning is not in bfloat16; TF32's peak is half of it.")
    unlearning_epochs: float = Field(2.0, gt=0, description="Of the retain set, per batch of requests.")
    penalty_share: float = Field(1.0, ge=0, le=1, description="Of those steps that have the penalty.")
    requests_per_day: int = Field(1000, ge=0, description="Of one record each.")
    batches_per_day: int = Field(1, gt=0, description="Each unlearns once and makes one version.")
    store_bandwidth: float = Field(1e9, gt=0, description="Bytes per second to and from the object store.")
    price: float = Field(2.5, ge=0, description="Of one GPU for one hour, in your currency.")


class ScalingPlan(Config):
    """What follows from the inputs: seconds, bytes and the currency of the price."""

    steps: int
    compute_s: float = Field(description="Of one step, on every GPU.")
    all_reduce_bytes: float = Field(description="That each GPU sends in one step, in a ring, float32.")
    all_reduce_s: float
    gather_bytes: float = Field(description="Negatives that one GPU receives in one step, float32.")
    pretraining_s: float
    dataset_bytes: int
    dataset_fits_one_gpu: bool
    shard_bytes: float = Field(description="Of the data set, were it divided over the GPUs.")
    references_s: float = Field(description="All of them, one after another on all GPUs.")
    reference_alone_s: float = Field(description="One on one GPU, as ParallelFor does it, did its batch fit there.")
    unlearning_s: float = Field(description="Of one batch of requests.")
    unlearning_day_s: float
    rewrite_s: float = Field(description="Reading and writing the whole snapshot, once.")
    model_bytes: int
    versions_year_bytes: int
    forgotten_share_day: float
    pretraining_cost: float
    references_cost: float
    unlearning_day_cost: float


def plan(inputs: Inputs) -> ScalingPlan:
    """Work out the table. Compute and communication are added up, as if nothing overlapped."""
    gpus = inputs.nodes * inputs.gpus_per_node
    flop = inputs.forward_flop * (1 + inputs.backward_factor) * inputs.views * inputs.batch / gpus
    compute = flop / (inputs.peak_flop_per_s * inputs.utilisation)
    model = inputs.parameters * BYTES_A_FLOAT
    reduced = 2 * (gpus - 1) / gpus * model
    gathered = (gpus - 1) / gpus * inputs.batch * inputs.views * inputs.projection * BYTES_A_FLOAT
    communication = (reduced + gathered) / inputs.bandwidth
    per_epoch = math.ceil(inputs.records / inputs.batch)
    step = compute + communication
    pretraining = per_epoch * inputs.epochs * step
    slower = 1 + inputs.penalty_share * (inputs.penalty_ratio - 1)
    unlearning = per_epoch * inputs.unlearning_epochs * (compute * inputs.precision_ratio * slower + communication)
    reference_steps = math.ceil(inputs.records * inputs.reference_share / inputs.batch) * inputs.epochs
    references = inputs.references * reference_steps * step
    data = inputs.records * inputs.bytes_per_image
    per_second = gpus * inputs.price / HOUR
    return ScalingPlan(
        steps=per_epoch * inputs.epochs,
        compute_s=compute,
        all_reduce_bytes=reduced,
        all_reduce_s=reduced / inputs.bandwidth,
        gather_bytes=gathered,
        pretraining_s=pretraining,
        dataset_bytes=data,
        dataset_fits_one_gpu=data <= inputs.gpu_memory,
        shard_bytes=data / gpus,
        references_s=references,
        reference_alone_s=reference_steps * compute * gpus,
        unlearning_s=unlearning,
        unlearning_day_s=unlearning * inputs.batches_per_day,
        rewrite_s=2 * data / inputs.store_bandwidth,
        model_bytes=model,
        versions_year_bytes=model * inputs.batches_per_day * DAYS_A_YEAR,
        forgotten_share_day=inputs.requests_per_day / inputs.records,
        pretraining_cost=pretraining * per_second,
        references_cost=references * per_second,
        unlearning_day_cost=unlearning * inputs.batches_per_day * per_second,
    )


def table(found: ScalingPlan) -> str:
    """The plan as a Markdown table, one row per figure."""
    rows = [
        ("steps of pretraining", f"{found.steps:,}"),
        ("computing in a step", f"{found.compute_s * 1e3:.1f} ms"),
        ("gradients that a GPU sends in a step", f"{found.all_reduce_bytes / 1e6:.0f} MB"),
        ("sending them", f"{found.all_reduce_s * 1e3:.1f} ms"),
        ("negatives that a GPU receives in a step", f"{found.gather_bytes / 1e6:.2f} MB"),
        ("pretraining", f"{found.pretraining_s / HOUR:.2f} h"),
        ("the data set as uint8", f"{found.dataset_bytes / 1e9:.1f} GB"),
        ("does it fit one GPU", "yes" if found.dataset_fits_one_gpu else "no"),
        ("the data set divided over the GPUs, each", f"{found.shard_bytes / 1e9:.2f} GB"),
        ("all reference models", f"{found.references_s / HOUR:.2f} h"),
        ("one reference model on one GPU, were its batch to fit", f"{found.reference_alone_s / HOUR:.1f} h"),
        ("unlearning one batch of requests", f"{found.unlearning_s / 60:.1f} min"),
        ("unlearning in a day", f"{found.unlearning_day_s / 60:.1f} min"),
        ("share of the records forgotten in a day", f"{found.forgotten_share_day:.4%}"),
        ("rewriting the whole snapshot once", f"{found.rewrite_s / 60:.1f} min"),
        ("weights of one version", f"{found.model_bytes / 1e6:.0f} MB"),
        ("weights of a year's versions", f"{found.versions_year_bytes / 1e9:.1f} GB"),
        ("cost of pretraining", f"{found.pretraining_cost:,.0f}"),
        ("cost of all reference models", f"{found.references_cost:,.0f}"),
        ("cost of a day's unlearning", f"{found.unlearning_day_cost:,.0f}"),
    ]
    return "\n".join(
        ["| planned, not measured | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]
    )


def read_inputs(file: Path | None) -> Inputs:
    """The defaults, with those that a JSON file names replaced.

    Raises:
        UserError: the file cannot be read, or names or values are wrong.
    """
    if file is None:
        return Inputs()
    try:
        return Inputs.model_validate(json.loads(file.read_text()))
    except (OSError, ValueError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"inputs {file}: {reason}: give a JSON object of inputs of benchmarks/plan.py") from None


def main(inputs: Annotated[Path | None, typer.Argument(help="JSON file of inputs that differ.")] = None) -> None:
    """Print the plan as Markdown."""
    try:
        typer.echo(table(plan(read_inputs(inputs))))
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
