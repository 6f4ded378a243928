"""The threads that generate, so that the event loop never waits for a model.

An engine with one lane generates one thing at a time, so jobs for it run one after another. One with several
lanes runs them side by side and decides itself who goes first.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias, TypeVar

Cancel: TypeAlias = threading.Event
Result = TypeVar("Result")

_MOST_JOBS = 32  # side by side; they mostly wait for the engine


class Generation:
    """Runs jobs on threads of its own; each ends soon after its `Cancel` is set."""

    def __init__(self) -> None:
        self._alone = ThreadPoolExecutor(1, thread_name_prefix="linewise-generate")
        self._beside = ThreadPoolExecutor(_MOST_JOBS, thread_name_prefix="linewise-generate-beside")
        self._live: set[Cancel] = set()

    async def run(self, job: Callable[[], Result], cancel: Cancel, *, lanes: int) -> Result:
        """Run `job` and return what it returns. When this task is cancelled, so is the job.

        `lanes` is how many generations the job's engine runs at once.
        """
        pool = self._beside if lanes > 1 else self._alone
        self._live.add(cancel)
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, job)
        except asyncio.CancelledError:
            cancel.set()
            raise
        finally:
            self._live.discard(cancel)

    def close(self) -> None:
        """End every job and the threads; jobs that wait never start."""
        for cancel in tuple(self._live):
            cancel.set()
        for pool in (self._alone, self._beside):
            pool.shutdown(wait=True, cancel_futures=True)
