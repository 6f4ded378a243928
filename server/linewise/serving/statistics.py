"""What the scheduler counts: of each generation, and of all of them since it started."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from linewise.engines.generation import Ending
from linewise.engines.protocol import Priority

BOUNDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds, in seconds, of the classes that times are counted in; one more class has no bound."""


@dataclass(frozen=True, slots=True)
class RequestStatistics:
    """What one generation cost. Times are in seconds.

    `queued_seconds` is from its submission until it had a lane, `first_token_seconds` from its submission
    until its first token (None where none came), `total_seconds` until its end. Of the `drafted_tokens` that
    speculation proposed, `accepted_tokens` were what the model chose.
    """

    slot: str
    priority: Priority
    prompt_tokens: int
    reused_tokens: int
    generated_tokens: int
    drafted_tokens: int
    accepted_tokens: int
    queued_seconds: float
    first_token_seconds: float | None
    total_seconds: float
    ended: Ending


@dataclass(frozen=True, slots=True)
class Times:
    """Times seen so far: `counts[i]` were at most `BOUNDS[i]` and above the bound before it."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    sum_seconds: float = 0.0

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def with_one(self, seconds: float) -> Times:
        """These and one more."""
        place = bisect_left(BOUNDS, seconds)
        counts = (*self.counts[:place], self.counts[place] + 1, *self.counts[place + 1 :])
        return Times(counts, self.sum_seconds + seconds)


@dataclass(frozen=True, slots=True)
class SchedulerStatistics:
    """How a scheduler stands, and what it did since it started.

    `running` and `waiting` count generations now. `cached_tokens` is by document (the empty name: those of
    nobody). `requests` counts finished generations by how they ended, `refused` those that the bounded queue
    did not take. `first_token` and `queued` are of requests, `per_token` of each request's mean after its
    first token.
    """

    lanes: int
    slots: int
    running: int = 0
    waiting: int = 0
    cached_tokens: dict[str, int] = field(default_factory=dict)
    requests: dict[Ending, int] = field(default_factory=dict)
    refused: int = 0
    preempted: int = 0
    evicted: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    generated_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    queued: Times = field(default_factory=Times)
    first_token: Times = field(default_factory=Times)
    per_token: Times = field(default_factory=Times)


class Ledger:
    """Adds up finished generations. Not thread-safe: the scheduler guards it."""

    def __init__(self) -> None:
        self.requests: dict[Ending, int] = {}
        self.refused = self.preempted = self.evicted = 0
        self.tokens = dict.fromkeys(("prompt", "reused", "generated", "drafted", "accepted"), 0)
        self.queued = self.first_token = self.per_token = Times()

    def add(self, one: RequestStatistics) -> None:
        """Count a finished generation."""
        self.requests[one.ended] = self.requests.get(one.ended, 0) + 1
        for kind in self.tokens:
            self.tokens[kind] += getattr(one, f"{kind}_tokens")
        self.queued = self.queued.with_one(one.queued_seconds)
        if one.first_token_seconds is not None:
            self.first_token = self.first_token.with_one(one.first_token_seconds)
            if one.generated_tokens > 1:
                rest = one.total_seconds - one.first_token_seconds
                self.per_token = self.per_token.with_one(rest / (one.generated_tokens - 1))

    def statistics(
        self, *, lanes: int, slots: int, running: int, waiting: int, cached_tokens: dict[str, int]
    ) -> SchedulerStatistics:
        """What was counted, beside how things stand now."""
        return SchedulerStatistics(
            lanes=lanes,
            slots=slots,
            running=running,
            waiting=waiting,
            cached_tokens=cached_tokens,
            requests=dict(self.requests),
            refused=self.refused,
            preempted=self.preempted,
            evicted=self.evicted,
            **{f"{kind}_tokens": count for kind, count in self.tokens.items()},
            queued=self.queued,
            first_token=self.first_token,
            per_token=self.per_token,
        )
