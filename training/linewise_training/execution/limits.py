"""How much of the machine one job may use, and the resource limits that hold it to that."""

from __future__ import annotations

import resource
from dataclasses import dataclass

_MORE_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one job. Sizes are in bytes."""

    memory: int = 2 << 30
    """Of one process: address space, or data segments where a runtime reserves more than it uses."""
    total_memory: int = 3 << 30
    """Resident, of all processes of a job together."""
    disk: int = 64 << 20
    """Of the job's folder, and of any one file."""
    files: int = 4096
    """Files and folders that the job's folder holds, where it is a file system of its own."""
    processes: int = 128
    """Processes and threads at one time."""
    open_files: int = 256
    output: int = 64 << 10
    """What is kept of what it prints; the rest is read and thrown away."""


def apply_common(limits: Limits) -> None:
    """Bound this process and all that it starts by what does not depend on the job.

    A worker whose user its jobs share does so once, for its jobs inherit it.
    """
    _lower(resource.RLIMIT_FSIZE, limits.disk)
    _lower(resource.RLIMIT_NOFILE, limits.open_files)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_MEMLOCK, 0)
    _lower(resource.RLIMIT_MSGQUEUE, 0)


def apply_limits(limits: Limits, seconds: float | None, *, reserves: bool, threads: int = 0) -> None:
    """Bound this process and all that it starts by what may depend on the job.

    Args:
        limits: The bounds.
        seconds: Wall time that the job has, see `processor_seconds`; not bounded here if none.
        reserves: Whether a runtime that reserves much more address space than it uses will run (Java, V8,
            Go): then data segments are bounded instead.
        threads: What the user runs besides, where the limit of processes counts all that is theirs.
    """
    _lower(resource.RLIMIT_DATA if reserves else resource.RLIMIT_AS, limits.memory)
    if seconds is not None:
        _lower(resource.RLIMIT_CPU, processor_seconds(seconds))
    _lower(resource.RLIMIT_NPROC, limits.processes + threads)


def processor_seconds(seconds: float) -> int:
    """The bound of a process's processor time, a little above the wall time that it has."""
    return int(seconds) + _MORE_SECONDS


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (bound, bound))
