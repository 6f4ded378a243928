"""What a Python job's process does before all else, as system calls that are ready to be made.

Each page that a new process writes to is copied, which takes longer than most of these calls. So they are
objects that lie side by side, with arguments made beforehand, and go through one and the same machinery.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Callable
from typing import Any

from linewise_training.execution import namespaces as ns
from linewise_training.execution.limits import processor_seconds
from linewise_training.execution.sandbox import CHANNEL, fail

_libc = ctypes.PyDLL(None, use_errno=True)  # keeps Python's lock, which a child would have to take
_REHEARSALS = 20
_WORD = 64  # bits of a set of processors come in these

Calls = list[tuple[Callable[..., int | None], tuple[Any, ...]]]


class Entry:
    """The calls; to be prepared in the process that jobs are forked from, after all that it imports."""

    def __init__(self, processors: tuple[int, ...]) -> None:
        """Prepare them.

        Args:
            processors: On which a job may run.
        """
        as_it_is = resource.getrlimit(resource.RLIMIT_CPU)
        self._most = as_it_is[1]
        self._bound = (ctypes.c_uint64 * 2)(*as_it_is)
        words = [0] * (max(processors) // _WORD + 1)
        for processor in processors:
            words[processor // _WORD] |= 1 << processor % _WORD
        mask = (ctypes.c_uint64 * len(words))(*words)
        self.calls: Calls = [
            # A process group of its own, whose signals reach nobody else.
            (_function("setpgid"), (ctypes.c_int(0), ctypes.c_int(0))),
            (_function("setrlimit"), (ctypes.c_int(resource.RLIMIT_CPU), ctypes.byref(self._bound))),
            (
                _function("sched_setaffinity"),
                (ctypes.c_int(0), ctypes.c_size_t(ctypes.sizeof(mask)), ctypes.byref(mask)),
            ),
            (_function("capset"), ns.CAPSET_ARGUMENTS),
        ]
        if hasattr(_libc, "close_range"):
            every = ctypes.c_uint(CHANNEL + 1), ctypes.c_uint(-1), ctypes.c_int(0)
            self.calls.append((_function("close_range"), every))
        else:
            self.calls.append((os.closerange, (CHANNEL + 1, 1 << 16)))

    def rehearse(self, begin: Callable[[Calls], None]) -> None:
        """Run it often, with calls that change nothing: the interpreter adapts such code by writing to it."""
        for _ in range(_REHEARSALS):
            begin([(_function("getppid"), ()), (_function("getpgid"), (ctypes.c_int(0),))])

    def bound(self, seconds: float) -> None:
        """Let the next job have processor time for so many seconds of wall time."""
        bound = processor_seconds(seconds)
        self._bound[0] = self._bound[1] = bound if self._most < 0 else min(bound, self._most)


def begin(calls: Calls) -> None:
    """In a job's new process: make the calls, or end."""
    try:
        for call, arguments in calls:
            if (call(*arguments) or 0) < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    except BaseException as error:  # whatever it was, this process must not go on
        fail(1, error)


def _function(name: str) -> Callable[..., int]:
    found: Callable[..., int] = _libc[name]  # a new object
    return found
