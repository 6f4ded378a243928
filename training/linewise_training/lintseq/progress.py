"""The progress bar of a LintSeq run: rate, and time left."""

from __future__ import annotations

import time

from rich.progress import TaskProgressColumn

from linewise_training.lintseq.output import Counts
from linewise_training.progress import Progress


class RunProgress(Progress):
    """Shows how far a run is. `total` is the input's extent, or the number of lines to read."""

    def __init__(self, total: int, before: Counts) -> None:
        super().__init__("starting", total, amount=TaskProgressColumn())
        self._before = before.sequences
        self._began = time.monotonic()

    def at(self, position: int, counts: Counts) -> None:
        """Everything up to `position` of the input is done."""
        rate = (counts.sequences - self._before) / max(1e-9, time.monotonic() - self._began)
        told = f"{counts.programs} programs, {rate:.1f} sequences/s, {counts.skipped.total()} skipped"
        self._bar.update(self._task, completed=position, description=told)

    def conclude(self, work: str) -> None:
        """All of the input is done; what is left is `work`."""
        self._bar.update(self._task, total=1, completed=1, description=work)
