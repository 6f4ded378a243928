"""A JSONL file that a killed run can go on with: whole lines stay, a torn last line is cut off."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from linewise.errors import LinewiseError
from linewise_training.lock import open_alone

_EVERY = 1.0  # seconds between two waits for the disk: the most that a power cut loses


class JsonlFile:
    """Appends rows to the file at `path`; `rows` are those that stood there. Use it as a context manager.

    Raises LinewiseError for a file that another run is writing, or with a line, other than a torn last one,
    that is no JSON object.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_alone(path)
        try:
            self.rows, size = _read(path)
        except BaseException:
            self._file.close()
            raise
        self._file.truncate(size)
        self._file.seek(size)
        self._synced = time.monotonic()

    def __enter__(self) -> JsonlFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            self._sync()

    def append(self, row: Mapping[str, Any]) -> None:
        """Write `row`. It survives this process at once, and a power cut within a second."""
        self._file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
        self._file.flush()
        if time.monotonic() - self._synced > _EVERY:
            self._sync()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The rows of the file, and its length in bytes without a torn last line."""
    content = path.read_bytes()
    size = content.rfind(b"\n") + 1
    rows = []
    for number, line in enumerate(content[:size].split(b"\n")[:-1], 1):
        try:
            row = json.loads(line.decode("utf-8", "surrogatepass"))
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise LinewiseError(
                f"{path}, line {number}: not a JSON object; remove the file, or choose another --out"
            )
        rows.append(row)
    return rows, size
