"""A pool of worker processes that runs jobs, in order, as they are asked for."""

from __future__ import annotations

import fcntl
import json
import marshal
import os
import queue
import select
import shutil
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from linewise.errors import LinewiseError
from linewise_training.execution.go_tools import cache_folder, go_tools
from linewise_training.execution.job import Job, Status, Verdict, job_to_json, verdict_from_json
from linewise_training.execution.limits import Limits
from linewise_training.execution.python_job import failed
from linewise_training.execution.sandbox import SYSTEM

_LENGTH = struct.Struct(">I")
# Jobs per worker that are under way or done before their turn: as many as others do while one takes 0.1 s.
_AHEAD = 64
_END_SECONDS = 2
# Not by `-m`, which loads modules before the worker has made room for them.
_WORKER = "from linewise_training.execution.worker import main; main()"
_TOOLS = ("gcc", "g++", "java", "javac", "node", "tsc", "go")


class ExecutionError(LinewiseError):
    """Code cannot be run here at all."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the sandbox: whether it is there, and if not, why."""

    name: str
    active: bool
    detail: str


class Runner:
    """Runs jobs in `workers` sandboxed processes. A context manager; one thread may use it at a time."""

    def __init__(
        self,
        workers: int | None = None,
        limits: Limits = Limits(),  # noqa: B008 -- frozen
        *,
        namespaces: bool = True,
        shown: tuple[str, ...] = (),
    ) -> None:
        """Prepare; processes start when they are first needed.

        Args:
            workers: Processes; as many as there are processors if not given.
            limits: Bounds of each job.
            namespaces: Whether to use namespaces where the system allows them.
            shown: Folders, besides the system's, that jobs may read.

        Raises:
            ValueError: Fewer than one worker.
        """
        if workers is not None and workers < 1:
            raise ValueError(f"workers is {workers}; it must be 1 or more")
        self.workers = workers or len(os.sched_getaffinity(0))
        folders = [*shown, *_node_folders()]
        if shutil.which("go"):
            with suppress(OSError):  # said when a job in Go comes
                folders.append(str(cache_folder()))
        self._settings = {"limits": asdict(limits), "namespaces": namespaces, "shown": _shown(folders)}
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._serving: list[_Server] = []

    def __enter__(self) -> Runner:
        """Start a thread for each worker process."""
        processors = sorted(os.sched_getaffinity(0))
        for number in range(self.workers):
            # As many as processors: each keeps to one, for what wakes another process there leaves none idle.
            kept = processors[number % len(processors)] if self.workers >= len(processors) else None
            settings = json.dumps({**self._settings, "processor": kept})
            self._serving.append(_Server(self._asked, self.workers, settings))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all workers, and with them whatever they run."""
        for server in self._serving:
            server.stop()
        for _ in self._serving:
            self._asked.put(None)
        for server in self._serving:
            server.join()
        self._serving = []

    def run(self, jobs: Iterable[Job]) -> Generator[Verdict, None, None]:
        """Run jobs; a verdict for each, in their order, as soon as it and all before it are there.

        `jobs` is read only a little ahead of what has been yielded.

        Raises:
            ExecutionError: The runner was not entered, or no worker process can be started.
        """
        if not self._serving:
            raise ExecutionError("the runner is not open; use it in a with statement")
        waiting: deque[Future[Verdict]] = deque()
        try:
            for job in jobs:
                waiting.append(self._ask(job))
                while waiting and (waiting[0].done() or len(waiting) >= _AHEAD * self.workers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def layers(self) -> tuple[Layer, ...]:
        """The sandbox's layers as a worker finds them here.

        Raises:
            ExecutionError: As `run`.
        """
        if not self._serving:
            raise ExecutionError("the runner is not open; use it in a with statement")
        if not self._serving[0].walls:
            self._ask(Job("", ())).result()
        return tuple(_layers(next(server.walls for server in self._serving if server.walls)))

    def _ask(self, job: Job) -> Future[Verdict]:
        asked = _Asked(job)
        self._asked.put(asked)
        return asked.answer


class _Asked:
    """A job, the verdict to come, and how often a worker has died over it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.answer: Future[Verdict] = Future()
        self.deaths = 0


class _Server:
    """Gives jobs to one worker process, and starts another where that one dies.

    A second job is sent before the first is done, where enough are waiting: a worker need not wait for this
    process to be scheduled.
    """

    def __init__(self, asked: queue.SimpleQueue[_Asked | None], workers: int, settings: str) -> None:
        self._queue = asked
        self._workers = workers
        self._settings = settings
        self._worker: _Worker | None = None
        self._sent: deque[_Asked] = deque()
        self._stopped = False
        self.walls: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._serve, name="execution", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Kill the worker; what it was at is not answered."""
        self._stopped = True
        if self._worker and self._sent:
            self._worker.kill()

    def join(self) -> None:
        """Wait until it has stopped."""
        self._thread.join()

    def _serve(self) -> None:
        while not self._stopped:
            asked = self._next()
            if asked is None and not self._sent:
                break
            try:
                self._go_on(asked)
            except Exception as error:
                self._give_up(asked, error)
        if self._worker:
            self._worker.end()

    def _go_on(self, asked: _Asked | None) -> None:
        """Send a job, or wait for the verdict on the first that was sent."""
        message = self._message(asked) if asked else None
        # Neither side would read, if both wrote more than a pipe takes.
        while self._sent and message and len(message) > self._running().takes:
            self._go_on(None)
            if self._stopped:
                return
        try:
            if asked and message:
                self._send(asked, message)
            if self._sent and (asked is None or len(self._sent) > 1):
                verdict = self._running().verdict()
                self._sent.popleft().answer.set_result(verdict)
        except (EOFError, OSError):
            self._bury()

    def _give_up(self, asked: _Asked | None, error: Exception) -> None:
        """Whatever it is, it belongs to those who wait for an answer; the worker's would come too late."""
        for waiting in (*self._sent, *([asked] if asked and asked not in self._sent else [])):
            if not waiting.answer.done():
                waiting.answer.set_exception(error)
        self._sent.clear()
        if self._worker:
            self._worker.end()
            self._worker = None

    def _next(self) -> _Asked | None:
        """The next job; none if it is time to wait for an answer, or to end."""
        while True:
            if self._sent and (len(self._sent) > 1 or self._queue.qsize() <= self._workers):
                return None
            asked = self._queue.get()
            if asked is None or asked.answer.set_running_or_notify_cancel():
                return asked

    def _message(self, asked: _Asked) -> bytes | None:
        """What is sent for a job; none where it is answered instead."""
        message = job_to_json(asked.job)
        if asked.job.language == "go":
            found = go_tools()
            if isinstance(found, str):
                asked.answer.set_result(failed(asked.job, Status.ENVIRONMENT, found, "", 0.0))
                return None
            message["go"] = found
        if asked.deaths:
            message["careful"] = True
        try:
            return marshal.dumps(message)
        except ValueError:  # text of another type than Python's own, say NumPy's
            return marshal.dumps(json.loads(json.dumps(message)))

    def _send(self, asked: _Asked, message: bytes) -> None:
        self._sent.append(asked)
        self._running().send(message)
        if self._stopped and self._worker:  # in between
            self._worker.kill()

    def _running(self) -> _Worker:
        if self._worker is None:
            self._worker = _Worker(self._settings)
            self.walls = self._worker.walls
        return self._worker

    def _bury(self) -> None:
        """The worker has died, over the first job that it had; send them to another."""
        if self._worker:
            self._worker.end()
            self._worker = None
        if self._stopped or not self._sent:
            return
        self._sent[0].deaths += 1
        if self._sent[0].deaths > 1:
            # Without namespaces, code under test can kill its worker. Twice is no accident.
            asked = self._sent.popleft()
            reason = "the worker process that ran it died, twice"
            asked.answer.set_result(failed(asked.job, Status.RUNTIME_ERROR, reason, "", 0.0))
        again, self._sent = self._sent, deque()
        try:
            while again and not self._stopped:
                self._go_on(again[0])
                again.popleft()
        finally:
            self._sent.extend(again)  # one that cannot be sent is not forgotten


def _pipe_size(fd: int) -> int:
    """How many bytes a pipe holds, at least."""
    if sys.platform == "linux":
        return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    return select.PIPE_BUF  # as much as is written in one piece


class _Worker:
    """One worker process and the pipes to it."""

    def __init__(self, settings: str) -> None:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            "LD_BIND_NOW": "1",  # a job would pay for each function that is bound in it
            "NODE_PATH": os.pathsep.join(_node_folders()),
        }
        if sys.dont_write_bytecode:
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, settings],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd="/", env=environment, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdin
        # Bytes for which there is room beside the rest of a message that is being read.
        self.takes = _pipe_size(self._process.stdin.fileno()) // 2
        try:
            self.walls: dict[str, Any] = self._read()["walls"]
        except EOFError:
            said = self._process.stderr.read() if self._process.stderr else b""
            self.end()
            last = said.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise ExecutionError(f"no process to run code in could be started: {last[0]}") from None

    def send(self, message: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(_LENGTH.pack(len(message)) + message)
        self._process.stdin.flush()

    def verdict(self) -> Verdict:
        return verdict_from_json(self._read())

    def _read(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._bytes(_LENGTH.unpack(self._bytes(_LENGTH.size))[0]))
        return message

    def _bytes(self, count: int) -> bytes:
        assert self._process.stdout
        found = self._process.stdout.read(count)
        if len(found) < count:
            raise EOFError
        return found

    def kill(self) -> None:
        with suppress(OSError):
            self._process.kill()  # what is below it dies with it, by the kernel's word

    def end(self) -> None:
        """End it: by the end of its input, which lets the system count its time as ours; or else by force."""
        with suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        for _ in range(2):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
                break
            self.kill()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                with suppress(OSError):
                    stream.close()


def _shown(extra: Iterable[str]) -> list[str]:
    """The folders that jobs see: the system's, this Python's, those of compilers elsewhere."""
    found = [*extra, sys.prefix, sys.base_prefix]
    found += [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    for tool in _TOOLS:
        where = shutil.which(tool)
        if where:
            found += [str(Path(where).parent), str(Path(where).resolve().parent.parent)]
    kept: list[str] = []
    for path in sorted({str(Path(name).absolute()) for name in found if Path(name).is_dir()}):
        inside = (*SYSTEM, *kept)
        if path != "/" and not any(path == other or path.startswith(f"{other}/") for other in inside):
            kept.append(path)
    return kept


def _node_folders() -> list[str]:
    """Where Node's global modules are: NODE_PATH, where the TypeScript compiler is, beside Node itself."""
    found = [Path(name) for name in os.environ.get("NODE_PATH", "").split(os.pathsep) if name]
    compiler, node = shutil.which("tsc"), shutil.which("node")
    found += [Path(compiler).resolve().parents[2]] if compiler else []
    found += [Path(node).resolve().parents[1] / "lib" / "node_modules"] if node else []
    return list(dict.fromkeys(str(path) for path in found if path.is_dir()))


def _layers(walls: dict[str, Any]) -> Iterator[Layer]:
    inside, reason = bool(walls["namespaces"]), str(walls["reason"])
    for name, detail in (
        ("user namespace", "nobody outside, without capabilities"),
        ("file system", "the system's programs, read-only; /tmp of its own; no home"),
        ("network", "no interfaces"),
        ("process IDs", "of its own, killed as a whole"),
        ("shared memory", "of its own"),
    ):
        yield Layer(name, inside, detail if inside else reason)
    proc = str(walls["proc"])
    detail = "none for Python, else of its own" if inside else reason
    yield Layer("/proc", inside and not proc, proc or detail)
    yield Layer("resource limits", True, "processor time, memory, file size, processes, open files, output")
