"""Brings the tokens of an engine from its thread to the event loop, as many at a time as are there."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol, runtime_checkable

from linewise.engines.protocol import CancelSignal, Engine, Request, Token
from linewise.errors import BusyError, EngineError
from linewise.serving.http.metrics import Metrics

logger = logging.getLogger(__name__)

STREAMS = 128
"""Generations that may run or wait at once, each on a thread that mostly sleeps."""

HEARTBEAT_SECONDS = 5.0
"""How long a client waits for tokens before it hears that they are still worked at."""

GATHER_SECONDS = 0.03
"""How long tokens gather before they are sent together: thirty times a second looks like a stream."""

INLINE_GATHER_SECONDS = 0.008
"""The same for a completion at the cursor, for which somebody waits.

On two cores a message slows the model down by 0.2 ms, so that this costs less than 3 % of its tokens.
"""


@runtime_checkable
class Gathering(Protocol):
    """An engine that gathers tokens itself, so that no thread is woken for each."""

    def batches(
        self, request: Request, cancel: CancelSignal | None = None, *, gather_seconds: float
    ) -> Generator[list[Token], None, None]:
        """Generate as `Engine.stream` does; after the first token, those of so many seconds together."""


class Relay:
    """One generation. Setting `cancel` ends it within one token."""

    def __init__(
        self, engine: Engine, loop: asyncio.AbstractEventLoop, metrics: Metrics, gather_seconds: float
    ) -> None:
        """`gather_seconds` is how long tokens after the first gather before they are given out."""
        self._engine = engine
        self.cancel = threading.Event()
        self.error: EngineError | None = None
        """What ended the generation before its time; known once `tokens` has returned None."""
        self._loop, self._metrics, self._gather_seconds = loop, metrics, gather_seconds
        self._ready: deque[Token | None] = deque()
        self._arrived = asyncio.Event()
        self._is_told = False
        self._is_over = False
        self._has_given = False

    async def tokens(self) -> list[Token] | None:
        """Every token that has come since the last call, once there is one; None at the end.

        The first comes at once, the next ones gather for a moment. Where none comes for HEARTBEAT_SECONDS,
        the list is empty.
        """
        if self._has_given and not self._is_over and not isinstance(self._engine, Gathering):
            self._is_told = True  # so that only the end rings
            await self._rung(self._gather_seconds)
        # In this order a token that comes meanwhile is seen now, or rings again.
        self._is_told = False
        if not self._ready and not self._is_over:
            await self._rung(HEARTBEAT_SECONDS)
            self._is_told = False
        found: list[Token] = []
        while self._ready:
            token = self._ready.popleft()
            if token is None:
                self._is_over = True
            else:
                found.append(token)
        self._has_given = self._has_given or bool(found)
        return None if self._is_over and not found else found

    async def _rung(self, seconds: float) -> None:
        """Wait until the other thread rings, `seconds` at most."""
        alarm = self._loop.call_later(seconds, self._arrived.set)
        await self._arrived.wait()
        alarm.cancel()
        self._arrived.clear()

    def run(self, request: Request) -> None:
        """Generate, on the thread that calls this."""
        began = time.perf_counter()
        first: float | None = None
        try:
            batches = self._batches(request)
            try:
                for batch in batches:
                    if first is None:
                        first = time.perf_counter() - began
                    self._put(batch)
                    if self.cancel.is_set():
                        break
            finally:
                batches.close()
        except EngineError as error:
            self.error = error
        except Exception as error:
            logger.exception("A generation failed")
            self.error = EngineError(
                f"The engine failed ({type(error).__name__}); see `linewise serve logs`."
            )
        finally:
            ending = "failed" if self.error else "cancelled" if self.cancel.is_set() else "done"
            if isinstance(self.error, BusyError):
                ending = "busy"
            self._metrics.generated(request.priority, ending, first)
            self._put((None,))

    def _batches(self, request: Request) -> Generator[Sequence[Token], None, None]:
        engine = self._engine
        if isinstance(engine, Gathering):
            yield from engine.batches(request, self.cancel, gather_seconds=self._gather_seconds)
            return
        tokens = engine.stream(request, self.cancel)
        try:
            for token in tokens:
                yield (token,)
        finally:
            if isinstance(tokens, Generator):
                tokens.close()

    def _put(self, batch: Sequence[Token | None]) -> None:
        self._ready.extend(batch)
        if not self._is_told or batch[-1] is None:
            self._is_told = True
            with suppress(RuntimeError):  # the loop is closed: nobody listens any longer
                self._loop.call_soon_threadsafe(self._arrived.set)


class Relays:
    """Starts the generations of one engine."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine, self._metrics = engine, metrics
        self._pool = ThreadPoolExecutor(STREAMS, thread_name_prefix="linewise-relay")
        self._live: set[Relay] = set()

    @property
    def running(self) -> int:
        """Generations that run or wait."""
        return len(self._live)

    def start(self, request: Request) -> Relay:
        """Begin to generate. Raises BusyError when too many do already."""
        if len(self._live) >= STREAMS:
            raise BusyError("The model server has too many requests waiting: try again in a moment.")
        gather = INLINE_GATHER_SECONDS if request.priority == "inline" else GATHER_SECONDS
        relay = Relay(self._engine, asyncio.get_running_loop(), self._metrics, gather)
        self._live.add(relay)
        self._pool.submit(self._run, relay, request)
        return relay

    def close(self) -> None:
        """End every generation and its thread."""
        for relay in tuple(self._live):
            relay.cancel.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, relay: Relay, request: Request) -> None:
        try:
            relay.run(request)
        finally:
            self._live.discard(relay)
