"""The output of a run that can be killed at any time and gone on with: nothing lost, nothing twice.

Beside `OUT` and `OUT.skipped.jsonl` a third file, `OUT.unfinished.json`, says up to which input line both are
complete and how long they are then. It is replaced in one piece, after the others have reached the disk; what
was written behind those lengths, a torn line perhaps, is cut off when the run goes on. One run at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from linewise.errors import LinewiseError
from linewise_training.lintseq.records import is_parquet
from linewise_training.lock import open_alone

# How often what was done is made sure of, in seconds: the most work that a killed run does again.
_EVERY = 2.0
# What stands behind the output's name in the names of the files beside it.
_SKIPS, _JOURNAL, _ROWS = ".skipped.jsonl", ".unfinished.json", ".unfinished.jsonl"

_NUMBERS = ("next", "output_bytes", "skipped_bytes", "programs", "sequences", "seconds")


@dataclass(slots=True)
class Counts:
    """What a run has made so far. `skipped` counts by kind of reason."""

    programs: int = 0
    sequences: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def files_of(out: Path) -> tuple[Path, ...]:
    """Every file that a run may write: its output, skip file, and what it needs meanwhile (journal, rows)."""
    return tuple(out.with_name(out.name + suffix) for suffix in ("", _SKIPS, _JOURNAL, _ROWS))


class Output:
    """Writes sequences and skips in the order of the input. Use it as a context manager."""

    def __init__(self, out: Path, settings: Mapping[str, Any], *, restart: bool = False) -> None:
        """Open `out`, anew or where a run with the same `settings` (JSON values) was cut.

        Raises LinewiseError where another run is at it or, unless `restart`, one with other settings was cut
        there; OSError.
        """
        self._out = out
        self._settings = dict(settings)
        _, skips, self._journal, rows = files_of(out)
        # A Parquet file cannot grow, so its rows wait in a file that can.
        self._rows = out
        if is_parquet(out):
            from linewise_training.lintseq import parquet  # noqa: PLC0415, F401 (says if it is not installed)

            self._rows = rows
        self.counts = Counts()
        self.next = 0
        with contextlib.ExitStack() as opened:
            # Both are opened as they are: nothing is cut off before it is known that no other run is at it.
            self._sink = opened.enter_context(open_alone(self._rows))
            self._skips = opened.enter_context(open_alone(skips))
            state = None if restart else self._read_journal()
            self._go_on(state or {**asdict(Counts()), "next": 0, "output_bytes": 0, "skipped_bytes": 0})
            self._began = time.monotonic() - self.counts.seconds
            self._saved = time.monotonic()
            self._complete = self._standing()
            self._save()
            self._files = opened.pop_all()

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._files:
            if not isinstance(error, OSError):
                self._save()

    def skip(self, index: int, reason: str) -> None:
        """Note that input line `index` gives nothing. A reason's kind stands before its first ": "."""
        self._skips.write(_line({"line": index + 1, "reason": reason}))
        self.counts.skipped[reason.split(": ", 1)[0]] += 1
        self._done(index)

    def add(self, index: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the sequences of input line `index`, which is done with that."""
        self._sink.write(b"".join(_line(row) for row in rows))
        self.counts.programs += bool(rows)
        self.counts.sequences += len(rows)
        self._done(index)

    def finish(self, conclude: Callable[[], object]) -> None:
        """Say that the input is at its end: leave nothing but the results, and close the files.

        `conclude` is called when the output is complete. A run that is cut in it, or before, goes on there.
        """
        self._save()
        if self._rows != self._out:
            from linewise_training.lintseq import parquet  # noqa: PLC0415 (pyarrow, only where it is needed)

            parquet.write_sequences(self._rows, self._out)
        conclude()
        # In this order: rows without a journal are begun anew, a journal without its rows is a loss.
        self._journal.unlink()
        if self._rows != self._out:
            self._rows.unlink()
        self._files.close()

    def _done(self, index: int) -> None:
        self.next = index + 1
        # In one step: an interrupt between two lines of this class must not make a journal of half an index.
        self._complete = self._standing()
        if time.monotonic() - self._saved > _EVERY:
            self._save()

    def _save(self) -> None:
        if self._sink.closed:
            return
        for file in (self._sink, self._skips):
            file.flush()
            os.fsync(file.fileno())
        self._saved = time.monotonic()
        self.counts.seconds = self._saved - self._began
        state = {"settings": self._settings, **self._complete, "seconds": self.counts.seconds}
        fresh = self._journal.with_name(self._journal.name + ".tmp")
        with fresh.open("wb") as journal:
            journal.write(json.dumps(state, indent=2).encode())
            journal.flush()
            os.fsync(journal.fileno())
        fresh.replace(self._journal)

    def _standing(self) -> dict[str, Any]:
        """What the journal says of the output as it stands."""
        return {
            "next": self.next,
            "output_bytes": self._sink.tell(),
            "skipped_bytes": self._skips.tell(),
            "programs": self.counts.programs,
            "sequences": self.counts.sequences,
            "skipped": dict(self.counts.skipped),
        }

    def _read_journal(self) -> dict[str, Any] | None:
        try:
            state = json.loads(self._journal.read_text(encoding="utf-8"))
            settings = dict(state["settings"])
            numbers = [state[key] for key in _NUMBERS] + list(dict(state["skipped"]).values())
            if not all(isinstance(number, int | float) and number >= 0 for number in numbers):
                raise ValueError("a count is no number")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise LinewiseError(
                f"{self._journal} does not say where the run was cut ({error!r}); "
                "begin anew with --restart, or choose another --out"
            ) from error
        names = sorted(settings.keys() | self._settings)
        other = [name for name in names if settings.get(name) != self._settings.get(name)]
        if other:
            told = ", ".join(
                f"{name} {settings.get(name)!r}, not {self._settings.get(name)!r}" for name in other
            )
            raise LinewiseError(
                f"{self._out} holds an unfinished run with other settings ({told}); "
                "go on with those, begin anew with --restart, or choose another --out"
            )
        return dict(state)

    def _go_on(self, state: Mapping[str, Any]) -> None:
        for file, key in ((self._sink, "output_bytes"), (self._skips, "skipped_bytes")):
            size = os.fstat(file.fileno()).st_size
            if size < state[key]:
                raise LinewiseError(
                    f"{file.name} has {size} bytes, but {self._journal.name} says {state[key]}: part of it "
                    "was lost; begin anew with --restart, or choose another --out"
                )
            file.truncate(state[key])
            file.seek(state[key])
        self.next = state["next"]
        self.counts = Counts(
            state["programs"], state["sequences"], Counter(state["skipped"]), state["seconds"]
        )


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8") + b"\n"
