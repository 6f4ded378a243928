"""What a run of LintSeq gave: the figures of the paper's Figure 3, what edits cost, what was skipped.

The paper: Piterbarg et al., 2024, section 3.2, Figure 3: "lines per example ... before and after processing"
and "edit counts per synthetic code edit sequence".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from linewise.edits import format_sequence, resolve, split_lines
from linewise.errors import EditError, FileError
from linewise_training.report.sequences import WrittenSequence
from linewise_training.report.tally import Tally

EXAMPLES = 5
"""How many skipped lines a reason is shown with."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The size of programs and of the edit text that writes them, in one unit, and its growth in percent."""

    unit: str
    program: Tally
    """Of the program of each sequence: a program with five sequences is counted five times."""
    text: Tally
    """Of the text of each sequence, headers and diff tokens included."""
    growth: Tally
    """How many percent longer than its program each sequence is, rounded down."""

    @property
    def ratio(self) -> float:
        """Size of all the edit text by the size of all the programs; 0 where there is nothing."""
        return self.text.total / self.program.total if self.program.total else 0.0


@dataclass(frozen=True, slots=True)
class SkipReason:
    """One kind of reason for which programs were skipped."""

    kind: str
    count: int
    examples: tuple[tuple[int, str], ...]
    """The first few: number of the line in the input, and the whole reason."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one file of edit sequences."""

    programs: int
    sequences: int
    lines_before: Tally
    """Of each program, once."""
    lines_after: Tally
    """Of the text of each sequence: header lines and added lines."""
    edits: Tally
    """In each sequence."""
    added: Tally
    """Lines that each edit adds."""
    costs: tuple[Cost, ...]
    unfaithful: tuple[int, ...]
    """Lines of the file whose edits do not write their program."""
    skipped: tuple[SkipReason, ...] | None
    """By falling count; None where the run left no skip file."""

    @property
    def skips(self) -> int:
        """How many lines of the input gave nothing."""
        return sum(reason.count for reason in self.skipped or ())


def gather(
    sequences: Iterable[WrittenSequence],
    skipped: tuple[SkipReason, ...] | None,
    counters: Iterable[tuple[str, Callable[[str], int]]],
) -> Figures:
    """The figures of `sequences`, one in memory at a time.

    `counters` are units and what counts them in a text, for the cost.
    """
    before, after, edits, added = Tally(), Tally(), Tally(), Tally()
    measures = [(measure, Cost(unit, Tally(), Tally(), Tally())) for unit, measure in counters]
    seen: set[int] = set()
    unfaithful = []
    for written in sequences:
        lines = split_lines(written.program)
        text = format_sequence(written.sequence)
        if written.source not in seen:
            seen.add(written.source)
            before.add(len(lines))
        after.add(len(split_lines(text)))
        edits.add(len(written.edits))
        for edit in written.edits:
            added.add(sum(len(hunk.added) for hunk in edit.hunks))
        for measure, cost in measures:
            size, whole = measure(written.program), measure(text)
            cost.program.add(size)
            cost.text.add(whole)
            cost.growth.add(100 * (whole - size) // max(1, size))
        if not _writes(written):
            unfaithful.append(written.number)
    return Figures(
        len(seen),
        after.size,
        before,
        after,
        edits,
        added,
        tuple(cost for _, cost in measures),
        tuple(unfaithful),
        skipped,
    )


def _writes(written: WrittenSequence) -> bool:
    try:
        return resolve(written.sequence) == split_lines(written.program)
    except EditError:
        return False


def read_skips(path: Path) -> tuple[SkipReason, ...] | None:
    """The reasons in a skip file (`FILE.skipped.jsonl`), by falling count; None where there is no such file.

    A reason's kind is what stands before its first ": ". Raises FileError for a file that is none.
    """
    found: dict[str, list[tuple[int, str]]] = {}
    counts: dict[str, int] = {}
    try:
        with path.open("rb") as stream:
            for number, row in enumerate(stream, 1):
                if not row.endswith(b"\n"):
                    continue  # still being written
                line, reason = _skip(path, number, row)
                kind = reason.split(": ", 1)[0]
                counts[kind] = counts.get(kind, 0) + 1
                examples = found.setdefault(kind, [])
                if len(examples) < EXAMPLES:
                    examples.append((line, reason))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error
    reasons = (SkipReason(kind, count, tuple(found[kind])) for kind, count in counts.items())
    return tuple(sorted(reasons, key=lambda reason: (-reason.count, reason.kind)))


def _skip(path: Path, number: int, row: bytes) -> tuple[int, str]:
    try:
        fields = json.loads(row)
        line, reason = fields["line"], fields["reason"]
        if isinstance(line, int) and isinstance(reason, str):
            return line, reason
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise FileError(
        f'line {number} of {path} is not {{"line", "reason"}}; make the file again with '
        "`linewise train lintseq`, or remove it to leave out what was skipped"
    )
