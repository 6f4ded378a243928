"""How many threads a step should use, found out by trying.

A step is hundreds of short pieces of arithmetic, after each of which all threads wait for each other. On an
idle machine more threads make it quicker; where anything else wants a core, they make it slower by as much
as three times. Which it is changes while a server runs, and depends on how many tokens the step reads.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from linewise.engines.cores import Threads

_FIRST_INTERVAL, _LONGEST_INTERVAL = 16, 1024  # steps from one trial to the next
_TRIAL = 3  # steps: what one took may be chance
_GAIN = 0.95  # of the time, at most, to be worth a change


def _last() -> deque[float]:
    return deque(maxlen=_TRIAL)


@dataclass
class _Record:
    """Seconds that the last steps took with either number of threads, and when to try the other again."""

    threads: int
    other: int
    seconds: deque[float] = field(default_factory=_last)
    trial: deque[float] = field(default_factory=_last)
    until: int = _FIRST_INTERVAL
    interval: int = _FIRST_INTERVAL


class ThreadChoice:
    """Chooses between the two numbers of `Threads` for each size of step, by powers of two."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._records: dict[int, _Record] = {}

    def choose(self, rows: int) -> int:
        """Threads for the next step, of `rows` tokens."""
        record = self._record(rows)
        return record.threads if record.until > 0 else record.other

    def saw(self, rows: int, seconds: float) -> None:
        """The step that was last chosen for took so long."""
        record = self._record(rows)
        if record.threads == record.other:
            return
        if record.until > 0:
            record.seconds.append(seconds)
            record.until -= 1
            return
        record.trial.append(seconds)
        if len(record.trial) < _TRIAL:
            return
        # The quickest of each: a step that the processor was taken away from says little.
        if min(record.trial) < _GAIN * min(record.seconds):
            record.threads, record.other = record.other, record.threads
            record.interval = _FIRST_INTERVAL
        else:
            record.interval = min(_LONGEST_INTERVAL, 2 * record.interval)
        record.until = record.interval
        record.trial.clear()

    def _record(self, rows: int) -> _Record:
        size = rows.bit_length()
        if size not in self._records:
            few, many = self._threads.generating, self._threads.reading
            # What `default_threads` says, to begin with: a single token with fewer.
            self._records[size] = _Record(few, many) if rows == 1 else _Record(many, few)
        return self._records[size]
