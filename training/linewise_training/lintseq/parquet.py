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

    Raises LinewiseError for a file that is not Parquet or has no column `program`.
    """
    file = _open(path)
    names = file.schema_arrow.names
    if "program" not in names:
        raise LinewiseError(f"{path} has no column 'program' (it has {', '.join(names)}); name one so")
    columns = [name for name in ("instruction", "program") if name in names]
    for batch in file.iter_batches(batch_size=_ROWS, columns=columns):
        for row in batch.to_pylist():
            yield row.get("instruction", ""), row["program"]


def read_sequences(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of sequences. Raises LinewiseError for a file that is not Parquet, OSError."""
    for batch in _open(path).iter_batches(batch_size=_ROWS):
        yield from batch.to_pylist()


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
    with lines.open(encoding="utf-8") as stream, pq.ParquetWriter(unfinished, schema) as writer:
        while rows := [json.loads(line) for line in islice(stream, _ROWS)]:
            writer.write_table(pa.Table.from_pylist(rows, schema))
    unfinished.replace(out)


def _open(path: Path) -> Any:
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise LinewiseError(f"{path} is not a Parquet file: {error}") from error
