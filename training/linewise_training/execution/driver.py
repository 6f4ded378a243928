"""Compiles and runs a program of another language, inside a job's process.

The driver is the job's first process: those that it starts can neither kill it (it is process 1 of their
namespace) nor read its memory. A program has run to its end when it exits with 0 and its harness has written
the mark, which it got by standard input before the code under test started.
"""

from __future__ import annotations

import json
import os
from typing import NoReturn

from linewise_training.execution import checker
from linewise_training.execution.languages import Program
from linewise_training.execution.namespaces import hide_memory
from linewise_training.execution.sandbox import CHANNEL

_STEP = 1


def drive(program: Program, mark: bytes) -> NoReturn:
    """Build and run a program, tell how it went, and end the process.

    Args:
        program: What to build and run.
        mark: What the worker takes for success.
    """
    hide_memory()
    os.set_inheritable(CHANNEL, False)
    for name, text in program.files.items():
        with open(name, "w", encoding="utf-8", errors="surrogatepass") as stream:  # noqa: PTH123
            stream.write(text)
    for command in program.build:
        status = _wait(_start(command))
        if status:
            _tell(checker.COMPILE, f"{command[0].rpartition('/')[2]} ended with status {status}")
    inner = os.urandom(len(mark)).hex().encode()[: len(mark)]
    there, back = os.pipe(), os.pipe()
    os.write(there[1], inner)
    os.close(there[1])
    pid = _start(program.run, [(os.POSIX_SPAWN_DUP2, there[0], 0), (os.POSIX_SPAWN_DUP2, back[1], CHANNEL)])
    os.close(back[1])
    status = _wait(pid)
    os.set_blocking(back[0], False)
    try:
        said = os.read(back[0], 4096)
    except BlockingIOError:
        said = b""
    if status == 0 and said == inner:
        os.write(CHANNEL, mark)
        os._exit(0)
    if program.compile_status and status == program.compile_status:
        _tell(checker.COMPILE, "the program does not compile")
    if status == 0:
        _tell(checker.RAISED, "the program exited with status 0 before the test was done")
    if status < 0:
        _tell(checker.RAISED, f"the program was killed by signal {-status}")
    _tell(checker.RAISED, f"the program exited with status {status}")


def _start(command: tuple[str, ...], actions: list[tuple[int, int, int]] | None = None) -> int:
    try:
        return os.posix_spawnp(command[0], list(command), os.environ, file_actions=actions or [])
    except OSError as error:
        _tell(checker.MISSING, f"{command[0]} cannot be started: {error.strerror}")


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _tell(kind: str, message: str) -> NoReturn:
    os.write(CHANNEL, json.dumps({"step": _STEP, "kind": kind, "message": message}).encode())
    os._exit(1)
