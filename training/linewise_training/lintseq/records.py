"""Read programs one after another from a JSONL or Parquet file, and name the lines that are none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from linewise.errors import LinewiseError

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Record:
    """An instruction and a program, of line or row `index`; the input was read up to `position`."""

    index: int
    position: int
    instruction: str
    program: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Line or row `index` holds no program, for `reason`."""

    index: int
    position: int
    reason: str


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its suffix; every other file is JSONL."""
    return path.suffix.lower() == ".parquet"


def extent(path: Path) -> int:
    """The `position` of a file's end: bytes of a JSONL file, rows of a Parquet file. Raises OSError."""
    if not is_parquet(path):
        return path.stat().st_size
    from linewise_training.lintseq import parquet  # noqa: PLC0415 (pyarrow is slow to import, and not always needed)

    return parquet.count_rows(path)


def read_records(path: Path, start: int = 0) -> Iterator[Record | Unreadable]:
    """The programs of a file from line or row `start` on, one at a time, so that a file may be of any size.

    Raises LinewiseError for a Parquet file without a column `program`, OSError where the file cannot be read.
    """
    return _parquet_rows(path, start) if is_parquet(path) else _lines(path, start)


def _lines(path: Path, start: int) -> Iterator[Record | Unreadable]:
    # Bytes, so that a line in another encoding is one bad line and not the end of the run.
    with path.open("rb") as stream:
        position = 0
        for index, line in enumerate(stream):
            position += len(line)
            if index >= start:
                yield _parsed(index, position, line)


def _parsed(index: int, position: int, line: bytes) -> Record | Unreadable:
    try:
        # Some editors on Windows begin a file with a byte order mark.
        row = json.loads(line.decode("utf-8-sig" if index == 0 else "utf-8"))
    except UnicodeDecodeError as error:
        return Unreadable(index, position, f"not UTF-8: {error.reason} at byte {error.start} of the line")
    except RecursionError:
        return Unreadable(index, position, "not a program: the line is nested too deeply")
    except ValueError as error:
        reason = f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else error
        return Unreadable(index, position, f"not a program: the line is not JSON: {reason}")
    if not isinstance(row, dict) or "program" not in row:
        return Unreadable(index, position, 'not a program: the line is not {"instruction", "program"}')
    try:
        return _record(index, position, row.get("instruction", ""), row["program"])
    except TypeError as error:
        return Unreadable(index, position, f"not a program: {error}")


def _parquet_rows(path: Path, start: int) -> Iterator[Record | Unreadable]:
    from linewise_training.lintseq import parquet  # noqa: PLC0415

    for index, (instruction, program) in enumerate(islice(parquet.read_rows(path), start, None), start):
        try:
            yield _record(index, index + 1, _text(instruction), _text(program))
        except UnicodeDecodeError as error:
            yield Unreadable(index, index + 1, f"not UTF-8: {error.reason} at byte {error.start} of the text")
        except TypeError as error:
            yield Unreadable(index, index + 1, f"not a program: {error}")


def _text(value: object) -> object:
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _record(index: int, position: int, instruction: object, program: object) -> Record | Unreadable:
    if not isinstance(program, str) or not isinstance(instruction, str):
        raise TypeError("instruction and program must be strings")
    try:
        (instruction + program).encode("utf-8")
    except UnicodeEncodeError as error:
        # JSON can spell half of a surrogate pair, which no file can hold.
        return Unreadable(index, position, f"not UTF-8: {error.reason} at character {error.start}")
    return Record(index, position, instruction, program)


def file_identity(path: Path) -> str:
    """What tells a file from another: its size and the hash of its first mebibyte.

    Raises LinewiseError where it cannot be read, and for a compressed one: none of its lines would be one.
    """
    try:
        with path.open("rb") as stream:
            begin = stream.read(1 << 20)
            size = path.stat().st_size
    except OSError as error:
        raise LinewiseError(f"cannot read {path}: {error.strerror}") from error
    if begin.startswith(_GZIP):
        raise LinewiseError(f"{path} is compressed; unpack it first (gzip -dk), and name the unpacked file")
    return f"{size}:{hashlib.sha256(begin).hexdigest()}"
