"""How many processor cores this process may use for arithmetic.

Matrix arithmetic gains nothing from a core's second hardware thread, and loses much from more threads than
the scheduler will run at once, so both hyper-threads and a container's quota count.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Threads:
    """Processor threads for a prompt's many tokens at once, and for generating one at a time."""

    reading: int
    generating: int


def physical_cores(cpus: Path = _CPUS, quota: Path = _QUOTA) -> int:
    """Physical cores that this process may run on, at least 1.

    On Linux: distinct cores among the allowed processors, no more than the control group's quota. On
    Windows: half of the logical processors, since its x86 machines have two threads a core. Elsewhere: all.
    """
    logical = os.cpu_count() or 1
    if sys.platform == "win32":
        return max(1, logical // 2)
    if sys.platform != "linux":
        return logical
    allowed = os.sched_getaffinity(0)
    cores = {_siblings(cpus, cpu) for cpu in allowed}
    return int(max(1, min(len(cores), _quota(quota))))


def default_threads() -> Threads:
    """All physical cores to read a prompt with, all but one to generate with.

    A generated token is computed in hundreds of short steps, and all threads must finish each: when the
    editor or a test run takes one core, every step waits for the scheduler. Measured on two busy cores with
    30M parameters in 8 bits: 6 ms a token with two threads, 2.6 ms with one.
    """
    cores = physical_cores()
    return Threads(reading=cores, generating=max(1, cores - 1))


def _siblings(cpus: Path, cpu: int) -> str:
    """The kernel's list of the hardware threads that share `cpu`'s core; `cpu` itself where it gives none."""
    try:
        return (cpus / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _quota(path: Path) -> float:
    """Cores that the control group may use, rounded up; infinity when it has no limit."""
    try:
        limit, period = path.read_text().split()
    except (OSError, ValueError):
        return math.inf
    return math.inf if limit == "max" else max(1, math.ceil(int(limit) / int(period)))
