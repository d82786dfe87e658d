"""Many measurements at once, each in a process of its own with one thread."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from unlearning.core.errors import UserError

Work = TypeVar("Work")
Found = TypeVar("Found")


def _begin() -> None:
    """One thread, for torch and NumPy, so that processes side by side take the same time as alone, and no
    progress of their own.

    An error still reaches the parent: it travels with the result.
    """
    torch.set_num_threads(1)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives


def in_parallel(
    function: Callable[[Work], Found], work: Sequence[Work], *, jobs: int, label: Callable[[Work], str]
) -> Iterator[tuple[Work, Found]]:
    """Each piece of work with what `function` found, as it is finished; one line tells how far it is.

    Raises:
        UserError: pieces failed with one, such as a training that diverged; after all others are done.
            Any other error ends everything at once.
    """
    failures = []
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy of the processes to come reads it when it is imported
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with (
        Progress(*columns, console=Console(stderr=True)) as bar,
        ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin) as pool,
    ):
        task = bar.add_task("measuring", total=len(work))
        waiting = {pool.submit(function, piece): piece for piece in work}
        try:
            for future in as_completed(waiting):
                piece = waiting[future]
                bar.update(task, advance=1, description=label(piece))
                try:
                    found = future.result()
                except UserError as error:
                    failures.append(f"{label(piece)}: {error}")
                    continue
                yield piece, found
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # or leaving the pool would first finish what nobody keeps
            raise
    if failures:
        raise UserError(f"{len(failures)} of {len(work)} failed, the others are kept: {failures[0]}")
