"""One generation in the scheduler, and the iterator of its tokens that the caller holds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import TypeAlias

from linewise.engines.cache_slot import common_prefix
from linewise.engines.generation import Ending, Lane
from linewise.engines.protocol import CancelSignal, Priority, Request, Token
from linewise.errors import EngineError
from linewise.serving.cache import Stream
from linewise.serving.speculation import Guess, History
from linewise.serving.statistics import RequestStatistics

RANKS: dict[Priority, int] = {"inline": 0, "next edit": 1, "write": 2}
"""What goes first: the least."""


@dataclass(frozen=True, slots=True)
class End:
    """The last thing that a caller is given: what the generation cost, and why it failed if it did."""

    statistics: RequestStatistics
    error: EngineError | None


Hand: TypeAlias = Callable[[list[Token] | End], None]
"""Takes what a generation brings, on the thread that decodes: it must neither wait nor raise."""


@dataclass(eq=False)
class Task:
    """One generation: `tokens` are those of the prompt and those chosen since, read or not.

    The thread that decodes is the only one that changes it, but for `given_up`, which any thread may set.
    Times are of `time.perf_counter`.
    """

    request: Request
    lane: Lane
    tokens: list[int]
    cancel: CancelSignal | None
    hand: Hand
    gather_seconds: float = 0.0  # how long tokens gather after the last that the caller was given
    by_line: bool = False  # whether those that end a line, and those before them, do not
    prompt_tokens: int = 0
    number: int = 0
    stream: Stream | None = None
    given_up: bool = False
    error: EngineError | None = None
    history: History | None = None
    guess: Guess | None = None  # what may come next, where that was looked up already
    turn: int = 0  # the number of its last turn, where generations take turns
    passed_over: int = 0  # steps in which others went before its prompt
    reused: int | None = None
    drafted: int = 0
    accepted: int = 0
    submitted: float = 0.0
    began: float | None = None
    first_token: float | None = None
    _told: int = 0
    _told_at: float = 0.0
    _looked_at: int = 0

    @property
    def rank(self) -> int:
        """Its priority as a number: the least goes first."""
        return RANKS[self.request.priority]

    @property
    def unread(self) -> int:
        """How many of its tokens the cache does not hold yet; at least one while it runs."""
        return len(self.tokens) - (len(self.stream.tokens) if self.stream is not None else 0)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or nobody wants it any more."""
        return (
            self.lane.ended is not None or self.given_up or (self.cancel is not None and self.cancel.is_set())
        )

    @property
    def held(self) -> Stream:
        """Its stream. Only while it runs."""
        assert self.stream is not None
        return self.stream

    def shares(self, other: Task) -> int:
        """How many leading tokens it has in common with `other`."""
        return common_prefix(self.tokens, other.tokens)

    def tell(self, *, at_once: bool = False) -> None:
        """Give the caller what is new: the first token at once, the others gathered unless `at_once`."""
        if len(self.lane.tokens) == self._told:
            return
        now = time.perf_counter()
        if self.first_token is None:
            self.first_token = now
        elif not (at_once or now - self._told_at >= self.gather_seconds or self._ends_line()):
            return
        fresh = list(self.lane.tokens[self._told :])
        self._told += len(fresh)
        self._told_at = now
        self.hand(fresh)

    def _ends_line(self) -> bool:
        """Whether a line ends in the tokens that are new since this was asked last, and that matters."""
        if not self.by_line:
            return False
        tokens, begin = self.lane.tokens, self._looked_at
        self._looked_at = len(tokens)
        return any("\n" in tokens[place].text for place in range(max(begin, self._told), len(tokens)))

    def gather_anew(self) -> None:
        """From now on tokens gather for the whole time: none is sent for having waited for its turn."""
        self._told_at = time.perf_counter()

    def finish(self, error: EngineError | None = None) -> RequestStatistics:
        """Send the caller the end, and `error` if that is why. Only once."""
        self.tell(at_once=True)
        now = time.perf_counter()
        ended: Ending = "failed" if error is not None else (self.lane.ended or "cancelled")
        if error is None and self.lane.ended is not None:
            rest = list(self.lane.generation().tokens[self._told :])
            if rest:
                self.first_token = self.first_token or now
                self.hand(rest)
        statistics = RequestStatistics(
            slot=self.request.slot,
            priority=self.request.priority,
            prompt_tokens=self.prompt_tokens,
            reused_tokens=self.reused or 0,
            generated_tokens=self.lane.count,
            drafted_tokens=self.drafted,
            accepted_tokens=self.accepted,
            queued_seconds=(now if self.began is None else self.began) - self.submitted,
            first_token_seconds=None if self.first_token is None else self.first_token - self.submitted,
            total_seconds=now - self.submitted,
            ended=ended,
        )
        self.hand(End(statistics, error))
        return statistics


class TokenStream(Generator[Token, None, None]):
    """The tokens of one generation, as they come. Closing it, or letting go of it, ends the generation.

    `statistics` is None until the generation has ended. Nothing is submitted before the first token is asked
    for. Use it from one thread.
    """

    def __init__(
        self, task: Task, outbox: SimpleQueue[list[Token] | End], submit: Callable[[Task], None]
    ) -> None:
        """`outbox` is what `task` gives its tokens to."""
        self._task, self._outbox = task, outbox
        self._submit: Callable[[Task], None] | None = submit
        self._ready: deque[Token] = deque()
        self._over = False
        self.statistics: RequestStatistics | None = None

    def send(self, _value: None, /) -> Token:
        """The next token. Raises EngineError when the generation fails, BusyError when too many wait."""
        if self._over:
            raise StopIteration
        if self._submit is not None:
            submit, self._submit = self._submit, None
            try:
                submit(self._task)
            except BaseException:
                self._over = True
                raise
        cancel = self._task.cancel
        while not self._ready:
            came = self._outbox.get()
            if isinstance(came, End):
                self._over, self.statistics = True, came.statistics
                if came.error is not None:
                    raise came.error
                raise StopIteration
            self._ready.extend(came)
        if cancel is not None and cancel.is_set():
            self.close()  # what was generated meanwhile is no longer wanted
            raise StopIteration
        return self._ready.popleft()

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        _traceback: TracebackType | None = None,
        /,
    ) -> Token:
        """End the generation, and raise what is given."""
        self._give_up()
        if isinstance(typ, BaseException):
            raise typ
        raise val if isinstance(val, BaseException) else typ()

    def close(self) -> None:
        """End the generation."""
        self._give_up()

    def __del__(self) -> None:
        self._give_up()

    def _give_up(self) -> None:
        self._task.given_up = self._over = True
