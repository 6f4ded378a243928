"""One writer for a file at a time, by a lock that the system frees when its process ends, however it ends.

Not on Windows, where nothing is locked. Processes on two machines see each other's locks only where the file
system that they share has such locks.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from linewise.errors import LinewiseError

if sys.platform != "win32":
    import fcntl


def open_alone(path: Path) -> BinaryIO:
    """Open `path` to read and write, made where it is not there, and locked until it is closed.

    Raises LinewiseError where another process holds it or it is no file, OSError where it cannot be opened.
    """
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise LinewiseError(f"{path} is a device or a pipe; choose an --out that is a file")
            if _take(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _take(file: BinaryIO, path: Path) -> bool:
    """Lock `file`; False where it stands at `path` no more, because the run that held it removed it."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LinewiseError(
            f"another run is writing {path}; wait until it has ended, or choose another --out"
        ) from None
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
