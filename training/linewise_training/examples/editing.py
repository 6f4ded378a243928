"""Editing in a real file: parts of it are taken away, and the edits that bring them back are learned.

The snapshot is a window of a file without some spans of lines; the log brings the spans back one by one,
from the top or in any order. One of them may be **in progress**: header, run-up of any length and the typed
part of a line are given, the rest is learned, which is inline completion. At a cursor within a line, what
follows the cursor stays (text is put in its middle), goes, or was never there: the model learns all three.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from linewise.edits import EditLog, Hunk, Lines
from linewise.formats.edit_log import INLINE_RUN_UP
from linewise_training.examples.example import Example
from linewise_training.examples.form import EditingTask, Form, TaskCursor
from linewise_training.examples.in_edit_log import EDIT_LOG

IN_PROGRESS = 0.67
"""Share of the examples in which a hunk is in progress."""
WITHIN_LINE = 0.3
"""Share of those in which text stands after the cursor on its line, and nothing else is missing."""


@dataclass(frozen=True, slots=True)
class Window:
    """Lines of a file from its 0-based line `first_line` on."""

    lines: Lines
    first_line: int


def window_of(lines: Sequence[str], max_characters: int, rng: random.Random) -> Window:
    """A random window of `lines` of at most `max_characters`, often from the file's start."""
    start = 0 if rng.random() < 0.3 else rng.randrange(max(1, len(lines)))
    budget = max_characters * rng.uniform(0.3, 1.0)
    end, size = start, 0
    while end < len(lines) and size + len(lines[end]) + 1 <= budget:
        size += len(lines[end]) + 1
        end += 1
    return Window(tuple(lines[start:end]), start)


def editing_example(
    path: str,
    lines: Sequence[str],
    max_characters: int,
    rng: random.Random,
    form: Form = EDIT_LOG,
) -> Example | None:
    """An edit log of a window of a file, with one hunk in progress two times in three; None if too short."""
    task = editing_task(path, lines, max_characters, rng)
    return None if task is None else form.editing(task)


def editing_task(
    path: str, lines: Sequence[str], max_characters: int, rng: random.Random
) -> EditingTask | None:
    """A window of a file without some spans of lines, and the hunks that bring them back."""
    window = window_of(lines, max_characters, rng)
    if len(window.lines) < 4:
        return None
    spans = _spans(window.lines, rng)
    order = spans if rng.random() < 0.5 else rng.sample(spans, len(spans))
    cursor = None
    if rng.random() < IN_PROGRESS:
        added = window.lines[slice(*order[-1])]
        if rng.random() < WITHIN_LINE and any(line.strip() for line in added):
            # All below the line stands, as it does for somebody who changes one: only this line is taken.
            row = next(row for row, line in enumerate(added) if line.strip())
            start = order[-1][0] + row
            spans[spans.index(order[-1])] = (start, start + 1)
            order = [*order[:-1], (start, start + 1)]
            cursor = _cursor_within(added[row], rng)
        else:
            cursor = _cursor_in(added, rng)
    taken = {i for start, end in spans for i in range(start, end)}
    shown = {i: line for i, line in enumerate(window.lines) if i not in taken}
    if cursor and cursor.there is not None:
        shown[order[-1][0]] = cursor.there
    snapshot = "".join(f"{shown[i]}\n" for i in sorted(shown))
    log = EditLog.open(snapshot, first_line=window.first_line)
    hunks = []
    for start, end in order:
        place = sum(i < start for i in shown)
        last = start == order[-1][0]
        replaced = (cursor.there,) if cursor and last and cursor.there is not None else ()
        hunks.append(Hunk(place, replaced, window.lines[start:end]))
        shown |= dict(enumerate(window.lines[start:end], start))
    longest = INLINE_RUN_UP if cursor is None or rng.random() < 0.5 else rng.randint(1, INLINE_RUN_UP)
    return EditingTask(path, log, tuple(hunks), cursor, run_up=longest)


def _spans(lines: Lines, rng: random.Random) -> list[tuple[int, int]]:
    """One to four disjoint spans of lines to take away, in order; short ones are the commonest."""
    spans: list[tuple[int, int]] = []
    position = 0
    for start in sorted(rng.sample(range(len(lines)), min(rng.randint(1, 4), len(lines)))):
        length = min(1 + int(rng.expovariate(1 / 3)), 16)
        end = min(start + length, len(lines))
        if start >= position and any(line.strip() for line in lines[start:end]):
            spans.append((start, end))
            position = end + 1
    return spans or [(0, 1)]


def _cursor_in(added: Lines, rng: random.Random) -> TaskCursor:
    row = rng.randrange(len(added))
    line = added[row]
    column = column_in(line, rng)
    if row or rng.random() < 0.6:
        return TaskCursor(row, column, None)  # new lines, typed one after another
    return TaskCursor(row, column, line[:column])  # the line stands there up to the cursor


def _cursor_within(line: str, rng: random.Random) -> TaskCursor:
    """Text is missing in the middle of `line`, which is not blank: what follows it stands."""
    column = column_in(line.rstrip(), rng)
    return TaskCursor(0, column, line[:column] + line[rng.randint(column, len(line)) :])


def column_in(line: str, rng: random.Random) -> int:
    """A column of a line at which a cursor may stand: its start, its indent, or anywhere after that."""
    indent = len(line) - len(line.lstrip())
    return rng.choice((0, indent, rng.randint(indent, len(line)), rng.randint(indent, len(line))))
