"""The one thread that decodes: it takes from all generations that run what the next step reads.

A step is one call of llama.cpp. It either moves every generation on by a token, all in one batch, or reads a
chunk of one prompt. Who comes first: a prompt is read before generations of lower priority go on, and waits
for those of higher priority, though never for ever; among prompts of one priority the one with least left
goes first, so a keystroke never waits for a file. Where all lanes are taken, a generation of higher
priority takes the lane of a lower one, which goes on later where it was, its tokens still in the cache.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from linewise.errors import BusyError, EngineError
from linewise.serving.cache import WORTH_COPYING, Piece, StreamCache
from linewise.serving.speculation import History
from linewise.serving.statistics import Ledger, SchedulerStatistics
from linewise.serving.task import Task

logger = logging.getLogger(__name__)

PATIENCE = 32
"""Steps that a prompt lets generations of higher priority go on before a chunk of it is read."""

CLOSED = "The engine was closed: load the model again to go on."


class Decoder:
    """Runs tasks on a thread of its own, `lanes` at once, with at most `queue` of each priority waiting."""

    def __init__(self, cache: StreamCache, *, lanes: int, queue: int, chunk: int, speculate: bool) -> None:
        """`chunk` is how many tokens of a prompt are read at once, at most `cache.CHUNK`.

        `speculate` False makes no drafts, nor are any made where the model cannot take tokens back.
        """
        self._cache = cache
        self._speculates = speculate and cache.goes_back
        self._lanes, self._queue, self._chunk = lanes, queue, chunk
        self._wake = threading.Condition()
        # All of these are guarded by `_wake`; only the thread moves tasks from one list to the other.
        self._waiting: list[Task] = []
        self._running: list[Task] = []
        self._forgotten: list[str] = []
        self._closing = False
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
            self._wake.notify()

    def forget(self, slot: str) -> None:
        """Free what the cache holds of a document, before the next step."""
        with self._wake:
            self._forgotten.append(slot)
            self._wake.notify()

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
            self._wake.notify()
        self._thread.join()

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
            self._waiting.remove(task)
            task.stream = self._cache.take(task.request.slot, task.tokens)
            if task.began is None:
                task.began, task.reused = time.perf_counter(), len(task.stream.tokens)
            self._running.append(task)

    def _preempt(self, task: Task) -> bool:
        """Take a lane from a task of lower priority than `task`; whether there was one."""
        last = max(self._running, key=lambda one: (one.rank, one.number))
        if last.rank <= task.rank:
            return False
        self._running.remove(last)
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
            return [lambda: self._generate(generating)] if generating else []
        reader = min(reading, key=lambda one: (one.rank, one.unread, one.number))
        ahead = [task for task in generating if task.rank <= reader.rank]
        if any(task.rank < reader.rank for task in ahead):
            reader.passed_over += 1
            if reader.passed_over < PATIENCE:
                return [lambda: self._generate(generating)]
        reader.passed_over = 0
        read: Callable[[], None] = lambda: self._read(reader)  # noqa: E731
        return [lambda: self._generate(ahead), read] if ahead else [read]

    def _generate(self, tasks: Sequence[Task]) -> None:
        """Move `tasks`, of each of which one token is unread, on by one token, or one alone by more."""
        if len(tasks) == 1 and self._speculates:
            self._generate_alone(tasks[0])
        else:
            self._decode(tasks, [Piece(task.held, task.tokens[-1:]) for task in tasks])

    def _generate_alone(self, task: Task) -> None:
        """Move `task` on by one token, and by as many more as its draft was right about.

        With others beside it there is no draft: sequences of unequal lengths would be read one by one.
        """
        stream, began = task.held, time.perf_counter()
        held, draft = len(stream.tokens), self._draft(task)
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
        self._settle(task)
        seconds = time.perf_counter() - began
        if draft:
            stream.pace.saw_draft(len(draft), accepted, seconds)
        else:
            stream.pace.saw_plain(seconds)

    def _draft(self, task: Task) -> list[int]:
        """What may come next in `task`, as often and as long as drafts have paid in its document."""
        most = min(task.held.pace.wanted(), task.lane.remaining - 1)
        if most < 1:
            return []
        if task.history is None:
            task.history = History(task.held.struck, task.tokens)
        task.history.extend(task.tokens[len(task.history) :])
        return task.history.draft(most)

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
        row = -1
        for task, piece in zip(tasks, pieces, strict=True):
            row += len(piece.tokens)
            if choose:
                self._choose(task, row)
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
