"""The table that PanGu-Coder2's authors print for quantization (Shen et al., 2023), against float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from linewise_training.bench.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Row:
    """One model: `type` is how its weights are stored, `pass_at_1` the share of problems solved greedily."""

    name: str
    type: str
    measurement: Measurement
    pass_at_1: float | None = None


_COLUMNS = ("model", "type", "size, MiB", "memory, MiB", "prompt, tokens/s", "generation, tokens/s")


def compared(rows: Sequence[Row]) -> Row:
    """The row that the others are compared with: the first in float32, else the first."""
    return next((row for row in rows if row.type in ("f32", "float32")), rows[0])


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a table, each figure with its relation to the row that is compared with."""
    base = compared(rows)
    columns = [*_COLUMNS]
    if base.measurement.perplexity is not None:
        columns.append("perplexity")
    if base.pass_at_1 is not None:
        columns.append("pass@1")
    lines = [f"| {' | '.join(columns)} |", f"| --- | --- |{' ---: |' * (len(columns) - 2)}"]
    lines += [f"| {' | '.join(_cells(row, base))} |" for row in rows]
    return "\n".join(lines)


def _cells(row: Row, base: Row) -> list[str]:
    ours, theirs = row.measurement, base.measurement
    cells = [row.name, row.type, _times(ours.size_bytes / 2**20, theirs.size_bytes / 2**20, 1)]
    if ours.peak_bytes is None or theirs.peak_bytes is None:
        cells.append("not known")
    else:
        cells.append(_times(ours.peak_bytes / 2**20, theirs.peak_bytes / 2**20, 0))
    cells.append(_times(ours.prompt_speed, theirs.prompt_speed, 0))
    cells.append(_times(ours.generation_speed, theirs.generation_speed, 0))
    if theirs.perplexity is not None:
        found = ours.perplexity or float("nan")
        cells.append(f"{found:.3f} ({100 * (found / theirs.perplexity - 1):+.2f}%)")
    if base.pass_at_1 is not None:
        share = row.pass_at_1
        told = "" if share is None else f"{100 * share:.1f}% ({100 * (share - base.pass_at_1):+.1f})"
        cells.append(told or "not measured")
    return cells


def _times(value: float, base: float, digits: int) -> str:
    return f"{value:,.{digits}f} ({value / base:.2f}x)"
