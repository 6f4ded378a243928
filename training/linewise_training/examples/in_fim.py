"""Tasks as holes to fill, in the Format `fim`.

A middle is one place, and what stands there before it was written is not shown. So of an editing task the
last hunk is the hole, in the document that the others have made; of a writing task, whose instruction this
Format cannot show, one of its hunks is.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from linewise.edits import Hunk, Lines, apply_hunk, sequential
from linewise.engines.protocol import FimTokens
from linewise.formats.edit_log import END, FILE, split_partial
from linewise.formats.fim import MIDDLE, PREFIX, SUFFIX, FimFormat, around_cursor, fim_segments
from linewise.formats.protocol import Cursor
from linewise_training.examples.example import Example, Piece, read_only
from linewise_training.examples.form import EditingTask, TaskCursor, WritingTask

TOKENS = FimTokens(PREFIX, SUFFIX, MIDDLE)


class FimForm:
    """The middle is learned; it begins with the partial token before the cursor, as healing has it."""

    name = FimFormat.name

    def window(self, path: str, lines: Lines, first_line: int, *, whole: bool) -> Example:  # noqa: ARG002
        """The text as it is, after the file's name."""
        body = "".join(f"{line}\n" for line in lines)
        pieces = (Piece(FILE, special=True), Piece(f"{path}\n"), Piece(body))
        return (*pieces, Piece(END, special=True)) if whole else pieces

    def editing(self, task: EditingTask) -> Example:
        """The last hunk is the hole, from the cursor on."""
        return _hole(task.path, task.log.lines, task.hunks, task.cursor)

    def writing(self, task: WritingTask) -> Example:
        """One of the hunks is the hole, drawn by the instruction alone."""
        hunks = [hunk for edit in task.edits for hunk in sequential(edit)]
        chosen = random.Random(task.instruction).randint(1, len(hunks))
        return _hole(task.path, task.log.lines, hunks[:chosen], None)


def _hole(path: str, state: Lines, hunks: Sequence[Hunk], cursor: TaskCursor | None) -> Example:
    for hunk in hunks[:-1]:
        state = apply_hunk(state, hunk)
    hunk = hunks[-1]
    place = cursor or TaskCursor(0, 0, None)
    first, *others = hunk.added[place.row :] or ("",)
    typed, rest = first[: place.column], first[place.column :]
    tail = place.there[place.column :] if place.there is not None else ""
    before = (*state[: hunk.start], *hunk.added[: place.row])
    after = state[hunk.end :]
    if tail and not rest.endswith(tail):
        tail = ""  # it goes, and a middle cannot say so: it is gone already
    if tail:
        # The text after the cursor stands on its line, so all below it must stand there, too.
        rest, after, others = rest[: len(rest) - len(tail)], (*others, *after), []
    at = Cursor(len(before), len(typed))
    prefix, suffix = around_cursor((*before, typed + tail, *after), at)
    _, healed = split_partial(typed)
    segments = fim_segments(prefix[: len(prefix) - len(healed)], suffix, TOKENS, path)
    middle = "\n".join((healed + rest, *others))
    return (*read_only(segments), Piece(middle), Piece(END, special=True))
