"""Programs from Parquet files and sequences into them, a batch of rows at a time (pyarrow)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from linewise.errors import LinewiseError
from linewise.installation import install_extra

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise LinewiseError(
        f"Parquet files need pyarrow, which is not installed; install it with: {install_extra('training')}"
    ) from error

_ROWS = 4096


def count_rows(path: Path) -> int:
    """How many rows a file has. Raises LinewiseError for a file that is not Parquet."""
    return int(_open(path).metadata.num_rows)


def read_rows(path: Path) -> Iterator[tuple[Any, Any]]:
    """Instruction and program of each row; the instruction is "" where the file has no such column.

    Texts come as the bytes that the file has, for one row that is not UTF-8 must not end the others. Raises
    LinewiseError for a file that is not Parquet, is damaged or has no column `program`.
    """
    file = _open(path)
    names = file.schema_arrow.names
    if "program" not in names:
        raise LinewiseError(f"{path} has no column 'program' (it has {', '.join(names)}); name one so")
    columns = [name for name in ("instruction", "program") if name in names]
    for batch in _batches(file, path, columns):
        programs = _values(batch.column("program"))
        given = _values(batch.column("instruction")) if "instruction" in columns else [""] * len(programs)
        yield from zip(given, programs, strict=True)


def read_sequences(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of sequences. Raises LinewiseError for a file that is not Parquet or is damaged."""
    for batch in _batches(_open(path), path, None):
        try:
            rows = batch.to_pylist()
        except UnicodeDecodeError as error:
            raise LinewiseError(f"{path} holds text that is not UTF-8; make the file again") from error
        yield from rows


def write_sequences(lines: Path, out: Path) -> None:
    """Write the sequences of a JSONL file as Parquet, whole or not at all. Raises OSError."""
    schema = pa.schema(
        [
            ("instruction", pa.string()),
            ("program", pa.string()),
            ("edits", pa.list_(pa.string())),
            ("source", pa.int64()),
            ("sample", pa.int64()),
        ]
    )
    unfinished = out.with_name(out.name + ".tmp")
    try:
        with lines.open(encoding="utf-8") as stream, pq.ParquetWriter(unfinished, schema) as writer:
            while rows := [json.loads(line) for line in islice(stream, _ROWS)]:
                writer.write_table(pa.Table.from_pylist(rows, schema))
        unfinished.replace(out)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _open(path: Path) -> Any:
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise LinewiseError(f"{path} is not a Parquet file: {_first_line(error)}") from error


def _batches(file: Any, path: Path, columns: list[str] | None) -> Iterator[Any]:
    rows = 0
    try:
        for batch in file.iter_batches(batch_size=_ROWS, columns=columns):
            yield batch
            rows += batch.num_rows
    except (
        pa.ArrowException,
        OSError,
    ) as error:  # of reading alone: what a caller does with a batch is not in here
        raise LinewiseError(
            f"{path} is damaged behind row {rows}: {_first_line(error)}; make the file again"
        ) from error


def _values(column: Any) -> list[Any]:
    """A column's values, texts as bytes."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    return list(column.to_pylist())


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(" :")
