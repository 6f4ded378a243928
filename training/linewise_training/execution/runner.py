"""A pool of worker processes that runs jobs, in order, as they are asked for."""

from __future__ import annotations

import json
import os
import queue
import shutil
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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

_LENGTH = struct.Struct(">I")
_AHEAD = 4  # jobs per worker that are under way or done before their turn
_END_SECONDS = 5


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
        self._settings = json.dumps({"limits": asdict(limits), "namespaces": namespaces, "shown": folders})
        self._idle: queue.SimpleQueue[_Worker | None] = queue.SimpleQueue()
        self._all: list[_Worker] = []
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> Runner:
        """Start the threads that the workers are served by."""
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="execution")
        for _ in range(self.workers):
            self._idle.put(None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all workers, and with them whatever they run."""
        if self._threads is None:
            return
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._all:
            worker.end()
        self._threads.shutdown(wait=True)
        self._threads = None

    def run(self, jobs: Iterable[Job]) -> Iterator[Verdict]:
        """Run jobs; a verdict for each, in their order, as soon as it and all before it are there.

        `jobs` is read only a little ahead of what has been yielded.

        Raises:
            ExecutionError: The runner was not entered, or no worker process can be started.
        """
        if self._threads is None:
            raise ExecutionError("the runner is not open; use it in a with statement")
        waiting: deque[Future[Verdict]] = deque()
        try:
            for job in jobs:
                waiting.append(self._threads.submit(self._run_one, job))
                if len(waiting) >= _AHEAD * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def layers(self) -> tuple[Layer, ...]:
        """The sandbox's layers as a worker finds them here; starts one if none has started yet."""
        worker = self._take()
        try:
            return tuple(_layers(worker.walls))
        finally:
            self._idle.put(worker)

    def _take(self) -> _Worker:
        worker = self._idle.get()
        try:
            if worker is None or not worker.alive():
                if worker is not None:
                    self._all.remove(worker)
                    worker.end()
                worker = _Worker(self._settings)
                self._all.append(worker)
        except BaseException:
            self._idle.put(None)
            raise
        return worker

    def _run_one(self, job: Job) -> Verdict:
        message = job_to_json(job)
        if job.language == "go":
            found = go_tools()
            if isinstance(found, str):
                return failed(job, Status.ENVIRONMENT, found, "", 0.0)
            message["go"] = found
        for _ in range(2):
            worker = self._take()
            try:
                return worker.run(message)
            except (EOFError, OSError):
                worker.end()  # the next to take it starts another
            finally:
                self._idle.put(worker)
        # Without namespaces, code under test can kill its worker. Twice is no accident.
        return failed(job, Status.RUNTIME_ERROR, "the worker process that ran it died, twice", "", 0.0)


class _Worker:
    """One worker process and the pipes to it."""

    def __init__(self, settings: str) -> None:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "NODE_PATH": os.pathsep.join(_node_folders()),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "linewise_training.execution.worker", settings],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd="/", env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            self.walls: dict[str, Any] = self._read()["walls"]
        except EOFError:
            said = self._process.stderr.read() if self._process.stderr else b""
            self.end()
            last = said.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise ExecutionError(f"no process to run code in could be started: {last[0]}") from None

    def alive(self) -> bool:
        return self._process.poll() is None

    def run(self, message: dict[str, Any]) -> Verdict:
        assert self._process.stdin
        encoded = json.dumps(message).encode()
        self._process.stdin.write(_LENGTH.pack(len(encoded)) + encoded)
        self._process.stdin.flush()
        return verdict_from_json(self._read())

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        length = self._process.stdout.read(_LENGTH.size)
        if len(length) < _LENGTH.size:
            raise EOFError
        message: dict[str, Any] = json.loads(self._process.stdout.read(_LENGTH.unpack(length)[0]))
        return message

    def end(self) -> None:
        with suppress(OSError):
            self._process.kill()  # what is below it dies with it, by the kernel's word
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                with suppress(OSError):
                    stream.close()


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
    yield Layer("/proc", inside and not proc, proc or (reason if not inside else "of its own"))
    yield Layer("resource limits", True, "processor time, memory, file size, processes, open files, output")
