"""The server's log file: it rotates, holds no text of any document, and its trouble is not the server's."""

from __future__ import annotations

import logging
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

LARGEST_LOG = 1 << 20
"""Bytes of a log file before a new one is begun."""

KEPT_LOGS = 3

_FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class QuietRotatingFileHandler(RotatingFileHandler):
    """Drops what cannot be written, such as on a full disk, and goes on with the next record."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 -- logging's name
        """Forget the record: standard error may be gone, and serving goes on."""
        # A stream that failed keeps what it could not write, and would fail again on every later record.
        stream, self.stream = self.stream, None
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.close()


def log_to(path: Path, level: str = "info") -> None:
    """Write the records of `level` and above to the file at `path`, whose folder is made if need be.

    Where there is no such file to be had, nothing is written: a server without a log still serves.
    """
    handlers: list[logging.Handler] = [logging.NullHandler()]
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers = [
            QuietRotatingFileHandler(
                path, maxBytes=LARGEST_LOG, backupCount=KEPT_LOGS, encoding="utf-8", delay=True
            )
        ]
    logging.basicConfig(level=level.upper(), format=_FORM, handlers=handlers, force=True)


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` lines that were logged, oldest first, also from the file before where need be."""
    lines: list[str] = []
    for file in (path.with_name(f"{path.name}.1"), path):
        with suppress(FileNotFoundError):
            lines += file.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-count:] if count else []
