"""A worker process, once its modules are there: goes behind its walls, then runs jobs, one at a time.

It reads them from standard input. A message is its length, in four bytes, and what follows: on the way in
`marshal`'s form, for the runner has the same Python and is trusted; on the way out JSON. The first one out
tells about the walls.
"""

from __future__ import annotations

import gc
import json
import marshal
import os
import signal
import struct
import sys
import warnings
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from linewise_training.execution import namespaces as ns
from linewise_training.execution.compiled_job import Drive, run_compiled
from linewise_training.execution.driver import drive
from linewise_training.execution.folder import Folder
from linewise_training.execution.job import job_from_json, verdict_to_json
from linewise_training.execution.languages import GoTools
from linewise_training.execution.limits import Limits, apply_common
from linewise_training.execution.preload import Hooks
from linewise_training.execution.python_job import PythonJobs
from linewise_training.execution.sandbox import Walls, enter
from linewise_training.execution.translator import Translator
from linewise_training.execution.zygote import Zygote

_LENGTH = struct.Struct(">I")
_CHUNK = 1 << 16


def work(hooks: Hooks) -> None:
    """Serve until standard input ends. In the process of another language's program: run that."""
    settings = json.loads(sys.argv[1])
    limits = Limits(**settings["limits"])
    source, target = os.dup(0), os.dup(1)
    nothing = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1):
        os.dup2(nothing, fd)
    ns.die_with_parent(signal.SIGKILL)
    ns.adopt_orphans()
    processors = tuple(os.sched_getaffinity(0))
    if settings["processor"] is not None:
        os.sched_setaffinity(0, {settings["processor"]})
    walls = enter(settings["shown"], try_namespaces=settings["namespaces"])
    walls = replace(walls, processors=processors)
    sys.path[:] = [path for path in sys.path if os.path.isdir(path)]  # noqa: PTH112
    sys.path_importer_cache.clear()  # as `importlib.invalidate_caches` does, which loads much from 3.13 on
    sys.dont_write_bytecode = True  # our own is written; in a job's folder it would be a change
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    folder = None
    if walls.namespaces:
        apply_common(limits)
        folder = Folder(limits)
    zygote = Zygote(walls, limits, hooks)
    gc.freeze()
    gc.enable()
    warnings.simplefilter("error", SyntaxWarning)  # see `python_job.compiled`
    with suppress(BrokenPipeError):
        _write(target, {"walls": asdict(walls)})
        task = _serve(source, target, walls, limits, zygote, folder)
        if task:
            drive(task.program, task.mark)


def _serve(
    source: int, target: int, walls: Walls, limits: Limits, zygote: Zygote, folder: Folder | None
) -> Drive | None:
    """Answer each job; in a program's own process return what it is to run, so that little is below it."""
    translator = Translator(walls, limits)
    run_python = PythonJobs(zygote, walls, limits, folder)
    messages = _Messages(source)
    while (row := messages()) is not None:
        others = translator.processes | {zygote.pid}
        if row["language"] == "python":
            _write(target, run_python(row, others))
            continue
        go = GoTools(**row["go"]) if row.get("go") else None
        verdict = run_compiled(job_from_json(row), walls, limits, translator, others, go)
        if isinstance(verdict, Drive):
            return verdict
        _write(target, verdict_to_json(verdict))
    return None


class _Messages:
    """What comes in, message by message."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._read = bytearray()

    def __call__(self) -> dict[str, Any] | None:
        """The next one, or none where all has come."""
        end = _LENGTH.size
        while len(self._read) < end or len(self._read) < (
            end := _LENGTH.size + _LENGTH.unpack_from(self._read)[0]
        ):
            chunk = os.read(self._fd, _CHUNK)
            if not chunk:
                return None
            self._read += chunk
        found: dict[str, Any] = marshal.loads(self._read[_LENGTH.size : end])
        del self._read[:end]
        return found


def _write(fd: int, message: dict[str, Any]) -> None:
    encoded = json.dumps(message).encode()
    rest = memoryview(_LENGTH.pack(len(encoded)) + encoded)
    while rest:
        rest = rest[os.write(fd, rest) :]
