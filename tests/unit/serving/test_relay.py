"""The relay: every token reaches the event loop, in order, of engines of either kind."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator
from itertools import islice
from threading import Semaphore

from scripted_engine import ScriptedEngine

from linewise.engines.protocol import CancelSignal, Engine, Priority, Request, Sampling, Segment, Token
from linewise.serving.http import relay
from linewise.serving.http.metrics import Metrics
from linewise.serving.http.relay import INLINE_GATHER_SECONDS, Relays


class GatheringEngine(ScriptedEngine):
    """Gives its tokens in threes, each when the last were `taken`; `gathers` is how long it was to gather."""

    def __init__(self) -> None:
        super().__init__()
        self.gathers: list[float] = []
        self.taken = Semaphore()

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        raise AssertionError(f"one by one: {request}, {cancel}")

    def batches(
        self, request: Request, cancel: CancelSignal | None = None, *, gather_seconds: float
    ) -> Generator[list[Token], None, None]:
        self.gathers.append(gather_seconds)
        tokens = iter(self._stream(request, cancel))
        while three := list(islice(tokens, 3)):
            assert self.taken.acquire(timeout=30), "nobody takes what is there"
            yield three


def relayed(engine: Engine, script: str, priority: Priority = "write") -> tuple[list[str], str]:
    """The texts that the event loop was given, each of all that was there, and the error that ended them."""

    async def run() -> tuple[list[str], str]:
        relays = Relays(engine, Metrics())
        try:
            running = relays.start(
                Request((Segment(script),), Sampling(max_tokens=10_000_000), priority=priority)
            )
            found = []
            while (tokens := await running.tokens()) is not None:
                if not tokens:
                    continue
                found.append("".join(token.text for token in tokens))
                if isinstance(engine, GatheringEngine):
                    engine.taken.release()
            return found, str(running.error or "")
        finally:
            relays.close()

    return asyncio.run(run())


def test_an_engine_that_gathers_is_asked_to_and_nothing_gathers_twice(monkeypatch) -> None:
    monkeypatch.setattr(relay, "GATHER_SECONDS", 1e6)  # to gather again would be to wait for the end
    engine = GatheringEngine()
    found, error = relayed(engine, "count 40")
    text = "".join(f"{number} " for number in range(40))
    assert (found, error) == ([text[at : at + 3] for at in range(0, len(text), 3)], "")
    relayed(engine, "say a", "inline")
    assert engine.gathers == [1e6, INLINE_GATHER_SECONDS]


def test_what_came_before_a_fault_arrives_with_it() -> None:
    assert relayed(ScriptedEngine(), "fail of its own") == (["o"], "of its own")
