"""The relay: every token reaches the event loop, in order, of engines of either kind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from threading import Semaphore, Thread, current_thread

import pytest
from scripted_engine import ScriptedEngine

from linewise.engines.protocol import CancelSignal, Engine, Priority, Request, Sampling, Segment, Token
from linewise.errors import EngineError
from linewise.serving.http import relay
from linewise.serving.http.bell import Bell
from linewise.serving.http.metrics import Metrics
from linewise.serving.http.relay import Relays
from linewise.serving.statistics import RequestStatistics
from linewise.serving.task import End, Hand


class HandingEngine(ScriptedEngine):
    """Hands its tokens over in threes on a thread of its own; `asked` is how each was to gather."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[float, bool]] = []
        self.taken = Semaphore()

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        raise AssertionError(f"one by one: {request}, {cancel}")

    def submit(
        self,
        request: Request,
        hand: Hand,
        cancel: CancelSignal | None = None,
        *,
        gather_seconds: float,
        by_line: bool,
    ) -> None:
        if not request.prompt[0].text:
            raise EngineError("The prompt is empty.")
        self.asked.append((gather_seconds, by_line))
        Thread(target=self._hand_over, args=(request, hand, cancel)).start()

    def _hand_over(self, request: Request, hand: Hand, cancel: CancelSignal | None) -> None:
        came: list[Token] = []
        error = None
        try:
            for token in self._stream(request, cancel):
                came.append(token)
                if len(came) == 3:
                    assert self.taken.acquire(timeout=30), "nobody takes what is there"
                    hand(came)
                    came = []
        except EngineError as failed:
            error = failed
        if came:
            hand(came)
        hand(End(STATISTICS, error))


STATISTICS = RequestStatistics("", "write", 0, 0, 0, 0, 0, 0.0, None, 0.0, "end of sequence")


def relayed(engine: Engine, script: str, priority: Priority = "write") -> tuple[list[str], str, str]:
    """The texts that the event loop was given, each of all that was there, the error that ended them, and
    what was counted."""

    async def run() -> tuple[list[str], str, str]:
        relays = Relays(engine, metrics := Metrics())
        try:
            running = relays.start(
                Request((Segment(script),), Sampling(max_tokens=10_000_000), priority=priority)
            )
            found = []
            while (tokens := await running.tokens()) is not None:
                if not tokens:
                    continue
                found.append("".join(token.text for token in tokens))
                if isinstance(engine, HandingEngine):
                    engine.taken.release()
            assert relays.running == 0
            counted = [line for line in metrics.text().decode().splitlines() if "requests_total{" in line]
            return found, str(running.error or ""), "".join(counted)
        finally:
            relays.close()

    return asyncio.run(run())


def test_an_engine_that_hands_over_gathers_itself_and_nothing_gathers_twice(monkeypatch) -> None:
    monkeypatch.setattr(relay, "GATHER_SECONDS", 1e6)  # to gather again would be to wait for the end
    engine = HandingEngine()
    found, error, counted = relayed(engine, "count 40")
    text = "".join(f"{number} " for number in range(40))
    assert ("".join(found), error) == (text, "")
    assert found[0] == text[:3]
    assert counted == 'linewise_requests_total{ending="done",priority="write"} 1.0'
    relayed(engine, "say a", "inline")
    assert engine.asked == [(1e6, False), (1e6, True)]  # by lines where somebody waits for one


@pytest.mark.parametrize("engine", [ScriptedEngine(), HandingEngine()])
def test_what_came_before_a_fault_arrives_with_it(engine: Engine) -> None:
    found, error, counted = relayed(engine, "fail of its own")
    assert ("".join(found), error) == ("o", "of its own")
    assert counted == 'linewise_requests_total{ending="failed",priority="write"} 1.0'


def test_a_short_request_is_begun_where_it_comes_if_the_engine_hands_over() -> None:
    class Beginning(HandingEngine):
        def submit(self, *args: object, **options: object) -> None:
            begun.append(current_thread())
            super().submit(*args, **options)

    async def run(*, is_short: bool) -> None:
        relays = Relays(engine := Beginning(), Metrics())
        running = relays.start(Request((Segment("say a"),)), is_short=is_short)
        engine.taken.release()
        while await running.tokens() is not None:
            pass
        relays.close()

    begun: list[Thread] = []
    asyncio.run(run(is_short=True))
    asyncio.run(run(is_short=False))
    assert [one is current_thread() for one in begun] == [True, False]


def test_what_rings_at_once_from_many_threads_is_all_heard() -> None:
    async def run() -> list[int]:
        bell = Bell(asyncio.get_running_loop())
        heard: list[int] = []
        done = asyncio.Event()

        def ring(first: int) -> None:
            for number in range(first, first + 500):
                bell.ring(lambda number=number: heard.append(number))

        def end() -> None:
            for thread in threads:
                thread.join()
            bell.ring(done.set)

        threads = [Thread(target=ring, args=(500 * number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        Thread(target=end).start()
        await done.wait()
        return heard

    heard = asyncio.run(run())
    assert sorted(heard) == list(range(2000))
    for thread in range(4):  # each in its order
        assert [one for one in heard if one // 500 == thread] == list(range(500 * thread, 500 * thread + 500))


def test_a_bell_rings_where_no_file_can_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NotImplementedError

    async def run() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "add_reader", refuse, raising=False)
        bell, heard = Bell(loop), asyncio.Event()
        Thread(target=bell.ring, args=(heard.set,)).start()
        await heard.wait()

    asyncio.run(run())


def test_nobody_is_hurt_who_rings_for_a_loop_that_was_closed() -> None:
    async def make() -> Bell:
        return Bell(asyncio.get_running_loop())

    bell = asyncio.run(make())
    for _ in range(2):
        bell.ring(lambda: pytest.fail("called"))


def test_what_cannot_begin_is_told() -> None:
    found, error, counted = relayed(HandingEngine(), "")
    assert (found, error) == ([], "The prompt is empty.")
    assert counted == 'linewise_requests_total{ending="failed",priority="write"} 1.0'
