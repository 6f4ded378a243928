"""A worker process, once its modules are there: goes behind its walls, then runs jobs, one at a time.

It reads them from standard input. A message in either direction is a length of four bytes and JSON. The first
one out tells about the walls.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
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
from linewise_training.execution.folder import Folder
from linewise_training.execution.job import job_from_json, verdict_to_json
from linewise_training.execution.languages import GoTools
from linewise_training.execution.limits import Limits, apply_common
from linewise_training.execution.preload import Hooks, fill_gaps
from linewise_training.execution.python_job import run_python
from linewise_training.execution.sandbox import Walls, enter
from linewise_training.execution.translator import Translator

_LENGTH = struct.Struct(">I")
# Loaded as well without namespaces: nobody, whom jobs then run as, may not be let into root's Python.
_UNREADABLE = ("concurrent.futures", "logging", "pickle", "subprocess")
_OBJECTS = 50_000  # that a job makes before the first collection


def work(hooks: Hooks) -> None:
    """Serve until standard input ends. In a job's process: run that job."""
    settings = json.loads(sys.argv[1])
    limits = Limits(**settings["limits"])
    source, target = os.dup(0), os.dup(1)
    nothing = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1):
        os.dup2(nothing, fd)
    ns.die_with_parent(signal.SIGKILL)
    ns.adopt_orphans()
    walls = enter(tuple(settings["shown"]), try_namespaces=settings["namespaces"])
    sys.path[:] = [path for path in sys.path if os.path.isdir(path)]  # noqa: PTH112
    importlib.invalidate_caches()
    names = make_ready()
    folder = None
    if walls.namespaces:
        apply_common(limits)
        folder = Folder(limits)
    else:
        for name in _UNREADABLE:
            importlib.import_module(name)
    random.seed(0)  # a verdict must not depend on luck
    gc.collect()
    gaps = fill_gaps()
    gc.freeze()  # a collection in a job would copy all these pages
    gc.set_threshold(_OBJECTS)
    with suppress(BrokenPipeError):
        _write(target, {"walls": asdict(walls)})
        task = _serve(source, target, walls, limits, folder)
        if isinstance(task, Drive):
            drive(task.program, task.mark)
        if task is not None:
            check(task, names, hooks)
    del gaps


def _serve(
    source: int, target: int, walls: Walls, limits: Limits, folder: Folder | None
) -> list[Any] | Drive | None:
    """Answer each job; in a job's own process return what it is to run, so that little is below it."""
    translator = Translator(walls, limits)
    while (row := _read(source)) is not None:
        if row["language"] == "python":
            done = run_python(row, walls, limits, translator.processes, folder)
            if isinstance(done, list):
                return done
            _write(target, done)
            continue
        go = GoTools(**row["go"]) if row.get("go") else None
        verdict = run_compiled(job_from_json(row), walls, limits, translator, go)
        if isinstance(verdict, Drive):
            return verdict
        _write(target, verdict_to_json(verdict))
    return None


def _read(fd: int) -> dict[str, Any] | None:
    length = os.read(fd, _LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(length)
    message = os.read(fd, size)
    while len(message) < size and (chunk := os.read(fd, size - len(message))):
        message += chunk
    found: dict[str, Any] = json.loads(message)
    return found


def _write(fd: int, message: dict[str, Any]) -> None:
    encoded = json.dumps(message).encode()
    rest = memoryview(_LENGTH.pack(len(encoded)) + encoded)
    while rest:
        rest = rest[os.write(fd, rest) :]
