"""The walls around code under test: once for a worker (its view of the system), and again for each job.

A worker enters namespaces of its own: a user that is nobody outside, a root that holds the system's programs
read-only and nothing of the user's, a network without interfaces. Each job gets on top of that process IDs,
`/proc`, `/tmp` and shared memory of its own, which end with it. Where the kernel does not allow namespaces,
what is left is resource limits, an unprivileged user where the runner is root, and killing descendants.

Imports are few, since each job has them in its process: no `pathlib`, and at the top neither `shutil` nor
`tempfile`.
"""

# ruff: noqa: PTH103, PTH110, PTH114, PTH115, PTH116, PTH123, PTH208, PTH211, PLC0415

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from linewise_training.execution import namespaces as ns
from linewise_training.execution.folder import TMP, WORK, mount_folder
from linewise_training.execution.limits import Limits, apply_common, apply_limits

NOBODY = 65534
INSIDE = 1000  # the user ID inside: not 0, so that no program that is executed has a capability
CHANNEL = 3  # the file descriptor on which a job's own process tells how it goes

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_ALL = (
    ns.CLONE_NEWUSER | ns.CLONE_NEWNS | ns.CLONE_NEWPID | ns.CLONE_NEWNET | ns.CLONE_NEWIPC | ns.CLONE_NEWUTS
)


@dataclass(frozen=True, slots=True)
class Walls:
    """What this worker is behind; `reason` says why there are no namespaces, `proc` why no `/proc`."""

    namespaces: bool
    reason: str = ""
    proc: str = ""
    own_pids: int = -1
    """A file descriptor of the worker's own namespace of process IDs."""
    own_proc: int | None = None
    """One of the worker's own `/proc`, which is hidden from jobs: they have its user ID."""
    threads: int = 0
    """Without namespaces: what the jobs' user ran before, which counts against the limit of processes."""
    processors: tuple[int, ...] = ()
    """On which jobs may run, whichever the worker keeps to."""


def enter(shown: list[str], *, try_namespaces: bool = True) -> Walls:
    """Put this worker behind its walls.

    Returns in a descendant of the process that called it, which stays only to wait for that one; or in the
    caller itself where namespaces are not allowed.

    Args:
        shown: Folders that jobs may read, besides `SYSTEM`.
        try_namespaces: Whether to use namespaces at all.
    """
    if not try_namespaces:
        return Walls(False, "switched off", threads=_threads())
    asked, answered = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        _unshare_and_wait(asked[1], answered[0])
        try:
            walls = _build(shown)
            os.write(asked[1], b"built")
        except OSError as error:
            os.write(asked[1], str(error).encode())
            os._exit(1)
        for fd in (*asked, *answered):
            os.close(fd)
        return walls
    for fd in (asked[1], answered[0]):
        os.close(fd)
    problem = os.read(asked[0], 4096).decode()
    if problem == "unshared":
        problem = _map_ids(pid)
        os.write(answered[1], b"\0")
        if not problem:
            problem = os.read(asked[0], 4096).decode()
    if problem == "built":
        with suppress(KeyboardInterrupt):
            os.waitpid(pid, 0)
        os._exit(0)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for fd in (asked[0], answered[1]):
        os.close(fd)
    return Walls(False, problem or "the process that was to enter them died", threads=_threads())


def _threads() -> int:
    """How many threads the user has whom jobs without namespaces run as."""
    user, found = (os.geteuid() or NOBODY), 0
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == user:
                found += len(os.listdir(f"/proc/{name}/task"))
    return found


def _unshare_and_wait(tell: int, listen: int) -> None:
    """In a new process: unshare, have IDs mapped from outside, go on in the namespace."""
    try:
        ns.unshare(_ALL)
        ns.die_with_parent(signal.SIGKILL)  # unsharing would have cleared it
    except OSError as error:
        os.write(tell, str(error).encode())
        os._exit(1)
    os.write(tell, b"unshared")
    os.read(listen, 1)
    for _ in range(2):  # into the namespace; and away from its process 1, which an alarm would not end
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            os._exit(0)
        ns.die_with_parent(signal.SIGKILL)


def _map_ids(pid: int) -> str:
    """Map the namespace's user and group; what went wrong, or nothing."""
    root = os.geteuid() == 0
    user, group = (NOBODY, NOBODY) if root else (os.geteuid(), os.getegid())
    try:
        if not root:
            _write(f"/proc/{pid}/setgroups", "deny")
        _write(f"/proc/{pid}/uid_map", f"{INSIDE} {user} 1\n")
        _write(f"/proc/{pid}/gid_map", f"{INSIDE} {group} 1\n")
    except OSError as error:
        return str(error)
    return ""


def _build(shown: list[str]) -> Walls:
    """Become the mapped user and make the root that jobs see."""
    # Opened by whom we still are: to the mapped user the way there may be shut, to jobs it need not be.
    sources = [path for path in (*SYSTEM, *shown) if os.path.exists(path)]
    opened = {path: os.open(path, os.O_PATH) for path in sources if not os.path.islink(path)}
    devices = {
        name: os.open(f"/dev/{name}", os.O_PATH) for name in _DEVICES if os.path.exists(f"/dev/{name}")
    }
    with suppress(PermissionError):  # where the outer user is not root, groups cannot be changed
        os.setgroups([])
    os.setresgid(INSIDE, INSIDE, INSIDE)
    os.setresuid(INSIDE, INSIDE, INSIDE)
    ns.die_with_parent(signal.SIGKILL)  # changing the user has cleared it
    ns.mount(None, "/", None, ns.MS_REC | ns.MS_PRIVATE)
    root = TMP  # hidden by the new root; what lies below it is opened
    ns.mount("tmpfs", root, "tmpfs", ns.MS_NOSUID, "size=1m,mode=755")
    for path in sources:
        target = root + path
        if path not in opened:
            os.symlink(os.readlink(path), target)
            continue
        os.makedirs(target, exist_ok=True)
        ns.mount(f"/proc/self/fd/{opened[path]}", target, None, ns.MS_BIND | ns.MS_REC)
        ns.read_only(target, recursive=True)
    for name in ("proc", "tmp", "dev", "home", "root"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    for name, fd in devices.items():
        _write(f"{root}/dev/{name}", "")
        ns.mount(f"/proc/self/fd/{fd}", f"{root}/dev/{name}", None, ns.MS_BIND)
    for name, target in (("shm", "/tmp"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"),
                         ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")):  # fmt: skip
        os.symlink(target, f"{root}/dev/{name}")
    proc = ""
    try:
        ns.mount("proc", f"{root}/proc", "proc", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC)
    except OSError as error:  # a container that hides parts of its own /proc
        proc = str(error)
    own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    own_proc = os.open(f"{root}/proc", os.O_RDONLY | os.O_CLOEXEC)
    ns.pivot_root(root)
    for fd in (*opened.values(), *devices.values()):
        os.close(fd)
    ns.read_only("/", recursive=False)
    with suppress(OSError):  # a further wall, not one that others lean on
        _write("/proc/sys/user/max_user_namespaces", "0")
    # Not taken away: the kernel mounts a further one only where one is.
    ns.mount("tmpfs", "/proc", "tmpfs", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC, "size=4k,mode=555")
    ns.read_only("/proc", recursive=False)
    ns.bound_capabilities()
    ns.forbid_new_privileges()
    ns.hide_memory()
    os.environ["HOME"] = os.environ["TMPDIR"] = WORK
    return Walls(True, proc=proc, own_pids=own_pids, own_proc=own_proc)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)


class Launched(NamedTuple):
    """A job's process as its worker sees it."""

    pid: Callable[[], int]
    """Its process ID, once it has one."""
    output: int
    """A file descriptor: what it prints."""
    folder: str | None
    """To be removed."""
    ended: int | None = None
    """A file descriptor on which it shows that it has ended, where it is no child of the worker's."""
    status: Callable[[], int] | None = None
    """Waits for its exit status, where it is no child of the worker's."""


def launch(walls: Walls, limits: Limits, seconds: float, channel: int, *, reserves: bool) -> Launched | None:
    """Start a process behind the walls of one job: nothing there but a fresh folder, which is where it is.

    Args:
        walls: What `enter` returned.
        limits: Bounds of the job.
        seconds: Wall time that it has.
        channel: A socket's file descriptor; there it is `CHANNEL`.
        reserves: See `apply_limits`.

    Returns:
        In the worker the process; in the process itself nothing.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    folder = job_folder(walls)
    if walls.namespaces:
        # The worker's own shared memory, which it has no use for, is from now on the job's.
        ns.unshare(ns.CLONE_NEWPID | ns.CLONE_NEWIPC)
    try:
        pid = os.fork()
    except OSError:
        if walls.namespaces:
            ns.setns(walls.own_pids, ns.CLONE_NEWPID)
        raise
    if pid:
        if walls.namespaces:
            ns.setns(walls.own_pids, ns.CLONE_NEWPID)
        os.close(write)
        return Launched(lambda: pid, read, folder)
    settle(walls, limits, seconds, folder, channel, write, reserves=reserves)
    return None


def job_folder(walls: Walls) -> str | None:
    """A fresh folder for a job, where there are no namespaces to give it a file system of its own."""
    if walls.namespaces:
        return None
    from tempfile import mkdtemp

    return mkdtemp(prefix="linewise-")


def settle(
    walls: Walls, limits: Limits, seconds: float, folder: str | None, channel: int, output: int, *,
    reserves: bool = False,
) -> None:  # fmt: skip
    """In a job's new process: go behind the walls of the job, or end.

    Args:
        walls: What the worker is behind.
        limits: Bounds of the job.
        seconds: Wall time that it has.
        folder: From `job_folder`; where there are namespaces, the job gets one of its own, and `/proc`.
        channel: A socket's file descriptor, that becomes `CHANNEL`.
        output: Where to print, a file descriptor.
        reserves: See `apply_limits`.
    """
    try:
        _enclose(walls, limits, seconds, folder, reserves)
        _connect(output, channel)
    except BaseException as error:  # whatever it was, this process must not go on outside
        fail(output, error)


def prepare(walls: Walls, limits: Limits) -> None:
    """In the process that Python jobs are forked from: what need not be done in each of them."""
    nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for number in (0, 1, 2, CHANNEL):
        os.dup2(nothing, number)
    os.close(nothing)
    if walls.namespaces:
        apply_limits(limits, None, reserves=False)


def fail(output: int, error: BaseException) -> NoReturn:
    """End a job's process that could not go behind its walls."""
    os.write(output, f"the sandbox could not be made: {error}".encode())
    os._exit(70)


def _enclose(walls: Walls, limits: Limits, seconds: float, folder: str | None, reserves: bool) -> None:
    os.setsid()
    os.sched_setaffinity(0, walls.processors)
    if folder is None:
        ns.unshare(ns.CLONE_NEWNS)
        if not walls.proc:
            ns.mount("proc", "/proc", "proc", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC)
        mount_folder(limits)
        ns.drop_capabilities()
    else:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        os.chdir(folder)
        os.environ["HOME"] = os.environ["TMPDIR"] = folder
        ns.forbid_new_privileges()
        ns.hide_memory()
        apply_common(limits)
    apply_limits(limits, seconds, reserves=reserves, threads=walls.threads)


def _connect(output: int, channel: int) -> None:
    channel, output = (os.dup(fd) for fd in (channel, output))  # above those that are taken now
    nothing = os.open("/dev/null", os.O_RDONLY)
    for fd, number in ((nothing, 0), (output, 1), (output, 2), (channel, CHANNEL)):
        os.dup2(fd, number)
    os.closerange(CHANNEL + 1, 1 << 16)


def end(launched: Launched, walls: Walls, others: frozenset[int] = frozenset(), *, gone: bool = False) -> int:
    """Kill a job's processes and remove its folder; the exit status, a signal as a negative number.

    Args:
        launched: The job's own process.
        walls: What it is behind.
        others: Children of this worker that are not the job's.
        gone: Whether that process has ended already.
    """
    if not gone:
        with suppress(ProcessLookupError):
            os.kill(launched.pid(), signal.SIGKILL)
    # Process 1 of a namespace is gone only when all others there are.
    status = (
        launched.status() if launched.status else os.waitstatus_to_exitcode(os.waitpid(launched.pid(), 0)[1])
    )
    if not walls.namespaces:
        _kill_descendants(others)
    if launched.folder:
        from shutil import rmtree

        rmtree(launched.folder, ignore_errors=True)
    return status


def _kill_descendants(others: frozenset[int]) -> None:
    """Kill what a job left behind; this worker has adopted it (PR_SET_CHILD_SUBREAPER)."""
    while children := list(descendants(lambda pid: pid not in others)):
        for pid in children:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            with suppress(ChildProcessError):  # its parent is not dead yet
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.001)


def descendants(keep: Callable[[int], bool] = lambda _: True, proc: int | None = None) -> Iterator[int]:
    """Process IDs of all descendants of this process; those not waited for, too.

    Args:
        keep: Which of them.
        proc: A file descriptor of `/proc`, where that is hidden.
    """
    parents: dict[int, int] = {}
    for name in os.listdir("/proc" if proc is None else proc):
        if name.isdigit():
            with suppress(OSError):
                after_name = read_proc(f"{name}/stat", proc)
                parents[int(name)] = int(after_name.rpartition(")")[2].split()[1])
    own = os.getpid()
    for pid in parents:
        above, steps = pid, 0
        while above in parents and above != own and steps < len(parents):
            above, steps = parents[above], steps + 1
        if above == own and pid != own and keep(pid):
            yield pid


def read_proc(name: str, proc: int | None = None) -> str:
    """A file of `/proc`, or of the one that a file descriptor stands for."""
    with open(
        f"/proc/{name}", encoding="utf-8", errors="replace",
        opener=None if proc is None else lambda _, flags: os.open(name, flags, dir_fd=proc),
    ) as stream:  # fmt: skip
        return stream.read()
