"""The one thread that generates, so that the event loop never waits for a model.

One engine generates one thing at a time. A write is what the user asked for in words and watches; while
one runs or waits, an inline request is answered at once with "nothing", instead of queueing behind it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias, TypeVar

Cancel: TypeAlias = threading.Event
Result = TypeVar("Result")


class Generation:
    """Runs jobs one after another on a thread of its own; each ends soon after its `Cancel` is set."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="linewise-generate")
        self._live: set[Cancel] = set()

    async def run(self, job: Callable[[], Result], cancel: Cancel) -> Result:
        """Run `job` and return what it returns. When this task is cancelled, so is the job."""
        self._live.add(cancel)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, job)
        except asyncio.CancelledError:
            cancel.set()
            raise
        finally:
            self._live.discard(cancel)

    def close(self) -> None:
        """End every job and the thread; jobs that wait never start."""
        for cancel in tuple(self._live):
            cancel.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
