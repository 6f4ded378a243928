"""Reads JSONL that others made: objects with their line's number, plain or gzipped, each fault named."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from linewise.errors import LinewiseError


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number, from 1, and object of each line that is not blank; gzipped if the name ends in .gz.

    Raises:
        LinewiseError: The file cannot be read or is damaged, or a line is no JSON object.
    """
    number = 0
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8") as stream
        ):
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise LinewiseError(
                        f"{path}, line {number}: not JSON ({error}); get the file again"
                    ) from None
                if not isinstance(row, dict):
                    raise LinewiseError(f"{path}, line {number}: not a JSON object; get the file again")
                yield number, row
    except (EOFError, zlib.error, UnicodeDecodeError, gzip.BadGzipFile) as error:
        raise LinewiseError(f"{path} is damaged after line {number} ({error}); get the file again") from None
    except OSError as error:
        raise LinewiseError(f"{path} cannot be read ({error.strerror or error}); check its name") from None
