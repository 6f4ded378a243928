"""A progress bar on standard error, where that is a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

_Self = TypeVar("_Self", bound="Progress")


class Progress:
    """Shows how many of `total` steps are done. Use it as a context manager.

    `amount` is the column that tells how much is done; a count of the steps where it is left out.
    """

    def __init__(
        self, what: str, total: int, completed: int = 0, amount: ProgressColumn | None = None
    ) -> None:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            amount or MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        self._task = self._bar.add_task(what, total=total, completed=completed)

    def __enter__(self: _Self) -> _Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, steps: int) -> None:
        """So many more steps are done."""
        self._bar.advance(self._task, steps)
