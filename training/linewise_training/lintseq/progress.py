"""A progress bar on standard error, where that is a terminal: rate, and time left."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from linewise_training.lintseq.output import Counts


class Progress:
    """Shows how far a run is. Use it as a context manager.

    `total` is the input's extent, or the number of lines to read.
    """

    def __init__(self, total: int, before: Counts) -> None:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=total)
        self._before = before.sequences
        self._began = time.monotonic()

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def at(self, position: int, counts: Counts) -> None:
        """Everything up to `position` of the input is done."""
        rate = (counts.sequences - self._before) / max(1e-9, time.monotonic() - self._began)
        told = f"{counts.programs} programs, {rate:.1f} sequences/s, {counts.skipped.total()} skipped"
        self._bar.update(self._task, completed=position, description=told)

    def conclude(self, work: str) -> None:
        """All of the input is done; what is left is `work`."""
        self._bar.update(self._task, total=1, completed=1, description=work)
