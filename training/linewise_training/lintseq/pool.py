"""Sample the sequences of many programs in worker processes, and replace those that hang or die.

What a program gives depends on the plan and its index alone, so the results are the same for any number of
workers. A worker that says nothing for too long is killed. The programs that it was at are then tried one by
one, each in a chunk of its own; the one that stops a worker again is at fault, and is reported as failed.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from linewise.errors import LinewiseError
from linewise.verify import Verifier
from linewise_training.lintseq.driver import Failed, Program
from linewise_training.lintseq.plan import Plan
from linewise_training.lintseq.worker import Alive, Broken, Message, Outcome, Ready, serve

# Programs in one chunk advance together, so that one run of the linter judges many states.
_CHUNK = 32
# How many chunks for each worker may be under way or wait for a slower one before them.
_AHEAD = 4
# How long a fresh process may take until it is ready, in seconds: imports on a busy machine.
_START = 300.0


def sample_in_processes(
    programs: Iterable[Program],
    make_verifier: Callable[[], Verifier],
    plan: Plan,
    *,
    workers: int,
    timeout: float,
) -> Generator[Outcome, None, None]:
    """What each program gives, in order; at most some hundred programs for each worker are held at a time.

    `make_verifier` must be picklable. A program is given up when its worker is silent for `timeout` seconds.
    Raises LinewiseError when workers cannot work at all.
    """
    pool = _Pool(make_verifier, plan, workers, timeout)
    try:
        yield from pool.run(iter(programs))
    finally:
        pool.close()


class _Worker:
    """One process, the programs that it is at, and when it was last heard of."""

    def __init__(self, make_verifier: Callable[[], Verifier], plan: Plan) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self.connection: Connection = ours
        self.process: SpawnProcess = context.Process(
            target=serve, args=(theirs, make_verifier, plan), daemon=True
        )
        self.process.start()
        theirs.close()
        self.began = False
        self.idle = False
        self.chunk: dict[int, Program] = {}
        self.heard = time.monotonic()

    def give(self, chunk: list[Program]) -> bool:
        """Give it work; False where it is dead."""
        self.chunk = {program.index: program for program in chunk}
        self.idle = False
        self.heard = time.monotonic()
        try:
            self.connection.send(chunk)
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Pool:
    def __init__(
        self, make_verifier: Callable[[], Verifier], plan: Plan, workers: int, timeout: float
    ) -> None:
        self._make_verifier = make_verifier
        self._plan = plan
        self._count = workers
        self._timeout = timeout
        self._workers: list[_Worker] = []
        self._retries: deque[Program] = deque()
        self._order: deque[int] = deque()
        self._outcomes: dict[int, Outcome] = {}

    def run(self, programs: Iterator[Program]) -> Iterator[Outcome]:
        exhausted = False
        while True:
            exhausted = self._hand_out(programs) or exhausted
            while self._order and self._order[0] in self._outcomes:
                yield self._outcomes.pop(self._order.popleft())
            if exhausted and not self._order:
                return
            if any(not worker.idle for worker in self._workers):
                self._listen()

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers.clear()

    def _hand_out(self, programs: Iterator[Program]) -> bool:
        """Give every idle worker a chunk; whether the programs are at their end."""
        while len(self._order) < _CHUNK * _AHEAD * self._count or self._retries:
            worker = next((worker for worker in self._workers if worker.idle), None)
            if worker is None:
                if len(self._workers) == self._count:
                    return False
                self._workers.append(_Worker(self._make_verifier, self._plan))
                continue
            if self._retries:
                chunk = [self._retries.popleft()]
            else:
                chunk = list(islice(programs, _CHUNK))
                self._order.extend(program.index for program in chunk)
            if not chunk:
                return True
            if not worker.give(chunk):
                self._lose(worker, "died")
        return False

    def _listen(self) -> None:
        now = time.monotonic()
        busy = {worker.connection: worker for worker in self._workers if not worker.idle}
        rest = min(worker.heard + self._patience(worker) - now for worker in busy.values())
        for connection in wait(list(busy), max(0.0, rest)):
            worker = busy[connection]  # type: ignore[index]
            try:
                self._hear(worker, worker.connection.recv())
            except (EOFError, OSError):
                worker.process.join()
                self._lose(worker, f"died: exit code {worker.process.exitcode}")
        now = time.monotonic()
        for worker in [w for w in self._workers if not w.idle]:
            if now >= worker.heard + self._patience(worker) and not worker.connection.poll():
                self._lose(worker, f"hung: no answer in {self._timeout:g} s")

    def _patience(self, worker: _Worker) -> float:
        return self._timeout if worker.began else max(_START, self._timeout)

    def _hear(self, worker: _Worker, message: Message) -> None:
        worker.heard = time.monotonic()
        if isinstance(message, Broken):
            raise LinewiseError(message.reason)
        if isinstance(message, Ready):
            worker.began = worker.idle = True
            if message.full:
                worker.stop()
                self._workers.remove(worker)
        elif not isinstance(message, Alive):
            del worker.chunk[message.index]
            self._outcomes[message.index] = message

    def _lose(self, worker: _Worker, how: str) -> None:
        worker.stop()
        self._workers.remove(worker)
        if not worker.began:
            raise LinewiseError(
                f"a worker process {how} before it was ready; see its message above, "
                "and try `linewise doctor`"
            )
        left = list(worker.chunk.values())
        if len(left) == 1 and how.startswith(("died:", "hung:")):
            self._outcomes[left[0].index] = Failed(left[0].index, f"the linter {how}")
        else:
            self._retries.extend(left)
