"""The process that a worker's Python jobs are forked from.

It has what they use and as little else as can be: a fork and an exit cost time by every page of memory that
is there, and by every page that either side writes to afterwards. So the worker, which compiles, waits and
judges, is another process.
"""

from __future__ import annotations

import _socket
import ctypes
import gc
import importlib
import marshal
import os
import random
import select
import signal
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from linewise_training.execution import checker
from linewise_training.execution import namespaces as ns
from linewise_training.execution.checker import check, lay_ready
from linewise_training.execution.entry import Calls, Entry, begin
from linewise_training.execution.folder import WORK
from linewise_training.execution.in_turn import ROOM, calls_in_turn
from linewise_training.execution.limits import Limits
from linewise_training.execution.memory import Number, Ranges, map_apart, mend
from linewise_training.execution.memory import settle as settle_memory
from linewise_training.execution.preload import RARE, Hooks, fill_gaps, lay_together
from linewise_training.execution.sandbox import (
    CHANNEL,
    Launched,
    Walls,
    job_folder,
    prepare,
    read_proc,
    settle,
)
from linewise_training.execution.system_v import anything_left

_SIZE = 4  # bytes of a number in a message
_HEAD = 2 * _SIZE  # of a message: bytes that follow, seconds that the job has
_STEP_SECONDS = 0.001
_LONGEST = 1 << 30  # seconds: more than a job can use
_EXTRA = _socket.CMSG_SPACE(2 * _SIZE)
# Loaded as well without namespaces: nobody, whom jobs then run as, may not be let into root's Python.
_UNREADABLE = (
    *RARE, "concurrent.futures", "logging", "pathlib", "pickle", "platform", "secrets", "select", "shutil",
    "signal", "socket", "subprocess", "tempfile",
)  # fmt: skip
_FORK = ns.CLONE_PARENT_SETTID | ns.CLONE_NEWPID | signal.SIGCHLD
_FIRST = 1  # process ID of a job in its own eyes, and of no other process here
_RUNS = -1  # no status of the kernel's
_libc = ctypes.PyDLL(None)  # keeps Python's lock, which a child would have to take
_MEND = 64  # jobs, after which it pays to look
_OBJECTS = 50_000  # that a job makes before the first collection


class Zygote:
    """The worker's end of the socket to it."""

    def __init__(self, walls: Walls, limits: Limits, hooks: Hooks) -> None:
        """Start it; it ends with the worker."""
        self._walls = walls
        self._control, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._job = Number()
        gc.collect()  # it would copy pages after the fork
        self.pid = os.fork()
        if self.pid == 0:
            self._control.close()
            ns.die_with_parent(signal.SIGKILL)
            _fork_jobs(theirs, walls, limits, hooks, self._job)
        theirs.close()

    def import_modules(self, names: list[str]) -> None:
        """Have it import modules of `RARE`, so that the jobs to come need not."""
        self._send(names, 0, [])

    def launch(self, task: list[Any], seconds: float, channel: int) -> Launched:
        """Start a job's process, which runs `checker.check`.

        Args:
            task: What `check` takes.
            seconds: Wall time that it has.
            channel: A socket's file descriptor; there it is `CHANNEL`.

        Raises:
            EOFError: The zygote has died.
        """
        read, write = os.pipe2(os.O_CLOEXEC)
        folder = job_folder(self._walls)
        self._job.value = 0
        self._send([folder, task], int(min(seconds, _LONGEST)), [channel, write])
        os.close(write)
        if not self._walls.namespaces:
            self._job.value = self._number()
        return Launched(self._job_pid, read, folder, self._control.fileno(), self._number)

    def _job_pid(self) -> int:
        while not self._job.value:  # the zygote is a step before
            if select.select([self._control], [], [], _STEP_SECONDS)[0] and not self._job.value:
                raise EOFError("the process that jobs are forked from has died")
        return self._job.value

    def _send(self, message: list[Any], seconds: int, fds: list[int]) -> None:
        encoded = marshal.dumps(message)
        encoded = len(encoded).to_bytes(_SIZE, "big") + seconds.to_bytes(_SIZE, "big") + encoded
        rights = b"".join(fd.to_bytes(_SIZE, sys.byteorder) for fd in fds)
        extra = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if fds else []
        sent = self._control.sendmsg([encoded], extra)
        if sent < len(encoded):
            self._control.sendall(encoded[sent:])

    def _number(self) -> int:
        number = b""
        while len(number) < _SIZE:
            part = self._control.recv(_SIZE - len(number))
            if not part:
                raise EOFError("the process that jobs are forked from has died")
            number += part
        return int.from_bytes(number, "big", signed=True)


def _fork_jobs(control: _socket.socket, walls: Walls, limits: Limits, hooks: Hooks, job: Number) -> NoReturn:
    """Fork a process for each job that is sent, and tell its ID and later how it ended."""
    if walls.namespaces:  # no fork of this process calls them then
        _register(hooks)
    else:
        _import(_UNREADABLE, hooks)
    prepare(walls, limits)
    gaps = fill_gaps()  # noqa: F841
    entry = Entry(walls.processors) if walls.namespaces else None
    run = lay_together(
        _serve, begin, checker.lay_ready,
        checker.check, checker.run, checker.steps, checker.step, checker.compile_source,
        checker.refuse,
    )  # fmt: skip
    if entry:
        entry.rehearse(run["begin"])
    namespace = checker.make_ready(run)
    random.seed(0)  # a verdict must not depend on luck
    gc.freeze()  # a collection in a job would copy all these pages
    gc.enable()
    gc.set_threshold(_OBJECTS)
    huge = settle_memory(read_proc("self/maps", walls.own_proc))
    forked = ctypes.c_int()
    fork = _forking(job, forked)
    job.keep()
    own = os.getpid()
    try:
        run["_serve"](control, walls, limits, hooks, namespace, entry, fork, forked, huge)
    except OSError:
        if os.getpid() != own:
            raise
    os._exit(0)  # the worker has gone


def _forking(job: Number, forked: ctypes.c_int) -> Calls:
    """What forks a job's process, with process IDs of its own, and waits until that has ended.

    A page that this process writes to meanwhile is copied, and a huge one is huge no longer. So it calls
    nothing in between, where the system has a way; else it stands still until the other begins to end.

    Args:
        job: Gets the process's ID.
        forked: Gets how the process ended, as the kernel says it; stays as it is in the process itself.
    """
    wait = _libc.wait4, (-1, ctypes.addressof(forked), 0, 0)
    try:
        return calls_in_turn(map_apart(ROOM), ns.clone(_FORK, job.pointer.value or 0), wait)
    except OSError:
        both = ns.clone(_FORK | ns.CLONE_VFORK, job.pointer.value or 0), wait
        return [(function, tuple(map(ctypes.c_long, arguments))) for function, arguments in both]


def _serve(
    control: _socket.socket,
    walls: Walls,
    limits: Limits,
    hooks: Hooks,
    namespace: dict[str, Any],
    entry: Entry | None,
    fork: Calls,
    forked: ctypes.c_int,
    huge: Ranges,
) -> None:
    """Answer until the worker is gone; a job's own process does not come back."""
    served, flush, leave, own_id = 0, sys.stdout.flush, os._exit, os.getpid
    while True:
        head, extra, _, _ = control.recvmsg(_HEAD, _EXTRA)  # no more: another message may follow
        if not head:
            return
        size, seconds = (int.from_bytes(head[at : at + _SIZE], "big") for at in (0, _SIZE))
        message = marshal.loads(control.recv(size, _socket.MSG_WAITALL))
        if not extra:
            _import(message, hooks)
            if walls.namespaces:
                _register(hooks)
            gc.freeze()
            continue
        rights = extra[0][2]
        channel = int.from_bytes(rights[:_SIZE], sys.byteorder)
        output = int.from_bytes(rights[_SIZE:], sys.byteorder)
        # Whatever can be is done before the fork, where it costs a job no pages.
        folder, task = message
        ready = lay_ready(task, namespace)
        del message, task
        if entry:
            os.chdir(WORK)  # a new one, perhaps: the job finds the mounts that the worker has put there
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.dup2(channel, CHANNEL)
            os.close(output)
            os.close(channel)
            entry.bound(seconds)
            forked.value = _RUNS
            for call, arguments in fork:
                call(*arguments)
            if own_id() == _FIRST:
                begin(entry.calls)
                # Not by those who called this: to give up its frame would write to many pages.
                check(ready, flush, leave, hooks)
            status = forked.value
        else:
            pid = os.fork()
            if pid == 0:
                settle(walls, limits, seconds, folder, channel, output)
                check(ready, flush, leave, hooks)
            control.send(pid.to_bytes(_SIZE, "big"))
            status = os.waitpid(pid, 0)[1]
        del ready
        served += 1
        control.send(_exit_status(status).to_bytes(_SIZE, "big", signed=True))
        if entry:
            _look_after(served, huge)
        else:  # not before: the end of the output would wake the worker, too
            os.close(channel)
            os.close(output)


def _look_after(served: int, huge: Ranges) -> None:
    """Have things for the next job as they were for the first one."""
    if anything_left():
        ns.unshare(ns.CLONE_NEWIPC)
    if not served % _MEND:
        mend(huge)


def _exit_status(status: int) -> int:
    if status == _RUNS:
        raise OSError("no process could be forked for a job")
    return os.waitstatus_to_exitcode(status)


def _import(names: Iterable[str], hooks: Hooks) -> None:
    """Import modules; `hooks` gets what they want to have called around a fork, see `preload`."""
    register = os.register_at_fork
    os.register_at_fork = lambda **functions: hooks.append(functions)
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        os.register_at_fork = register


def _register(hooks: Hooks) -> None:
    """Have hooks called around the forks to come, and forget them."""
    while hooks:
        os.register_at_fork(**hooks.pop(0))
