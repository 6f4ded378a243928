"""What the scheduler's tests share: requests, readers in threads, and a gate at every step."""

from __future__ import annotations

import threading
from typing import ClassVar

import pytest

from linewise.engines import Request, Sampling, Segment, Token
from linewise.engines.protocol import CancelSignal, Priority
from linewise.errors import EngineError
from linewise.serving.scheduler import Scheduler
from linewise.serving.task import End, TokenStream

DIFF = Segment("<|diff|>", special=True)
FILE = Segment("<|file|>", special=True)
HEAD = (FILE, Segment("geometry.py\n"), DIFF, Segment("@1,0\nimport math\n\n\ndef area(radius):\n"))
LONG = "    total = total + values[index]\n" * 12  # some 200 tokens


class Gate:
    """Holds the thread that decodes at every step until it may go on, and keeps who was in the step."""

    made: ClassVar[list[Gate]] = []

    def __init__(self, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[list[tuple[str, int]]] = []
        self.arrived, self._may = threading.Semaphore(0), threading.Semaphore(0)
        self._open = False
        self.made.append(self)
        cache = scheduler._decoder._cache
        decode = cache.decode

        def held(pieces):
            self.steps.append([(piece.stream.owner, len(piece.tokens)) for piece in pieces])
            self.arrived.release()
            if not self._open:
                self._may.acquire()
            decode(pieces)

        monkeypatch.setattr(cache, "decode", held)

    def through(self) -> None:
        """Let the step through that is there."""
        self._may.release()

    def after(self, count: int) -> None:
        """Let `count` steps through, beginning with the one that is there, and wait for the next."""
        for _ in range(count):
            self.through()
            self.arrived.acquire()

    def open(self) -> None:
        """Hold nothing any longer."""
        self._open = True
        self._may.release()


class Hands:
    """Takes what `Scheduler.submit` hands over: `batches` as they came, and the `end`."""

    def __init__(self) -> None:
        self.batches: list[list[Token]] = []
        self.end: End | None = None
        self.came, self._over = threading.Semaphore(0), threading.Event()

    def take(self, came: list[Token] | End) -> None:
        """Be handed tokens, or the end."""
        if isinstance(came, End):
            self.end = came
            self._over.set()
        else:
            self.batches.append(came)
            self.came.release()

    def ended(self) -> list[list[Token]]:
        """All batches, once there are no more."""
        assert self._over.wait(60), "no end was handed over"
        return self.batches


def handed(
    scheduler: Scheduler,
    request: Request,
    cancel: CancelSignal | None = None,
    *,
    by_line: bool = False,
) -> Hands:
    """Begin `request`, its tokens gathered for ever."""
    hands = Hands()
    scheduler.submit(request, hands.take, cancel, gather_seconds=1e6, by_line=by_line)
    return hands


class Reader(threading.Thread):
    """Takes all tokens of a stream."""

    def __init__(self, stream: TokenStream) -> None:
        super().__init__()
        self.stream, self.tokens, self.error = stream, list[Token](), ""
        self.start()

    def run(self) -> None:
        try:
            for token in self.stream:
                self.tokens.append(token)
        except EngineError as error:
            self.error = f"{type(error).__name__}: {error}"

    def ended(self) -> str:
        """How the generation ended, once it has."""
        self.join()
        return self.stream.statistics.ended if self.stream.statistics else "never"


def ask(
    text: str = "", *, slot: str = "", priority: Priority = "write", max_tokens: int = 12, **options: float
) -> Request:
    sampling = Sampling(max_tokens=max_tokens, **options)
    return Request((*HEAD, Segment(text)), sampling, slot=slot, priority=priority)


def ids(tokens: list[Token]) -> list[int]:
    return [token.id for token in tokens]


def together(scheduler: Scheduler, requests: list[Request]) -> list[list[Token]]:
    """The tokens of `requests`, all asked for at once, each from a thread of its own."""
    readers = [Reader(scheduler.stream(request)) for request in requests]
    for reader in readers:
        reader.join()
    assert [reader.error for reader in readers] == [""] * len(readers)
    return [reader.tokens for reader in readers]


def wait_for(scheduler: Scheduler, waiting: int) -> None:
    """Until `waiting` generations wait; a thread that asks needs a moment."""
    while scheduler.statistics().waiting != waiting:
        threading.Event().wait(0.001)
