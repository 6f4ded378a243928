"""A worker process: goes behind its walls, then runs jobs that it reads from standard input, one at a time.

Started as `python -m linewise_training.execution.worker LIMITS`, in a clean environment. A message in either
direction is a length of four bytes and JSON. The first one out tells about the walls.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import struct
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from linewise_training.execution import namespaces as ns
from linewise_training.execution.checker import check, make_ready
from linewise_training.execution.compiled_job import Drive, run_compiled
from linewise_training.execution.driver import drive
from linewise_training.execution.job import Verdict, job_from_json, verdict_to_json
from linewise_training.execution.languages import GoTools
from linewise_training.execution.limits import Limits
from linewise_training.execution.python_job import run_python
from linewise_training.execution.sandbox import Walls, enter
from linewise_training.execution.translator import Translator

# What solutions of small problems import: loaded once, so that a job need not.
_PRELOADED = (
    "abc", "array", "bisect", "calendar", "cmath", "collections", "collections.abc", "contextlib",
    "copy", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq",
    "inspect", "io", "itertools", "json", "math", "numbers", "operator", "pprint", "queue", "random",
    "re", "statistics", "string", "struct", "textwrap", "threading", "time", "traceback", "types",
    "typing", "unicodedata", "warnings",
)  # fmt: skip
_LENGTH = struct.Struct(">I")


def main() -> None:
    """Serve until standard input ends. In a job's process: run that job."""
    settings = json.loads(sys.argv[1])
    limits = Limits(**settings["limits"])
    source, target = os.dup(0), os.dup(1)
    nothing = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1):
        os.dup2(nothing, fd)
    sys.path[:] = [path for path in sys.path if path not in {"", os.getcwd()}]  # noqa: PTH109
    for name in _PRELOADED:
        importlib.import_module(name)
    ns.die_with_parent(signal.SIGKILL)
    ns.adopt_orphans()
    walls = enter(tuple(settings["shown"]), try_namespaces=settings["namespaces"])
    sys.path[:] = [path for path in sys.path if os.path.isdir(path)]  # noqa: PTH112
    importlib.invalidate_caches()
    make_ready()
    gc.collect()
    gc.freeze()  # a collection in a job would copy all these pages
    with suppress(BrokenPipeError):
        _write(target, {"walls": asdict(walls)})
        task = _serve(source, target, walls, limits)
        if isinstance(task, Drive):
            drive(task.program, task.mark)
        if task is not None:
            check(task)


def _serve(source: int, target: int, walls: Walls, limits: Limits) -> list[Any] | Drive | None:
    """Answer each job; in a job's own process return what it is to run, so that little is below it."""
    translator = Translator(walls, limits)
    while (message := _read(source)) is not None:
        job = job_from_json(message)
        done: Verdict | Drive | list[Any]
        if job.language == "python":
            done = run_python(job, walls, limits, translator.processes)
        else:
            go = GoTools(**message["go"]) if message.get("go") else None
            done = run_compiled(job, walls, limits, translator, go)
        if not isinstance(done, Verdict):
            return done
        _write(target, verdict_to_json(done))
    return None


def _read(fd: int) -> dict[str, Any] | None:
    length = _read_exactly(fd, _LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    message = _read_exactly(fd, _LENGTH.unpack(length)[0])
    found: dict[str, Any] = json.loads(message)
    return found


def _read_exactly(fd: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size and (chunk := os.read(fd, size)):
        parts.append(chunk)
        size -= len(chunk)
    return b"".join(parts)


def _write(fd: int, message: dict[str, Any]) -> None:
    encoded = json.dumps(message).encode()
    rest = memoryview(_LENGTH.pack(len(encoded)) + encoded)
    while rest:
        rest = rest[os.write(fd, rest) :]


if __name__ == "__main__":
    main()
