"""What people see of a local run: tasks and their progress; the whole log goes to a file."""

import io
import re
import sys
import time
from pathlib import Path
from typing import TextIO

STARTED = re.compile(r"Executing task \S*?'?([a-z][a-z0-9-]*)'?\S*$")
FINISHED = re.compile(r"Task \S*?'?([a-z][a-z0-9-]*)'?\S* finished with status \S*?(SUCCESS|FAILURE)")
CACHED = re.compile(r"Task (\S+) cache hit")
PROGRESS = re.compile(r"^\s*(\S.*: \d+/\d+  .*)$")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class RunLog(io.TextIOBase):
    """Takes everything the local runner and its tasks print.

    Every line goes to the log file. To the screen go the names of the tasks, their seconds, and
    the progress of long ones.
    """

    def __init__(self, path: Path, screen: TextIO, *, quiet: bool) -> None:
        self.file = path.open("a")
        self.screen = screen
        self.quiet = quiet
        self._begun: dict[str, float] = {}
        self._partial = ""

    def write(self, text: str) -> int:
        """Split into lines, keep them all, show the telling ones."""
        self.file.write(text)
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            self._line(COLOURS.sub("", line))
        return len(text)

    def flush(self) -> None:
        if not self.file.closed:
            self.file.flush()

    def close(self) -> None:
        self.file.close()
        super().close()

    def _line(self, line: str) -> None:
        if found := STARTED.search(line):
            self._begun[found[1]] = time.monotonic()
            self._show(f"· {found[1]}")
        elif found := CACHED.search(line):
            self._show(f"· {found[1]}: done before, taken from the cache")
        elif found := FINISHED.search(line):
            seconds = time.monotonic() - self._begun.get(found[1], time.monotonic())
            self._show(f"  {found[1]} {'done' if found[2] == 'SUCCESS' else 'FAILED'} in {seconds:.1f} s")
        elif found := PROGRESS.match(line):
            self._show(f"    {found[1]}")

    def _show(self, text: str) -> None:
        if not self.quiet:
            print(text, file=self.screen, flush=True)


def standard_error() -> TextIO:
    """Where progress is shown, so that standard output stays for results."""
    return sys.stderr
