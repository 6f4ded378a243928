"""How people changed a file, commit by commit: a window of it, their edits so far, and the next one to learn.

One hunk of one commit is the last. The hunks before it, of its commit and of earlier ones, stand in the log
for as far back as they lie near by, so that one window shows them all; hunks of the same commit are learned,
older ones are read. The last hunk may be in progress at a cursor: in what it adds, or on a line that it
rewrites. There the text after the cursor is what stood there before, so part of it stays and part of it goes.
Deletions are edits as any other; only a hunk that adds nothing has no cursor.
Not covered: the order in which a person typed what one commit holds, which goes from the top to the bottom.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from linewise.edits import Edit, EditLog, Hunk, Lines, apply_edit, apply_hunk, diff, sequential, split_lines
from linewise.formats.edit_log import INLINE_RUN_UP, shown
from linewise_training.examples.editing import column_in
from linewise_training.examples.example import Example
from linewise_training.examples.form import EditingTask, Form, TaskCursor, WritingTask
from linewise_training.examples.in_edit_log import EDIT_LOG

MAX_HUNKS = 6
CURSOR_SHARE = 0.6
INSTRUCTION_SHARE = 0.5  # of the commits that are shown whole and whose message asks for something
MIN_LIKENESS = 0.5  # of a line and the one that it is rewritten to; less alike, it is another line

_ASKS = re.compile(r"[A-Z]?[a-z]+ \S+ \S+")
_NOISE = re.compile(
    r"#\d|https?://|\b(merge|bump|release|version|changelog|typos?|wip|lint|rebase|review)\b", re.I
)


@dataclass(frozen=True, slots=True)
class _Step:
    """A hunk against `before`, in the commit of that number."""

    before: Lines
    hunk: Hunk
    commit: int


def history_example(
    path: str,
    start: str,
    edits: Sequence[Edit],
    messages: Sequence[str],
    max_characters: int,
    rng: random.Random,
    form: Form = EDIT_LOG,
) -> Example | None:
    """An example from a file's history: its text at the start, and each commit's edit and message.

    None where the hunk that is drawn does not fit `max_characters` with some of its surroundings.
    """
    task = history_task(path, start, edits, messages, max_characters, rng)
    if task is None:
        return None
    return form.editing(task) if isinstance(task, EditingTask) else form.writing(task)


def history_task(
    path: str,
    start: str,
    edits: Sequence[Edit],
    messages: Sequence[str],
    max_characters: int,
    rng: random.Random,
) -> EditingTask | WritingTask | None:
    """The task of a `history_example`."""
    steps = _steps(start, edits)
    if not steps:
        return None
    last = rng.randrange(len(steps))
    near = _near_by(steps, last, max_characters)
    if not near:
        return None
    log, hunks = _windowed(near, max_characters, rng)
    commit = steps[last].commit
    new = sum(step.commit == commit for step in near)
    log, learned = _recorded(log, hunks[: len(hunks) - new]), hunks[len(hunks) - new :]
    whole = new == sum(step.commit == commit for step in steps)
    message = messages[commit]
    if whole and _ASKS.match(message) and not _NOISE.search(message) and rng.random() < INSTRUCTION_SHARE:
        return WritingTask(path, log, message, tuple(Edit((hunk,)) for hunk in learned))
    in_progress = _in_progress(learned[-1], rng) if rng.random() < CURSOR_SHARE else None
    if in_progress is None:
        return EditingTask(path, log, learned, None)
    hunk, cursor = in_progress
    run_up = INLINE_RUN_UP if rng.random() < 0.5 else rng.randint(1, INLINE_RUN_UP)
    return EditingTask(path, log, (*learned[:-1], hunk), cursor, run_up)


def _steps(start: str, edits: Sequence[Edit]) -> list[_Step]:
    """All hunks, one by one, between states as a model sees them: without what follows the last newline."""
    text = split_lines(start)
    steps = []
    for commit, edit in enumerate(edits):
        before, text = shown(text), apply_edit(text, edit)
        # Whether the text ends with a newline may change; where no hunk is about the end, it does not.
        same_end = all(hunk.end < len(before) for hunk in edit.hunks)
        seen = edit if same_end else diff(before, shown(text))
        for hunk in sequential(seen):
            steps.append(_Step(before, hunk, commit))
            before = apply_hunk(before, hunk)
    return steps


def _near_by(steps: Sequence[_Step], last: int, max_characters: int) -> list[_Step]:
    """The steps up to `last` that a window of half of `max_characters` has room for; none if not that one."""
    near: list[_Step] = []
    top = bottom = steps[last].hunk.start
    written = 0
    for step in reversed(steps[max(0, last - MAX_HUNKS + 1) : last + 1]):
        hunk = step.hunk
        top, bottom = _before(hunk, top, bottom)
        written += sum(len(line) + 1 for line in hunk.added)
        if written + sum(len(line) + 1 for line in step.before[top:bottom]) > max_characters // 2:
            break
        near.insert(0, step)
    return near


def _before(hunk: Hunk, top: int, bottom: int) -> tuple[int, int]:
    """Where the lines from `top` to `bottom` of the state after a hunk, and its own, are in that before."""
    after = hunk.start + len(hunk.added)
    top = top - hunk.growth if top >= after else min(top, hunk.start)
    bottom = bottom - hunk.growth if bottom >= after else bottom
    return min(top, hunk.start), max(bottom, hunk.end)


def _windowed(
    near: Sequence[_Step], max_characters: int, rng: random.Random
) -> tuple[EditLog, tuple[Hunk, ...]]:
    """A window that holds all of `near` with lines around, and their hunks counted from its first line."""
    before = near[0].before
    top = bottom = near[-1].hunk.start
    for step in reversed(near):
        top, bottom = _before(step.hunk, top, bottom)
    size = sum(len(line) + 1 for line in before[top:bottom])
    size += sum(len(line) + 1 for step in near for line in step.hunk.added)
    budget = max_characters * rng.uniform(0.4, 1.0)
    upwards = rng.random()  # how much of what is left goes to the lines above
    while top > 0 or bottom < len(before):
        up = top > 0 and (bottom >= len(before) or rng.random() < upwards)
        line = before[top - 1] if up else before[bottom]
        size += len(line) + 1
        if size > budget:
            break
        top, bottom = (top - 1, bottom) if up else (top, bottom + 1)
    hunks = tuple(Hunk(s.hunk.start - top, s.hunk.removed, s.hunk.added) for s in near)
    return EditLog.open((*before[top:bottom], ""), first_line=top), hunks


def _recorded(log: EditLog, hunks: Sequence[Hunk]) -> EditLog:
    for hunk in hunks:
        log = log.record(hunk)
    return log


def _in_progress(hunk: Hunk, rng: random.Random) -> tuple[Hunk, TaskCursor] | None:
    """The hunk at a cursor in what it adds, cut to what an editor knows of it there; None where none fits."""
    if not any(line.strip() for line in hunk.added):
        return None
    if not hunk.removed:
        row = rng.randrange(len(hunk.added))
        return hunk, TaskCursor(row, column_in(hunk.added[row], rng), None)
    old, new = hunk.removed[0], hunk.added[0]
    if SequenceMatcher(None, old, new, autojunk=False).ratio() < MIN_LIKENESS:
        return None
    if len(hunk.removed) > 1:
        # Of a change of several lines the editor knows the one that the cursor is on.
        hunk = Hunk(hunk.start, (old,), (new,))
    row = rng.randrange(len(hunk.added)) if rng.random() < 0.3 else 0
    if row:
        return hunk, TaskCursor(row, column_in(hunk.added[row], rng), None)
    same = _common(old, new)
    if rng.random() < 0.6:
        column = same if rng.random() < 0.7 else rng.randint(0, same)
        return hunk, TaskCursor(0, column, old)
    column = rng.randint(same, len(new))
    kept = min(_common(old[same:][::-1], new[same:][::-1]), len(new) - column)
    return hunk, TaskCursor(0, column, new[:column] + new[len(new) - kept :])


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
