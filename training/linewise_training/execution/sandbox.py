"""The walls around code under test: once for a worker (its view of the system), and again for each job.

A worker enters namespaces of its own: a user that is nobody outside, a root that holds the system's programs
read-only and nothing of the user's, a network without interfaces. Each job gets on top of that process IDs,
`/proc`, `/tmp` and shared memory of its own, which end with it. Where the kernel does not allow namespaces,
what is left is resource limits, an unprivileged user where the runner is root, and killing descendants.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from linewise_training.execution import namespaces as ns
from linewise_training.execution.folder import WORK, mount_folder
from linewise_training.execution.limits import Limits, apply_common, apply_limits

NOBODY = 65534
INSIDE = 1000  # the user ID inside: not 0, so that no program that is executed has a capability
CHANNEL = 3  # the file descriptor on which a job's own process tells how it goes

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_TOOLS = ("gcc", "g++", "java", "javac", "node", "tsc", "go")
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


def enter(extra: tuple[str, ...] = (), *, try_namespaces: bool = True) -> Walls:
    """Put this worker behind its walls.

    Returns in a descendant of the process that called it, which stays only to wait for that one; or in the
    caller itself where namespaces are not allowed.

    Args:
        extra: Further folders that jobs may read.
        try_namespaces: Whether to use namespaces at all.
    """
    if not try_namespaces:
        return Walls(False, "switched off", threads=_threads())
    shown = _shown(extra)
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
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if path.stat().st_uid == user:
                found += sum(1 for _ in (path / "task").iterdir())
    return found


def _unshare_and_wait(tell: int, listen: int) -> None:
    """In a new process: unshare, have IDs mapped from outside, go on as process 1 of the namespace."""
    try:
        ns.unshare(_ALL)
        ns.die_with_parent(signal.SIGKILL)  # unsharing would have cleared it
    except OSError as error:
        os.write(tell, str(error).encode())
        os._exit(1)
    os.write(tell, b"unshared")
    os.read(listen, 1)
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
            Path(f"/proc/{pid}/setgroups").write_text("deny", encoding="ascii")
        Path(f"/proc/{pid}/uid_map").write_text(f"{INSIDE} {user} 1\n", encoding="ascii")
        Path(f"/proc/{pid}/gid_map").write_text(f"{INSIDE} {group} 1\n", encoding="ascii")
    except OSError as error:
        return str(error)
    return ""


def _shown(extra: tuple[str, ...]) -> list[str]:
    """The folders that jobs see: the system's, this Python's, those of compilers elsewhere."""
    found = [*extra, sys.prefix, sys.base_prefix]
    found += [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    for tool in _TOOLS:
        where = shutil.which(tool)
        if where:
            found += [str(Path(where).parent), str(Path(where).resolve().parent.parent)]
    kept: list[str] = []
    for path in sorted({str(Path(name).absolute()) for name in found if Path(name).is_dir()}):
        inside = (*_SYSTEM, *kept)
        if path != "/" and not any(path == other or path.startswith(f"{other}/") for other in inside):
            kept.append(path)
    return kept


def _build(shown: list[str]) -> Walls:
    """Become the mapped user and make the root that jobs see."""
    # Opened by whom we still are: to the mapped user the way there may be shut, to jobs it need not be.
    sources = [path for path in (*_SYSTEM, *shown) if Path(path).exists()]
    opened = {path: os.open(path, os.O_PATH) for path in sources if not Path(path).is_symlink()}
    devices = {name: os.open(f"/dev/{name}", os.O_PATH) for name in _DEVICES if Path("/dev", name).exists()}
    with suppress(PermissionError):  # where the outer user is not root, groups cannot be changed
        os.setgroups([])
    os.setresgid(INSIDE, INSIDE, INSIDE)
    os.setresuid(INSIDE, INSIDE, INSIDE)
    ns.die_with_parent(signal.SIGKILL)  # changing the user has cleared it
    ns.mount(None, "/", None, ns.MS_REC | ns.MS_PRIVATE)
    root = tempfile.gettempdir()  # hidden by the new root, hence opened before
    ns.mount("tmpfs", root, "tmpfs", ns.MS_NOSUID, "size=1m,mode=755")
    for path in sources:
        target = root + path
        if path not in opened:
            Path(target).symlink_to(Path(path).readlink())
            continue
        Path(target).mkdir(parents=True, exist_ok=True)
        ns.mount(f"/proc/self/fd/{opened[path]}", target, None, ns.MS_BIND | ns.MS_REC)
        ns.read_only(target, recursive=True)
    for name in ("proc", "tmp", "dev", "home", "root"):
        Path(root, name).mkdir(exist_ok=True)
    for name, fd in devices.items():
        Path(root, "dev", name).touch()
        ns.mount(f"/proc/self/fd/{fd}", f"{root}/dev/{name}", None, ns.MS_BIND)
    for name, target in (("shm", "/tmp"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"),
                         ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")):  # fmt: skip
        Path(root, "dev", name).symlink_to(target)
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
        Path("/proc/sys/user/max_user_namespaces").write_text("0", encoding="ascii")
    # Not taken away: the kernel mounts a further one only where one is.
    ns.mount("tmpfs", "/proc", "tmpfs", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC, "size=4k,mode=555")
    ns.read_only("/proc", recursive=False)
    ns.bound_capabilities()
    ns.forbid_new_privileges()
    ns.hide_memory()
    os.environ["HOME"] = os.environ["TMPDIR"] = WORK
    return Walls(True, proc=proc, own_pids=own_pids, own_proc=own_proc)


class Launched(NamedTuple):
    """A job's process as its worker sees it: process ID, its channel, what it prints, a folder to remove."""

    pid: int
    channel: int
    output: int
    folder: str | None


def launch(
    walls: Walls, limits: Limits, seconds: float, channel: int, *, reserves: bool, mounts: bool = True
) -> Launched | None:
    """Start a process behind the walls of one job: nothing there but a fresh folder, which is where it is.

    Args:
        walls: What `enter` returned.
        limits: Bounds of the job.
        seconds: Wall time that it has.
        channel: A socket's file descriptor; there it is `CHANNEL`.
        reserves: See `apply_limits`.
        mounts: Whether it gets `/proc` and a folder of its own; if not, it finds what the worker has put
            there, and is where the worker is.

    Returns:
        In the worker the process; in the process itself nothing.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    folder = None if walls.namespaces else tempfile.mkdtemp(prefix="linewise-")
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
        return Launched(pid, channel, read, folder)
    try:
        _enclose(walls, limits, seconds, folder, reserves, mounts)
        _connect(write, channel)
    except BaseException as error:  # whatever it was, this process must not go on outside
        os.write(write, f"the sandbox could not be made: {error}".encode())
        os._exit(70)
    return None


def _enclose(
    walls: Walls, limits: Limits, seconds: float, folder: str | None, reserves: bool, mounts: bool
) -> None:
    os.setsid()
    if folder is None:
        if mounts:
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
            os.kill(launched.pid, signal.SIGKILL)
    # Process 1 of a namespace is gone only when all others there are.
    status = os.waitstatus_to_exitcode(os.waitpid(launched.pid, 0)[1])
    if not walls.namespaces:
        _kill_descendants(others)
    if launched.folder:
        shutil.rmtree(launched.folder, ignore_errors=True)
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
    for name in os.listdir("/proc" if proc is None else proc):  # noqa: PTH208 -- may be no path
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
