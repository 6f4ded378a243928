"""The folder of Python jobs: a file system in memory that they share, until one of them has touched it."""

from __future__ import annotations

import os
from typing import Any

from linewise_training.execution import namespaces as ns
from linewise_training.execution.limits import Limits

TMP = "/tmp"
WORK = "/tmp/work"


def mount_folder(limits: Limits) -> None:
    """Mount a fresh file system at `TMP`, make `WORK` in it and go there."""
    options = f"size={limits.disk},nr_inodes={limits.files},mode=700"
    ns.mount("tmpfs", TMP, "tmpfs", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOATIME, options)
    os.mkdir(WORK, 0o700)  # noqa: PTH102 -- a job's every microsecond counts
    os.chdir(WORK)


class Folder:
    """What a worker's Python jobs find at `TMP`, which is all that they can write to.

    To mount a file system and to take it away costs more than most jobs. So one that a job has left as it
    found it is given to the next; another is never cleaned, but replaced as a whole.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        mount_folder(limits)
        self._found = _look()

    def renew(self) -> None:
        """Let nothing of a job that has ended be there for the next."""
        if _look() != self._found:
            os.chdir("/")
            ns.unmount(TMP)
            mount_folder(self._limits)
            self._found = _look()


def _look() -> tuple[Any, ...] | None:
    """What any change to the folders changes.

    The time of the last change tells alone but for one within the same tick of the kernel's clock: then a
    new file shows in the size, and the rest as itself.
    """
    try:
        above, work = os.stat(TMP), os.stat(WORK)  # noqa: PTH116
        attributes = os.listxattr(TMP), os.listxattr(WORK)
    except OSError:  # gone, or no way in
        return None
    return (
        above[:4], above.st_size, above.st_mtime_ns, above.st_ctime_ns, above.st_atime_ns,
        work[:4], work.st_size, work.st_mtime_ns, work.st_ctime_ns, work.st_atime_ns, attributes,
    )  # fmt: skip
