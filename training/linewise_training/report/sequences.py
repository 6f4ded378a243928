"""Reads the file that `lintseq` writes, one edit sequence a line or row, and says which is none and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from linewise.edits import Edit, EditSequence, parse_sequence
from linewise.errors import EditError, FileError
from linewise_training.lintseq.records import is_parquet


@dataclass(frozen=True, slots=True)
class WrittenSequence:
    """One line of the file: the `sample`-th edit sequence of the program at `source` in the input."""

    number: int
    """Of the line or row in the file, from 1."""
    instruction: str
    program: str
    edits: tuple[Edit, ...]
    source: int
    sample: int

    @property
    def sequence(self) -> EditSequence:
        """The edits as one value."""
        return EditSequence(self.edits)


def read_sequences(path: Path) -> Iterator[WrittenSequence]:
    """The edit sequences in `path`, in order, one in memory at a time.

    A last line without a newline at its end is left out if it is no edit sequence: a run is at it still, or
    was cut there. Raises FileError for a file that cannot be read and for another line that is none.
    """
    for number, line in _lines(path):
        try:
            written = _parse(path, number, line)
        except FileError:
            if isinstance(line, bytes) and not line.endswith(b"\n"):
                return
            raise
        yield written


def read_sequence(path: Path, number: int) -> WrittenSequence:
    """The edit sequence on line `number`, from 1, of `path`; the other lines are not looked at.

    Raises FileError for a file that cannot be read, a line that is no edit sequence, or a file without it.
    """
    for at, line in islice(_lines(path), number - 1, number):
        return _parse(path, at, line)
    count = sum(1 for _ in _lines(path))
    if not count:
        raise FileError(f"{path} is empty; name a file that `linewise train lintseq` wrote")
    raise FileError(f"{path} has no sequence {number}; choose one from 1 to {count}")


def _lines(path: Path) -> Iterator[tuple[int, bytes | dict[str, Any]]]:
    """The lines of a JSONL file, unread, or the rows of a Parquet file, each with its number from 1."""
    try:
        if is_parquet(path):
            from linewise_training.lintseq import parquet  # noqa: PLC0415 -- pyarrow is for Parquet alone

            yield from enumerate(parquet.read_sequences(path), 1)
            return
        with path.open("rb") as stream:
            yield from enumerate(stream, 1)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error


def _parse(path: Path, number: int, line: bytes | dict[str, Any]) -> WrittenSequence:
    try:
        row = json.loads(line) if isinstance(line, bytes) else line
        edits = tuple(_edit(at, text) for at, text in enumerate(_field(row, "edits", list), 1))
        return WrittenSequence(
            number,
            _field(row, "instruction", str),
            _field(row, "program", str),
            edits,
            _field(row, "source", int),
            _field(row, "sample", int),
        )
    except (ValueError, TypeError, RecursionError, EditError) as error:
        # A fault in JSON or in UTF-8 tells what was expected; the user needs to know that it is not there.
        reason = error if isinstance(error, (TypeError, EditError)) else "it is not JSON"
        raise FileError(
            f"line {number} of {path} is no edit sequence: {reason}. Name a file that "
            "`linewise train lintseq` wrote"
        ) from error


def _field(row: Any, name: str, kind: type) -> Any:
    value = row.get(name) if isinstance(row, dict) else None
    if not isinstance(value, kind):
        raise TypeError(f"{name!r} is missing or of another type")
    return value


def _edit(at: int, text: object) -> Edit:
    if not isinstance(text, str):
        raise TypeError(f"edit {at} is no text")
    parsed = parse_sequence(text).edits
    if len(parsed) != 1:
        raise TypeError(f"edit {at} holds {len(parsed)} diffs, not one")
    return parsed[0]
