"""A change that somebody asks for in a few words, in a window of a real file."""

from __future__ import annotations

import random
from dataclasses import dataclass

from linewise.edits import Edit, EditLog, Hunk, Lines, diff, trim
from linewise_training.changes import Change, Code, draw
from linewise_training.examples.example import Example
from linewise_training.examples.form import Form, WritingTask
from linewise_training.examples.in_edit_log import EDIT_LOG

LINES_ABOVE, LINES_BELOW = 40, 25  # of a window, at most


@dataclass(frozen=True, slots=True)
class ChangingTask:
    """A change of a kind, in a window of the file whose lines are `before`."""

    kind: str
    before: Lines
    task: WritingTask


def changing_example(
    path: str, code: Code, max_characters: int, rng: random.Random, form: Form = EDIT_LOG
) -> Example | None:
    """A window of a file, an instruction, and the hunks that do it; None where nothing is found that fits."""
    drawn = changing_task(path, code, max_characters, rng)
    return None if drawn is None else form.writing(drawn.task)


def changing_task(path: str, code: Code, max_characters: int, rng: random.Random) -> ChangingTask | None:
    """The task of a `changing_example`."""
    drawn = draw(code, rng)
    if drawn is None:
        return None
    kind, change = drawn
    hunks = _hunks(change)
    window = _window(change, hunks, max_characters, rng)
    if window is None:
        return None
    first, last = window
    ends_file = last == len(change.before)
    lines = change.before[first:last] if ends_file else (*change.before[first:last], "")
    log = EditLog.open("\n".join(lines), first_line=first)
    moved = tuple(Hunk(one.start - first, one.removed, one.added) for one in hunks)
    task = WritingTask(path, log, change.instruction, (Edit(moved),))
    return ChangingTask(kind, change.before, task)


def _hunks(change: Change) -> tuple[Hunk, ...]:
    """The hunks of a change, each against the state before: one alone where it is made at once."""
    all_of_it = trim(Hunk(0, change.before, change.after))
    if change.at_once:
        return (all_of_it,)
    inside = diff(all_of_it.removed, all_of_it.added).hunks
    return tuple(Hunk(all_of_it.start + one.start, one.removed, one.added) for one in inside)


def _window(
    change: Change, hunks: tuple[Hunk, ...], max_characters: int, rng: random.Random
) -> tuple[int, int] | None:
    """Bounds of a window with all of the change; with what is written it fits `max_characters`."""
    before = change.before
    start, end = hunks[0].start, max(hunks[-1].end, hunks[-1].start + 1)
    if change.reason is not None:
        start, end = min(start, change.reason), max(end, change.reason + 1)
    written = sum(len(line) + 1 for hunk in hunks for line in hunk.added)
    first = max(0, start - rng.randrange(1, LINES_ABOVE))
    last = min(len(before), end + rng.randrange(LINES_BELOW))
    size = sum(len(line) + 1 for line in before[first:last])
    wanted = max_characters * rng.uniform(0.2, 1.0) - written
    while size > wanted and (first < start or last > end):
        if first < start and (last == end or rng.random() < 0.6):
            size -= len(before[first]) + 1
            first += 1
        else:
            last -= 1
            size -= len(before[last]) + 1
    return (first, last) if size + written <= max_characters else None
