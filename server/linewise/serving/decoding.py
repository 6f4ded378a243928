"""The one thread that decodes: it takes from all generations that run what the next step reads.

A step is one call of llama.cpp. It moves every generation on by a token, all in one batch; or one of them,
by as many tokens as its draft is right about; or it reads a chunk of one prompt. Which of the first two is
quicker where several run is found out by trying. One that is moved on alone keeps its turn for some
milliseconds: the first step after another generation's takes up to twice as long, because its keys and
values are no longer in the processor's cache, and llama.cpp plans its step anew.

Who comes first: a prompt is read before generations of lower priority go on, and waits for those of higher
priority, though never for ever; among prompts of one priority the one with least left goes first, so a
keystroke never waits for a file. Where all lanes are taken, a generation of higher priority takes the lane
of a lower one, which goes on later where it was, its tokens still in the cache.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from linewise.errors import BusyError, EngineError
from linewise.serving.cache import WORTH_COPYING, Piece, StreamCache
from linewise.serving.pace import Speculation
from linewise.serving.speculation import LONGEST_DRAFT, NO_GUESS, Guess, History
from linewise.serving.statistics import Ledger, SchedulerStatistics
from linewise.serving.task import Task
from linewise.serving.trial import Trial

logger = logging.getLogger(__name__)

PATIENCE = 32
"""Steps that a prompt lets generations of higher priority go on before a chunk of it is read."""

_ROUND_SECONDS = 0.1
"""What it may take until each of several generations has had its turn: text that comes ten times a second
still looks as if it came steadily."""

_LONGEST_TURN_SECONDS = 0.0125
"""As long as one of eight may have; more would gain little, and let two take longer turns for nothing."""

Way: TypeAlias = Literal["together", "in turn"]
"""How generations are moved on: each by a token in one batch, or one after the other, each with a draft."""

CLOSED = "The engine was closed: load the model again to go on."


class Decoder:
    """Runs tasks on a thread of its own, `lanes` at once, with at most `queue` of each priority waiting."""

    def __init__(
        self, cache: StreamCache, *, lanes: int, queue: int, chunk: int, speculation: Speculation
    ) -> None:
        """`chunk` is how many tokens of a prompt are read at once, at most `cache.CHUNK`.

        No drafts are made where the model cannot take tokens back.
        """
        self._cache = cache
        self._speculates = speculation != "off" and cache.goes_back
        self._always_drafts = speculation == "on"
        self._ways: dict[tuple[int, bool], Trial[Way]] = {}
        self._turns = 0
        self._lanes, self._queue, self._chunk = lanes, queue, chunk
        self._wake = threading.Condition()
        # All of these are guarded by `_wake`; only the thread moves tasks from one list to the other.
        self._waiting: list[Task] = []
        self._running: list[Task] = []
        self._forgotten: list[str] = []
        self._closing = False
        self._is_called = False  # something is to be done before the next step
        self._count = 0
        self._ledger = Ledger()
        self._thread = threading.Thread(target=self._run, name="linewise-decode", daemon=True)
        self._thread.start()

    def submit(self, task: Task) -> None:
        """Let `task` wait for its turn. An older inline task of its slot ends.

        Raises BusyError where as many wait as may, EngineError once closed.
        """
        with self._wake:
            if self._closing:
                raise EngineError(CLOSED)
            if task.request.priority == "inline" and task.request.slot:
                for other in (*self._waiting, *self._running):
                    if (other.request.priority, other.request.slot) == ("inline", task.request.slot):
                        other.given_up = True
            ahead = sum(
                one.rank == task.rank and one.began is None and not one.is_over for one in self._waiting
            )
            if ahead >= self._queue:
                self._ledger.refused += 1
                raise BusyError(
                    f"The model is busy: {ahead} {task.request.priority} requests wait already; "
                    "try again later."
                )
            self._count += 1
            task.number, task.submitted = self._count, time.perf_counter()
            self._waiting.append(task)
            self._call()

    def forget(self, slot: str) -> None:
        """Free what the cache holds of a document, before the next step."""
        with self._wake:
            self._forgotten.append(slot)
            self._call()

    def statistics(self) -> SchedulerStatistics:
        """How things stand, and what was counted so far."""
        with self._wake:
            cached: dict[str, int] = {}
            for stream in self._cache.streams:
                if stream.tokens:
                    cached[stream.owner] = cached.get(stream.owner, 0) + len(stream.tokens)
            self._ledger.evicted = self._cache.evicted
            return self._ledger.statistics(
                lanes=self._lanes,
                slots=len(self._cache.streams),
                running=len(self._running),
                waiting=len(self._waiting),
                cached_tokens=cached,
            )

    def close(self) -> None:
        """End every generation with EngineError, and the thread. The cache is free to be closed then."""
        with self._wake:
            self._closing = True
            self._call()
        self._thread.join()

    def _call(self) -> None:
        """Wake the thread, or end the turn of whom it moves on. The caller holds the lock."""
        self._is_called = True
        self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._waiting or self._running or self._forgotten or self._closing):
                    self._wake.wait()
                if self._closing:
                    self._finish((*self._running, *self._waiting), EngineError(CLOSED))
                    return
            try:
                self._turn()
            except Exception:
                logger.exception("The scheduler failed")
                self._begin_anew()

    def _turn(self) -> None:
        """End what is over, begin what waits, and do what is next."""
        with self._wake:
            self._is_called = False
            self._drop_what_is_over()
            self._forget()
            self._admit()
            steps = self._steps()
        for step in steps:
            step()

    def _begin_anew(self) -> None:
        """After a fault of the scheduler's own: end everything, trust nothing, and serve the next request."""
        with self._wake:
            error = EngineError("The scheduler failed, as its log says: try again, or start it anew.")
            self._finish((*self._running, *self._waiting), error)
            for stream in self._cache.streams:
                self._cache.give_back(stream)
                self._cache.cut(stream, 0)

    def _drop_what_is_over(self) -> None:
        self._finish([task for task in (*self._running, *self._waiting) if task.is_over])

    def _forget(self) -> None:
        for slot in self._forgotten:
            self._cache.forget(slot)
        self._forgotten.clear()

    def _admit(self) -> None:
        """Give lanes to those that wait, by priority, then by age."""
        for task in sorted(self._waiting, key=lambda one: (one.rank, one.number)):
            if self._can_share_soon(task):
                continue
            if len(self._running) >= self._lanes and not self._preempt(task):
                return
            # First: were this to fail, a task in neither list would never end.
            task.stream = self._cache.take(task.request.slot, task.tokens)
            self._waiting.remove(task)
            if task.began is None:
                task.began, task.reused = time.perf_counter(), len(task.stream.tokens)
            self._running.append(task)

    def _preempt(self, task: Task) -> bool:
        """Take a lane from a task of lower priority than `task`; whether there was one."""
        last = max(self._running, key=lambda one: (one.rank, one.number))
        if last.rank <= task.rank:
            return False
        self._running.remove(last)
        last.tell(at_once=True)  # what it has so far shall not wait with it
        self._leave(last)
        self._waiting.append(last)
        self._ledger.preempted += 1
        return True

    def _can_share_soon(self, task: Task) -> bool:
        """Whether a prompt that begins like `task`'s is being read, so that it will be there to be copied."""
        if not self._cache.goes_back:
            return False
        readers = [one for one in self._running if one.unread > 1 and one.rank <= task.rank]
        if not readers:
            return False
        there = self._cache.shared(task.tokens)
        return any(one.shares(task) > max(there, WORTH_COPYING) for one in readers)

    def _steps(self) -> Sequence[Callable[[], None]]:
        """What to do next, in this order."""
        reading = [task for task in self._running if task.unread > 1]
        generating = [task for task in self._running if task.unread == 1]
        if not reading:
            seconds = min(_LONGEST_TURN_SECONDS, _ROUND_SECONDS / max(1, len(generating)))
            return [lambda: self._generate(generating, seconds)] if generating else []
        reader = min(reading, key=lambda one: (one.rank, one.unread, one.number))
        ahead = [task for task in generating if task.rank <= reader.rank]
        if any(task.rank < reader.rank for task in ahead):
            reader.passed_over += 1
            if reader.passed_over < PATIENCE:
                return [lambda: self._generate(generating)]
        reader.passed_over = 0
        read: Callable[[], None] = lambda: self._read(reader)  # noqa: E731
        return [lambda: self._generate(ahead), read] if ahead else [read]

    def _generate(self, tasks: Sequence[Task], seconds: float = 0.0) -> None:
        """Move `tasks`, of each of which one token is unread, on by one token or more.

        One that goes on alone may do so for `seconds`, then it is the next one's turn; without any, all of
        them take one step.
        """
        if len(tasks) == 1:
            self._keep_on(tasks[0], seconds)
            return
        ways = self._trial_of_ways(len(tasks), keeps_on=seconds > 0)
        count, began = sum(task.lane.count for task in tasks), time.perf_counter()
        if ways.choose() == "together":
            # Without drafts: sequences of unequal lengths would be read one by one.
            self._decode(tasks, [Piece(task.held, task.tokens[-1:]) for task in tasks])
        elif seconds:
            self._give_turn(min(tasks, key=lambda one: (one.turn, one.rank, one.number)), seconds)
        else:
            self._step_in_turn(tasks)
        count = sum(task.lane.count for task in tasks) - count
        ways.saw((time.perf_counter() - began) / max(1, count))

    def _trial_of_ways(self, count: int, *, keeps_on: bool) -> Trial[Way]:
        """What to do with so many generations: those of about as many know it."""
        kind = count.bit_length(), keeps_on
        if kind not in self._ways:
            small = self._cache.is_small
            self._ways[kind] = Trial("in turn", "together") if small else Trial("together", "in turn")
        return self._ways[kind]

    def _give_turn(self, task: Task, seconds: float) -> None:
        """Let `task` keep on, and send what that brought together: its next turn may be far."""
        self._count_turn(task)
        task.gather_anew()
        self._keep_on(task, seconds)
        if task.stream is not None:
            task.tell(at_once=True)

    def _step_in_turn(self, tasks: Sequence[Task]) -> None:
        """Move each on in a step of its own, by priority, then who waited longest, until one comes."""
        for task in sorted(tasks, key=lambda one: (one.rank, one.turn)):
            self._count_turn(task)
            self._generate_alone(task)
            if self._is_called:
                return

    def _count_turn(self, task: Task) -> None:
        self._turns += 1
        task.turn = self._turns

    def _keep_on(self, task: Task, seconds: float) -> None:
        """Move `task` on, by one step at least, for so long or until there is anything else to do."""
        end = time.perf_counter() + seconds
        while True:
            self._generate_alone(task)
            if (
                self._is_called
                or time.perf_counter() >= end
                or any(one.is_over for one in (*self._running, *self._waiting))
                or task.stream is None  # it has ended
                or task.unread > 1  # the cache could not give up a draft alone
            ):
                return

    def _generate_alone(self, task: Task) -> None:
        """Move `task` on by one token, and by as many more as its draft was right about."""
        stream = task.held
        held = len(stream.tokens)
        guess, task.guess = task.guess or self._guess(task), None
        draft = self._draft(task, guess)
        self._decode([task], [Piece(stream, [task.tokens[-1], *draft], every=True)], choose=False)
        if task.stream is None:  # it failed
            return
        accepted = 0
        while (chosen := self._choose(task, accepted)) is not None:
            if accepted == len(draft) or chosen != draft[accepted]:
                break
            accepted += 1
        self._cache.cut(stream, held + 1 + accepted)
        task.drafted += len(draft)
        task.accepted += accepted
        stream.odds.saw(guess, task.tokens[held + 1 :])
        # Before the caller is woken, who would take Python's lock; then he works while the model reads.
        task.guess = self._guess(task)
        self._settle(task)

    def _guess(self, task: Task) -> Guess:
        """What may come next in `task`, by what stands in its document."""
        most = min(LONGEST_DRAFT, task.lane.remaining - 1)
        if not self._speculates or task.lane.ended is not None or most < 1:
            return NO_GUESS
        if task.history is None:
            task.history = History(task.held.struck, task.tokens)
        task.history.extend(task.tokens[len(task.history) :])
        return task.history.guess(most)

    def _draft(self, task: Task, guess: Guess) -> Sequence[int]:
        """As much of `guess` as pays."""
        if self._always_drafts:
            return guess.tokens
        stream = task.held
        return guess.tokens[: self._cache.pace.length(len(stream.tokens), guess, stream.odds)]

    def _read(self, task: Task) -> None:
        """Read a chunk of what is unread of `task`; where that is all, choose its next token."""
        held = len(task.held.tokens)
        chunk = task.tokens[held : held + self._chunk]
        is_all = held + len(chunk) == len(task.tokens)
        self._decode([task], [Piece(task.held, chunk, last=is_all)], choose=is_all)

    def _decode(self, tasks: Sequence[Task], pieces: Sequence[Piece], *, choose: bool = True) -> None:
        try:
            self._cache.decode(pieces)
        except EngineError as error:
            with self._wake:
                self._finish(tasks, error)
            return
        if not choose:
            return
        row = -1
        for task, piece in zip(tasks, pieces, strict=True):
            row += len(piece.tokens)
            task.guess = None  # it was what might come here
            self._choose(task, row)
        # Callers are woken once all is chosen: each would take Python's lock from what is still to be done.
        for task in tasks:
            self._settle(task)

    def _choose(self, task: Task, row: int) -> int | None:
        """The next token of `task`, from the logits of `row`; None where it has ended."""
        try:
            token = task.lane.choose(self._cache.logits(row))
        except EngineError as error:
            task.error = error
            return None
        if task.lane.ended is not None:
            return None
        task.tokens.append(token)
        return token

    def _settle(self, task: Task) -> None:
        """Send what was chosen, or the end."""
        if task.error is None and task.lane.ended is None:
            task.tell()
        else:
            with self._wake:
                self._finish([task], task.error)

    def _finish(self, tasks: Sequence[Task], error: EngineError | None = None) -> None:
        """End `tasks`. The caller holds the lock."""
        for task in tasks:
            (self._running if task in self._running else self._waiting).remove(task)
            self._leave(task)
            self._ledger.add(task.finish(error))

    def _leave(self, task: Task) -> None:
        if task.stream is not None:
            self._cache.give_back(task.stream)
            task.stream = None
