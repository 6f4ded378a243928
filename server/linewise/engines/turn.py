"""One generation at a time, for engines that can run no more: who waits may be cancelled."""

from __future__ import annotations

import threading

from linewise.engines.protocol import CancelSignal

_WAIT_SECONDS = 0.02


class Turn:
    """A lock that whoever waits for it may leave, and that says whether its owner was closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        """Whether the engine was closed; set before the generation in progress has ended."""
        return self._closed.is_set()

    def take(self, cancel: CancelSignal | None) -> bool:
        """Wait until no other generation runs; false when cancelled meanwhile."""
        while not self._lock.acquire(timeout=_WAIT_SECONDS):
            if cancel is not None and cancel.is_set():
                return False
        return True

    def give(self) -> None:
        """End one's turn."""
        self._lock.release()

    def close(self) -> None:
        """Let what runs know that it is to end."""
        self._closed.set()
