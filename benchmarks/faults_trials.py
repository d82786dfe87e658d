"""The trials: in each, batches with a fault, then one without, and what is wrong afterwards.

Everything happens in processes that are forked from one that has all imported and nothing opened, so that they can
be killed, and begin at once.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta

import mlflow

from benchmarks import faults_batch, faults_invariants
from benchmarks.faults_batch import LEASE, Clock
from benchmarks.faults_injection import Dies, Down, Flaky, on_registry, on_store
from benchmarks.faults_world import World
from unlearning.compliance.fields import CLOCK_DIFFERENCE
from unlearning.core.config import Config
from unlearning.core.errors import UserError
from unlearning.core.files import read_json, write_json
from unlearning.learning.devices import deterministic

LATER = (LEASE + CLOCK_DIFFERENCE + timedelta(minutes=5)).total_seconds()
"""After so many seconds nothing is claimed or locked any more."""

REFUSED, BROKEN = 3, 4
"""Exit codes: a UserError, and anything else, which no fault may cause."""

MOST_TRIES = 40
SKEW = 240.0

FORK = multiprocessing.get_context("fork")
Task = Callable[[], None]
Process = multiprocessing.context.ForkProcess


class Extent(Config):
    """What a batch without faults does."""

    writes: int
    calls: int
    """Of the registry, reading too."""
    seconds: float
    step_names: tuple[str, ...] = ()
    """In their order; after each of them the batch can be cut off."""


class Outcome(Config):
    """One trial."""

    fault: str
    number: int
    what: str
    struck: bool
    """Whether the fault happened; a batch can end before its turn."""
    tries: int
    """Batches that were begun before the last one, which has no fault."""
    problems: tuple[str, ...]


def start(world: World, task: Task) -> Process:
    """Do it in a process of its own; what it prints goes into a file."""

    def inside() -> None:
        log = os.open(world.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, sys.stdout.fileno())
        os.dup2(log, sys.stderr.fileno())
        try:
            task()
        except UserError as error:
            print(f"UserError: {error}", flush=True)
            os._exit(REFUSED)
        except BaseException:
            (world.folder / "broken").write_text(traceback.format_exc())
            os._exit(BROKEN)
        os._exit(0)

    process = FORK.Process(target=inside)
    process.start()
    return process


def ended(process: Process) -> int:
    """Wait for it; how it ended."""
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def preload(world: World) -> None:
    """Import here what a batch imports, opening nothing, so that none of the processes does it again.

    The batch that is run for it also makes the candidates that later ones take.
    """
    path = world.folder / "modules.json"

    def task() -> None:
        faults_batch.run(world, "preload", Clock())
        write_json(path, sorted(sys.modules))

    world.restore()
    if ended(start(world, task)) != 0:
        raise UserError(f"a batch without faults fails: see {world.folder / 'log'}")
    for name in set(read_json(path, "modules")) - set(sys.modules):
        with suppress(ImportError):
            importlib.import_module(name)
    deterministic()
    mlflow.pyfunc.get_default_pip_requirements()


class FaultTrial:
    """One trial under way, in the world put back to its beginning."""

    def __init__(self, world: World, fault: str, number: int, what: str) -> None:
        self.world, self.fault, self.number, self.what = world, fault, number, what
        self.problems: list[str] = []
        self.tries, self.struck = 0, False
        world.restore()

    def begin(
        self,
        batch: str,
        *,
        seconds: float = 0.0,
        prepare: Task = lambda: None,
        jump: float = 0.0,
        after: faults_batch.Reached = lambda step: None,
    ) -> Process:
        """A batch, with a clock that is so far ahead and jumps once the requests are claimed.

        Args:
            batch: its name.
            seconds, jump: of the clock.
            prepare: done first, in the batch's process.
            after: told every step that is done, in the batch's process.
        """

        def task() -> None:
            clock = Clock(seconds)

            def reached(step: str) -> None:
                clock.seconds += jump * (step == "collect")
                after(step)

            prepare()
            faults_batch.run(self.world, batch, clock, reached)

        self.tries += 1
        return start(self.world, task)

    def wait(self, process: Process) -> int:
        """Until the batch ends, however."""
        code = ended(process)
        if code == BROKEN:
            last = (self.world.folder / "broken").read_text().strip().splitlines()[-1]
            self.problems.append(f"a batch broke with {last[:200]}")
        self.struck = self.struck or code != 0
        return code

    def look(self, check: Callable[[World], Iterable[str]], when: str) -> None:
        """Add what is wrong now."""
        path = self.world.folder / "found.json"
        path.unlink(missing_ok=True)
        code = ended(start(self.world, lambda: write_json(path, list(check(self.world)))))
        found = read_json(path, "problems") if code == 0 else [f"the check itself ended with {code}"]
        self.problems += [f"{when}: {each}" for each in found]

    def after_fault(self) -> None:
        """What must hold at once."""
        self.look(faults_invariants.champions, "after the fault")

    def finish(self, seconds: float = LATER) -> Outcome:
        """A batch without faults, and what must hold then."""
        code = self.wait(self.begin("last", seconds=seconds))
        self.tries -= 1
        if code != 0:
            self.problems.append(f"the batch without faults ended with {code}: {self._last_line()}")
        self.look(faults_invariants.all_of, "at the end")
        return Outcome(
            fault=self.fault,
            number=self.number,
            what=self.what,
            struck=self.struck,
            tries=self.tries,
            problems=tuple(self.problems),
        )

    def _last_line(self) -> str:
        lines = (self.world.folder / "log").read_text().strip().splitlines()
        return lines[-1][:200] if lines else ""


def extent(world: World) -> Extent:
    """Run a batch without faults and count.

    Raises:
        UserError: it does not come to its end as it must.
    """
    counts = {name: world.folder / name for name in ("writes", "calls", "steps")}
    for path in counts.values():
        path.unlink(missing_ok=True)
    trial = FaultTrial(world, "none", 0, "")

    def prepare() -> None:
        on_store(writes := Dies(0, count=counts["writes"]))
        on_registry(writes)
        on_registry(Down(0, count=counts["calls"]))

    def count(step: str) -> None:
        with counts["steps"].open("a") as file:
            file.write(f"{step}\n")

    trial.wait(trial.begin("b1", prepare=prepare, after=count))
    trial.after_fault()
    found = trial.finish()
    if found.problems or found.struck:
        raise UserError(f"a batch without faults fails ({'; '.join(found.problems)}): see {world.folder / 'log'}")
    world.restore()
    begun = time.perf_counter()
    ended(trial.begin("b1"))
    seconds = time.perf_counter() - begun
    lines = {name: path.read_text().splitlines() for name, path in counts.items()}
    writes, calls = len(lines["writes"]), len(lines["calls"])
    return Extent(writes=writes, calls=calls, seconds=seconds, step_names=tuple(lines["steps"]))


def killed_at_write(world: World, size: Extent, number: int) -> Outcome:
    """It dies right before (odd numbers) or after (even ones) a write; the numbers go over all writes."""
    write, before = number // 2 + 1, number % 2 == 0
    trial = FaultTrial(world, "killed at a write", number, f"{'before' if before else 'after'} write {write}")

    def prepare() -> None:
        on_store(fault := Dies(write, before=before))
        on_registry(fault)

    trial.wait(trial.begin("b1", prepare=prepare))
    trial.after_fault()
    return trial.finish()


def killed_after_step(world: World, size: Extent, number: int) -> Outcome:
    """It dies right after a step, where the pipeline would begin the next one."""
    done: list[str] = []
    trial = FaultTrial(world, "killed after a step", number, size.step_names[number])

    def after(step: str) -> None:
        done.append(step)
        if len(done) > number:
            os.kill(os.getpid(), signal.SIGKILL)

    trial.wait(trial.begin("b1", after=after))
    trial.after_fault()
    return trial.finish()


def killed_at_any_time(world: World, size: Extent, number: int) -> Outcome:
    """SIGKILL from outside."""
    wait = random.Random(number).uniform(0.0, size.seconds)  # noqa: S311 - not for secrets
    trial = FaultTrial(world, "killed at any time", number, f"after {wait:.2f} s")
    process = trial.begin("b1")
    process.join(wait)
    process.kill()
    trial.wait(process)
    trial.after_fault()
    return trial.finish()


def store_errors(world: World, size: Extent, number: int) -> Outcome:
    """Operations of the store fail at random; the batch is run again until it ends."""
    rate = (0.002, 0.01, 0.05, 0.1, 0.2)[number % 5]
    trial = FaultTrial(world, "store errors", number, f"{rate:.1%} of all operations")
    for attempt in range(MOST_TRIES):
        seed = 1000 * number + attempt
        # The locks of a store that fails are not released, so the next try comes when they have run out.
        begun = trial.begin(
            "b1",
            seconds=attempt * LATER,
            prepare=lambda seed=seed: on_store(Flaky(rate, seed)),  # type: ignore[misc]
        )
        code = trial.wait(begun)
        trial.after_fault()
        if code == 0:
            break
    return trial.finish(trial.tries * LATER)


def two_batches(world: World, size: Extent, number: int) -> Outcome:
    """Two at once; the second begins somewhat later. Even numbers are one batch that runs twice."""
    same = number % 2 == 0
    later = random.Random(number).uniform(0.0, size.seconds) if number % 4 > 1 else 0.0  # noqa: S311 - not for secrets
    name = "the same batch twice at once" if same else "two batches at once"
    trial = FaultTrial(world, name, number, f"the second {later:.2f} s later")
    first = trial.begin("b1")
    time.sleep(later)
    second = trial.begin("b1" if same else "b2")
    trial.wait(first)
    trial.wait(second)
    trial.struck = True
    trial.after_fault()
    return trial.finish()


def registry_down(world: World, size: Extent, number: int) -> Outcome:
    """MLflow is gone from some call on, and there again when the batch is run again."""
    call = random.Random(number).randint(1, size.calls)  # noqa: S311 - not for secrets
    trial = FaultTrial(world, "MLflow down", number, f"from call {call} on")
    trial.wait(trial.begin("b1", prepare=lambda: on_registry(Down(call))))
    trial.after_fault()
    trial.wait(trial.begin("b1"))
    trial.after_fault()
    return trial.finish()


def skewed_clocks(world: World, size: Extent, number: int) -> Outcome:
    """A second batch comes when the first one's claims are about to end, with a clock that is up to 4 minutes off.

    Every second time the first one was killed at a write; otherwise both go on at once.
    """
    draw = random.Random(number)  # noqa: S311 - not for secrets
    skew, killed = draw.uniform(-SKEW, SKEW), number % 2 == 1
    write = draw.randint(1, size.writes) if killed else 0
    what = f"{skew:+.0f} s" + (f", the first killed after write {write}" if killed else "")
    trial = FaultTrial(world, "clocks that differ", number, what)
    nearly = LEASE.total_seconds() - 10.0

    def prepare() -> None:
        on_store(fault := Dies(write))
        on_registry(fault)

    first = trial.begin("b1", prepare=prepare, jump=nearly)
    if killed:
        trial.wait(first)
    else:
        first.join(size.seconds * draw.uniform(0.2, 0.8))
    second = trial.begin("b2", seconds=nearly + skew)
    trial.wait(second)
    trial.wait(first)
    trial.struck = True
    trial.after_fault()
    return trial.finish(2 * LATER)
