"""Brings the tokens of an engine from its thread to the event loop, as many at a time as are there."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

from linewise.engines.protocol import CancelSignal, Engine, Request, Token
from linewise.errors import BusyError, EngineError
from linewise.serving.http.bell import Bell
from linewise.serving.http.metrics import Metrics
from linewise.serving.task import End, Hand

logger = logging.getLogger(__name__)

STREAMS = 128
"""Generations that may run or wait at once, each on a thread that mostly sleeps, unless the engine hands
its tokens over itself."""

HEARTBEAT_SECONDS = 5.0
"""How long a client waits for tokens before it hears that they are still worked at."""

GATHER_SECONDS = 0.03
"""How long tokens gather before they are sent together: thirty times a second looks like a stream."""

INLINE_GATHER_SECONDS = 0.008
"""The same for a completion at the cursor, for which somebody waits, where the engine knows of no lines."""


@runtime_checkable
class Handing(Protocol):
    """An engine that hands over what comes on its own thread, so that no other thread is woken for it."""

    def submit(
        self,
        request: Request,
        hand: Hand,
        cancel: CancelSignal | None = None,
        *,
        gather_seconds: float,
        by_line: bool,
    ) -> None:
        """Begin to generate; after the first token, `hand` gets those of so many seconds together, or, with
        `by_line`, those up to a line's end as soon as it is there."""


class Relay:
    """One generation. Setting `cancel` ends it within one token."""

    def __init__(
        self,
        engine: Engine,
        bell: Bell,
        gather_seconds: float,
        ended: Callable[[Relay], None],
    ) -> None:
        """`gather_seconds` is how long tokens after the first gather before they are given out; `ended` is
        called once there is no more, on the event loop."""
        self._engine = engine
        self.cancel = threading.Event()
        self.error: EngineError | None = None
        """What ended the generation before its time; known once `tokens` has returned None."""
        self.first_seconds: float | None = None
        """Time to the first token; None while there is none."""
        self._bell, self._gather_seconds, self._ended = bell, gather_seconds, ended
        self._began = time.perf_counter()
        self._ready: deque[Token] = deque()
        self._arrived = asyncio.Event()
        self._is_told = False
        self._is_over = False
        self._has_given = False

    async def tokens(self) -> list[Token] | None:
        """Every token that has come since the last call, once there is one; None at the end.

        The first comes at once, the next ones gather for a moment. Where none comes for HEARTBEAT_SECONDS,
        the list is empty.
        """
        if self._has_given and not self._is_over and not isinstance(self._engine, Handing):
            self._is_told = True  # so that only the end rings
            await self._rung(self._gather_seconds)
        # In this order a token that comes meanwhile is seen now, or rings again.
        self._is_told = False
        if not self._ready and not self._is_over:
            await self._rung(HEARTBEAT_SECONDS)
            self._is_told = False
        is_over = self._is_over  # before what is ready is looked at: nothing comes after the end
        found = []
        while self._ready:
            found.append(self._ready.popleft())
        self._has_given = self._has_given or bool(found)
        return None if is_over and not found else found

    async def _rung(self, seconds: float) -> None:
        """Wait until the other thread rings, `seconds` at most."""
        alarm = self._bell.loop.call_later(seconds, self._arrived.set)
        await self._arrived.wait()
        alarm.cancel()
        self._arrived.clear()

    def run(self, request: Request) -> None:
        """Generate; of an engine that hands tokens over, only begin to."""
        self._began = time.perf_counter()
        try:
            if isinstance(self._engine, Handing):
                # Who completes at the cursor decides at a line's end whether that is all.
                self._engine.submit(
                    request,
                    self._take,
                    self.cancel,
                    gather_seconds=GATHER_SECONDS,
                    by_line=request.priority == "inline",
                )
                return
            self._pull(request)
        except EngineError as error:
            self.error = error
        except Exception as error:
            logger.exception("A generation failed")
            self.error = EngineError(
                f"The engine failed ({type(error).__name__}); see `linewise serve logs`."
            )
        self._bell.ring(self._finish)

    def _pull(self, request: Request) -> None:
        tokens = self._engine.stream(request, self.cancel)
        try:
            for token in tokens:
                self._put((token,))
                if self.cancel.is_set():
                    break
        finally:
            if isinstance(tokens, Generator):
                tokens.close()

    def _take(self, came: list[Token] | End) -> None:
        if isinstance(came, End):
            self.error = came.error
            self._bell.ring(self._finish)
        else:
            self._put(came)

    def _put(self, tokens: Sequence[Token]) -> None:
        if self.first_seconds is None:
            self.first_seconds = time.perf_counter() - self._began
        self._ready.extend(tokens)
        if not self._is_told:
            self._is_told = True
            self._bell.ring(self._arrived.set)

    def _finish(self) -> None:
        self._is_over = True
        self._ended(self)
        self._arrived.set()


class Relays:
    """Starts the generations of one engine."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine, self._metrics = engine, metrics
        self._pool = ThreadPoolExecutor(STREAMS, thread_name_prefix="linewise-relay")
        self._live: dict[Relay, Request] = {}
        self._bell: Bell | None = None

    @property
    def running(self) -> int:
        """Generations that run or wait."""
        return len(self._live)

    def start(self, request: Request, *, is_short: bool = False) -> Relay:
        """Begin to generate. Raises BusyError when too many do already.

        `is_short` says that little of the prompt is new: then it is read right here, on the event loop, where
        the engine hands its tokens over; a thread that is woken for it costs a keystroke 0.1 ms.
        """
        if len(self._live) >= STREAMS:
            raise BusyError("The model server has too many requests waiting: try again in a moment.")
        gather = INLINE_GATHER_SECONDS if request.priority == "inline" else GATHER_SECONDS
        loop = asyncio.get_running_loop()
        if self._bell is None or self._bell.loop is not loop:
            self._bell = Bell(loop)
        relay = Relay(self._engine, self._bell, gather, self._ended)
        self._live[relay] = request
        if is_short and isinstance(self._engine, Handing):
            relay.run(request)
        else:
            self._pool.submit(relay.run, request)
        return relay

    def close(self) -> None:
        """End every generation and its thread."""
        for relay in tuple(self._live):
            relay.cancel.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _ended(self, relay: Relay) -> None:
        request = self._live.pop(relay)
        ending = "failed" if relay.error else "cancelled" if relay.cancel.is_set() else "done"
        if isinstance(relay.error, BusyError):
            ending = "busy"
        self._metrics.generated(request.priority, ending, relay.first_seconds)
