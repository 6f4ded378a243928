"""The system calls of namespaces, mounts and privileges, which Python has not, or only from 3.12 on."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

CLONE_VFORK = 0x00004000
CLONE_NEWNS = 0x00020000
CLONE_PARENT_SETTID = 0x00100000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_NOATIME = 1 << 10
MS_BIND = 1 << 12
MS_REC = 1 << 14
MS_PRIVATE = 1 << 18

_MNT_DETACH = 2
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_SETATTR = 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CLONE = {"x86_64": 56, "aarch64": 220}
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITIES = 64

_libc = ctypes.CDLL(None, use_errno=True)
# Made once: to make a type of array costs more than the call that takes it.
_CAPABILITY_HEADER = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
_NO_CAPABILITIES = (ctypes.c_uint32 * 6)()
# Looked up before jobs fork: what is looked up in one of them costs it a score of pages.
_capset, _unshare, _setns = _libc.capset, _libc.unshare, _libc.setns
_syscall = ctypes.PyDLL(None, use_errno=True).syscall  # keeps Python's lock, which a child would have to take
CAPSET_ARGUMENTS = ctypes.byref(_CAPABILITY_HEADER), ctypes.byref(_NO_CAPABILITIES)


def checked(result: int, what: str) -> None:
    """Raise what a system call says.

    Raises:
        OSError: It failed.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _arg(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def unshare(flags: int) -> None:
    """unshare(2).

    Raises:
        OSError: As for all functions here, the kernel refused; the message names the call.
    """
    checked(_unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """setns(2)."""
    checked(_setns(fd, kind), "setns")


def clone(flags: int, pid: int) -> tuple[Callable[..., int], tuple[int, ...]]:
    """clone(2), as a C function and its arguments: without what Python does around a fork for more threads.

    Args:
        flags: Also the signal that the parent gets.
        pid: The address where the kernel puts the child's process ID, with `CLONE_PARENT_SETTID`.
    """
    return _syscall, (_CLONE.get(os.uname().machine, -1), flags, 0, pid, 0, 0)


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(
        _arg(source), _arg(target), _arg(kind), ctypes.c_ulong(flags), _arg(options) if options else None
    )
    checked(result, f"mount {target}")


def unmount(target: str) -> None:
    """Detach a mount and what is mounted in it."""
    checked(_libc.umount2(_arg(target), _MNT_DETACH), f"umount {target}")


def read_only(target: str, *, recursive: bool) -> None:
    """Make a mount read-only, without set-user-ID programs and devices (mount_setattr, Linux 5.12)."""
    attributes = (ctypes.c_uint64 * 4)(
        _ATTR_RDONLY | _ATTR_NOSUID | (_ATTR_NODEV if recursive else 0), 0, 0, 0
    )
    result = _libc.syscall(
        ctypes.c_long(_MOUNT_SETATTR),
        ctypes.c_long(_AT_FDCWD),
        _arg(target),
        ctypes.c_long(_AT_RECURSIVE if recursive else 0),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    checked(result, f"mount_setattr {target}")


def pivot_root(new_root: str) -> None:
    """Make a mount the root and detach the old root."""
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(f"pivot_root is not known for {os.uname().machine}")
    os.chdir(new_root)
    checked(_libc.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")
    checked(_libc.umount2(b".", _MNT_DETACH), "umount of the old root")
    os.chdir("/")


def _prctl(option: int, value: int, what: str) -> None:
    args: tuple[Any, ...] = tuple(ctypes.c_ulong(number) for number in (value, 0, 0, 0))
    checked(_libc.prctl(option, *args), what)


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent dies."""
    _prctl(_PR_SET_PDEATHSIG, signal_number, "PR_SET_PDEATHSIG")


def hide_memory() -> None:
    """Forbid tracing this process, and opening its memory, to those who have its user ID, itself too."""
    _prctl(_PR_SET_DUMPABLE, 0, "PR_SET_DUMPABLE")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent has died."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, "PR_SET_CHILD_SUBREAPER")


def forbid_new_privileges() -> None:
    """Make set-user-ID programs ordinary ones, for this process and all that it starts."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "PR_SET_NO_NEW_PRIVS")


def bound_capabilities() -> None:
    """Empty the bounding set: no program that is executed gains a capability. Held ones stay."""
    for capability in range(_CAPABILITIES):
        if _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0:
            break


def drop_capabilities() -> None:
    """Give up all capabilities of this process."""
    checked(_capset(*CAPSET_ARGUMENTS), "capset")
