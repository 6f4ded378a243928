"""Rings for the event loop from other threads, as cheaply as can be for who rings."""

from __future__ import annotations

import asyncio
import os
import sys
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress


class Bell:
    """Calls functions on an event loop; from any thread, in the order in which they were given.

    It does what `loop.call_soon_threadsafe` does, for the thread that decodes. That thread has used up the
    processor's caches whenever it rings, so that every line of Python is read from memory; this is half as
    much of it. And on Linux it rings by an eventfd. Who is woken by a socket or a pipe is put on the core of
    who wakes him, who is thought to sleep soon: the event loop then waited up to 4 ms for the thread that
    decodes, or took the core from it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make it on the loop's own thread."""
        self.loop = loop
        self._answers: deque[Callable[[], None]] = deque()
        self._is_rung = False
        self._writer: int | None = None
        if sys.platform == "linux":
            reader = writer = os.eventfd(0)
        else:
            reader, writer = os.pipe()
        closing = weakref.finalize(self, _close, {reader, writer})  # once nobody can ring any more
        closing.atexit = False  # somebody may yet
        try:
            loop.add_reader(reader, self._answer, reader)
        except NotImplementedError:  # Windows waits for sockets alone
            return
        self._writer = writer

    def ring(self, answer: Callable[[], None]) -> None:
        """Have `answer` called soon; never, where the loop is closed. It must not raise."""
        if self._writer is None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any longer
                self.loop.call_soon_threadsafe(answer)
            return
        self._answers.append(answer)
        if not self._is_rung:
            self._is_rung = True
            os.write(self._writer, _ONE)

    def _answer(self, reader: int) -> None:
        os.read(reader, 64)
        self._is_rung = False  # first: who comes after the last answer was taken must ring again
        while self._answers:
            self._answers.popleft()()


_ONE = (1).to_bytes(8, sys.byteorder)
"""What is written: eight bytes, since an eventfd counts in such numbers."""


def _close(files: set[int]) -> None:
    for file in files:
        os.close(file)
