"""The `lintseq` command: turn a JSONL file of programs into one of edit sequences."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

import click

from linewise.edits import format_edit
from linewise.errors import LinewiseError
from linewise.verify import get_verifier
from linewise_training.lintseq.driver import Failed, Program, Sampled, sample_sequences

_PATH = click.Path(path_type=Path, dir_okay=False)


class _Source:
    """Reads programs from JSONL lines, keeps those under way, and writes bad lines to the skip file."""

    def __init__(self, stream: TextIO, skips: TextIO) -> None:
        self._stream = stream
        self._skips = skips
        self.rows: dict[int, tuple[str, str]] = {}
        self.programs = 0
        self.skipped = 0

    def read(self, limit: int | None) -> Iterator[Program]:
        """The programs of the first `limit` lines; `index` is the line's 0-based number."""
        for index, line in enumerate(islice(self._stream, limit)):
            try:
                row = json.loads(line)
                instruction, program = row.get("instruction", ""), row["program"]
                if not isinstance(program, str) or not isinstance(instruction, str):
                    raise TypeError("instruction and program must be strings")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self.skip(index, f'not a line {{"instruction", "program"}}: {error!r}')
                continue
            self.rows[index] = (instruction, program)
            yield Program(index, program)

    def skip(self, index: int, reason: str) -> None:
        """Note that the line `index` gives nothing."""
        self.skipped += 1
        self._skips.write(json.dumps({"line": index + 1, "reason": reason}) + "\n")


@click.command("lintseq")
@click.option("--in", "source", type=_PATH, required=True, help='JSONL of {"instruction", "program"}.')
@click.option(
    "--out", type=_PATH, required=True, help="JSONL to write; skipped lines go to OUT.skipped.jsonl."
)
@click.option("--samples", type=click.IntRange(min=1), default=5, show_default=True, help="Per program.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same file.")
@click.option("--linter", type=click.Choice(["pylint", "fast"]), default="pylint", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="Read this many lines only.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON line at the end.")
def lintseq_command(
    source: Path, out: Path, samples: int, seed: int, linter: str, *, limit: int | None, as_json: bool
) -> None:
    """Sample edit sequences that write programs without passing through an error (LintSeq)."""
    started = time.perf_counter()
    sequences = 0
    try:
        with (
            source.open(encoding="utf-8") as stream,
            out.open("w", encoding="utf-8") as sink,
            out.with_name(out.name + ".skipped.jsonl").open("w", encoding="utf-8") as skips,
        ):
            reader = _Source(stream, skips)
            last = -1
            for result in sample_sequences(
                reader.read(limit), get_verifier(linter), samples=samples, seed=seed
            ):
                for passed in range(last, result.index):
                    reader.rows.pop(passed, None)
                last = result.index
                if isinstance(result, Failed):
                    reader.skip(result.index, result.reason)
                    continue
                reader.programs += result.sample == 0
                sequences += 1
                sink.write(_line(result, *reader.rows[result.index]) + "\n")
    except (LinewiseError, OSError, UnicodeDecodeError) as error:
        raise click.ClickException(str(error)) from error
    seconds = time.perf_counter() - started
    counts = {
        "programs": reader.programs,
        "sequences": sequences,
        "skipped": reader.skipped,
        "seconds": round(seconds, 3),
    }
    plain = (
        f"{sequences} sequences of {reader.programs} programs in {seconds:.1f} s; {reader.skipped} skipped"
    )
    click.echo(json.dumps(counts) if as_json else plain)


def _line(result: Sampled, instruction: str, program: str) -> str:
    return json.dumps(
        {
            "instruction": instruction,
            "program": program,
            "edits": [format_edit(edit) for edit in result.edits],
            "source": result.index,
            "sample": result.sample,
        },
        ensure_ascii=False,
    )
