"""How many threads a step should use, found out by trying.

A step is hundreds of short pieces of arithmetic, after each of which all threads wait for each other. On an
idle machine more threads make it quicker; where anything else wants a core, they make it slower by as much
as three times. Which it is changes while a server runs, and depends on how many tokens the step reads.
"""

from __future__ import annotations

from linewise.engines.cores import Threads
from linewise.serving.trial import Trial

_GENERATING = 15  # tokens: a draft, or a token of each of several generations


class ThreadChoice:
    """Chooses between the two numbers of `Threads` for each size of step, by powers of two."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._trials: dict[int, Trial[int]] = {}

    def choose(self, rows: int) -> int:
        """Threads for the next step, of `rows` tokens."""
        return self._trial(rows).choose()

    def is_trying(self, rows: int) -> bool:
        """Whether the next step, of `rows` tokens, is a trial of what is usually not chosen."""
        return self._trial(rows).is_trying

    def saw(self, rows: int, seconds: float) -> None:
        """The step that was last chosen for took so long."""
        if self._threads.generating != self._threads.reading:
            self._trial(rows).saw(seconds)

    def _trial(self, rows: int) -> Trial[int]:
        size = rows.bit_length()
        if size not in self._trials:
            few, many = self._threads.generating, self._threads.reading
            # What `default_threads` says, to begin with: what generates with fewer.
            self._trials[size] = Trial(few, many) if rows <= _GENERATING else Trial(many, few)
        return self._trials[size]
