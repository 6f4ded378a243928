"""A worker process: takes chunks of programs from a pipe and sends back what each one gave."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

from linewise.edits import format_edit
from linewise.errors import LinewiseError
from linewise.verify import Problem, Verifier
from linewise_training.lintseq.driver import Failed, Program, sample_sequences
from linewise_training.lintseq.plan import Plan

# A worker whose linter has gathered this much is replaced by a fresh one between two chunks.
_MOST_BYTES = 1 << 30
# The linter is asked about so many states at once at most; after each answer the worker says that it lives.
_STATES, _CHARACTERS = 128, 100_000


@dataclass(frozen=True, slots=True)
class Written:
    """The sequences of program `index`: each one's number and the diff texts of its edits."""

    index: int
    sequences: tuple[tuple[int, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Alive:
    """The worker is still at work."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker is done with what it was given, and takes more unless it is `full`."""

    full: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """The worker cannot work at all, for `reason`."""

    reason: str


Outcome: TypeAlias = Written | Failed
Message: TypeAlias = Outcome | Alive | Ready | Broken


def serve(connection: Connection, make_verifier: Callable[[], Verifier], plan: Plan) -> None:
    """Work until the pipe is closed or says None; the body of a worker process."""
    # Ctrl-C reaches every process of a terminal; the one that started the others ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    collect_seldom()
    try:
        try:
            verifier = _Speaking(make_verifier(), lambda: connection.send(Alive()))
        except LinewiseError as error:
            connection.send(Broken(str(error)))
            return
        connection.send(Ready())
        first = True
        while (chunk := connection.recv()) is not None:
            try:
                for outcome in outcomes(chunk, verifier, plan):
                    connection.send(outcome)
            except LinewiseError as error:
                connection.send(Broken(str(error)))
                return
            if first:
                # The trees of the modules that most programs import are there by now. The collector need not
                # walk through them again and again, which took an eighth of the time.
                gc.collect()
                gc.freeze()
                first = False
            connection.send(Ready(full=_resident_bytes() > _MOST_BYTES))
    except (EOFError, ConnectionError):
        pass  # The other side was killed.


def collect_seldom() -> None:
    """Let the collector of cyclic garbage of this process wait for some dozen syntax trees at a time.

    With Python's own thresholds it runs several times for each state, and takes a fifth of the time.
    """
    gc.set_threshold(50_000, 20, 20)


def outcomes(programs: Sequence[Program], verifier: Verifier, plan: Plan) -> list[Outcome]:
    """What each program gave, in order."""
    found: list[Outcome] = []
    sequences: list[tuple[int, tuple[str, ...]]] = []
    for result in sample_sequences(programs, verifier, plan):
        if isinstance(result, Failed):
            found.append(result)
            continue
        if not found or found[-1].index != result.index:
            sequences = []
            found.append(Written(result.index, ()))
        sequences.append((result.sample, tuple(format_edit(edit) for edit in result.edits)))
        found[-1] = Written(result.index, tuple(sequences))
    return found


class _Speaking:
    """Asks a verifier in small batches, and says after each that work goes on."""

    def __init__(self, verifier: Verifier, speak: Callable[[], None]) -> None:
        self._verifier = verifier
        self._speak = speak

    @property
    def name(self) -> str:
        return self._verifier.name

    def problems(self, sources: Sequence[str]) -> list[tuple[Problem, ...]]:
        found: list[tuple[Problem, ...]] = []
        while len(found) < len(sources):
            first = end = len(found)
            characters = 0
            while end < len(sources) and end - first < _STATES and characters < _CHARACTERS:
                characters += len(sources[end])
                end += 1
            found += self._verifier.problems(sources[first:end])
            self._speak()
        return found


def _resident_bytes() -> int:
    """The memory that this process holds."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource  # noqa: PLC0415 (not on every system)

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS, which has no /proc
