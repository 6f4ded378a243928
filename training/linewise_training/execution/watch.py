"""The worker's side of a job: hears its process and bounds its time and memory."""

from __future__ import annotations

import _socket
import os
import select
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from linewise_training.execution.limits import Limits
from linewise_training.execution.sandbox import Launched, Walls, descendants, end, read_proc

_CREDENTIALS = struct.Struct("iII")  # process, user, group: the kernel's word on who sent a message
_EXTRA = _socket.CMSG_SPACE(_CREDENTIALS.size)
_PACKET = 1 << 16
_LOOK_SECONDS = 0.1
_WAITING = 8  # messages of at most 12 kB: below what a socket holds
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Ended(NamedTuple):
    """How a process ended: exit status (negative: signal), what it printed, why it was stopped if it was."""

    status: int
    output: bytes
    timed_out: bool
    too_much: str
    """What it used too much of, or nothing."""


def channel() -> tuple[_socket.socket, _socket.socket]:
    """The worker's and the process's end of a channel of whole messages."""
    # Of the type below that of `socket`, which does the same by a dozen functions of Python.
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    ours.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 1)
    return ours, theirs


def watch(
    launched: Launched,
    walls: Walls,
    limits: Limits,
    deadline: float,
    ours: _socket.socket,
    hear: Callable[[bytes], bool],
    others: frozenset[int] = frozenset(),
    *,
    messages: int,
) -> Ended:
    """Wait until a process has ended or must be; then nothing of it is left.

    Args:
        launched: The process.
        walls: What it is behind.
        limits: Bounds of memory and output.
        deadline: On `time.monotonic`'s clock.
        ours: The worker's end of the channel.
        hear: Takes each message that the process itself sent, and says whether more may matter; those of its
            children are not heard.
        others: Children of this worker that are not the job's.
        messages: How many messages may come. A few wait in the channel until the process has ended, for to
            be woken by each costs both sides time.
    """
    pidfd = os.pidfd_open(launched.pid()) if launched.ended is None else launched.ended
    output = bytearray()
    timed_out, too_much, gone = False, "", False
    ready: list[int] = []
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(launched.output, select.POLLIN)
    if messages > _WAITING:
        poll.register(ours, select.POLLIN)
    try:
        looked = time.monotonic()
        while not gone:
            left = deadline - time.monotonic()
            if left <= 0:
                timed_out = True
                break
            ready = [fd for fd, _ in poll.poll(1000 * min(left, _LOOK_SECONDS))]
            if launched.output in ready and not _read_output(launched.output, output, limits.output):
                poll.unregister(launched.output)
            if ours.fileno() in ready and not _hear(ours, launched.pid(), hear):
                poll.unregister(ours.fileno())
            gone = pidfd in ready
            now = time.monotonic()
            if now - looked > _LOOK_SECONDS and not gone:
                looked = now
                if (used := _resident(walls, others)) > limits.total_memory:
                    too_much = f"{used >> 20} MiB of memory in all its processes"
                    break
        status = end(launched, walls, others, gone=gone)
        # Whoever could write was gone before the process showed that it was.
        if not (gone and walls.namespaces and launched.output not in ready):
            _drain(launched.output, output, limits.output)
        while _hear(ours, launched.pid(), hear):
            pass
        return Ended(status, bytes(output), timed_out, too_much)
    finally:
        if launched.ended is None:
            os.close(pidfd)
        os.close(launched.output)


def _read_output(fd: int, output: bytearray, most: int) -> bool:
    chunk = os.read(fd, _PACKET)
    output += chunk[: max(0, most - len(output))]
    return bool(chunk)


def _drain(fd: int, output: bytearray, most: int) -> None:
    """Take what is left; all who could write more are gone."""
    os.set_blocking(fd, False)
    with suppress(BlockingIOError):
        while _read_output(fd, output, most):
            pass


def _hear(ours: _socket.socket, pid: int, hear: Callable[[bytes], bool]) -> bool:
    """Take one message; whether there may be more that matter."""
    try:
        message, extra, _, _ = ours.recvmsg(_PACKET, _EXTRA, _socket.MSG_DONTWAIT)
    except OSError:  # nothing there
        return False
    if not message:
        return False
    for level, kind, value in extra:
        if (
            (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_CREDENTIALS)
            and len(value) >= _CREDENTIALS.size
            and _CREDENTIALS.unpack_from(value)[0] == pid
        ):
            return hear(message)
    return True


def _resident(walls: Walls, others: frozenset[int]) -> int:
    """Bytes of memory that the job's processes have; 0 where there is no `/proc`."""
    pages = 0
    for pid in descendants(lambda pid: pid not in others, walls.own_proc):
        with suppress(OSError):
            pages += int(read_proc(f"{pid}/statm", walls.own_proc).split()[1])
    return pages * _PAGE
