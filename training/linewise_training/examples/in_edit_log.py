"""Tasks as edit logs, in the Format `edit-log/1`."""

from __future__ import annotations

from collections.abc import Sequence

from linewise.edits import Edit, Hunk, Lines, apply_hunk, sequential
from linewise.formats.edit_log import (
    DIFF,
    END,
    FILE,
    INSTRUCTION,
    EditLogFormat,
    hunk_text,
    log_segments,
    shown_hunk,
)
from linewise_training.examples.example import NO_LOSS, Example, Piece, read_only
from linewise_training.examples.form import EditingTask, TaskCursor, WritingTask


class EditLogForm:
    """Every edit of a log is learned, and of the hunk in progress what stands after the cursor."""

    name = EditLogFormat.name

    def window(self, path: str, lines: Lines, first_line: int, *, whole: bool) -> Example:
        """A snapshot that tells its true first line."""
        body = "".join(f"{line}\n" for line in lines)
        pieces = (
            Piece(FILE, special=True),
            Piece(f"{path}\n"),
            Piece(DIFF, special=True),
            Piece(f"@{first_line + 1},0\n{body}"),
        )
        return (*pieces, Piece(END, special=True)) if whole else pieces

    def editing(self, task: EditingTask) -> Example:
        """The log, edit by edit."""
        state, first = task.log.lines, task.log.first_line
        pieces = read_only(log_segments(task.log, task.path))
        for number, hunk in enumerate(task.hunks, 1):
            if task.cursor and number == len(task.hunks):
                pieces += _in_progress(state, hunk, task.cursor, first, task.run_up)
            else:
                pieces += [Piece(DIFF, special=True), Piece(hunk_text(state, hunk, first))]
                state = apply_hunk(state, hunk)
        return (*pieces, Piece(END, special=True))

    def writing(self, task: WritingTask) -> Example:
        """The log, the instruction, and the edits."""
        log = task.log
        written = edit_pieces(log.lines, task.edits, log.first_line)
        return (*read_only(log_segments(log, task.path)), *instruction_pieces(task.instruction), *written)


def edit_pieces(before: Sequence[str], edits: Sequence[Edit], first_line: int = 0) -> list[Piece]:
    """Pieces that write `edits` on the state `before`, each hunk with a run-up of one line, then the end."""
    state = tuple(before)
    pieces: list[Piece] = []
    for edit in edits:
        for hunk in sequential(edit):
            seen = shown_hunk(state, hunk)
            if seen.removed != seen.added:
                pieces += [Piece(DIFF, special=True), Piece(hunk_text(state, seen, first_line))]
            state = apply_hunk(state, hunk)
    return [*pieces, Piece(END, special=True)]


def instruction_pieces(instruction: str) -> list[Piece]:
    """Pieces of an instruction, which the model reads and never writes."""
    return [
        Piece(INSTRUCTION, special=True, learned_from=NO_LOSS),
        Piece(f"{instruction}\n", learned_from=NO_LOSS),
    ]


def _in_progress(state: Lines, hunk: Hunk, cursor: TaskCursor, first_line: int, longest: int) -> list[Piece]:
    """The hunk with a run-up of at most `longest` lines, learned from the cursor on."""
    run_up = min(longest, hunk.start)
    header = f"@{first_line + hunk.start - run_up + 1},{run_up + len(hunk.removed)}\n"
    typed = (*state[hunk.start - run_up : hunk.start], *hunk.added[: cursor.row])
    given = header + "".join(f"{line}\n" for line in typed)
    rest = "".join(f"{line}\n" for line in hunk.added[cursor.row :])
    return [
        Piece(DIFF, special=True, learned_from=NO_LOSS),
        Piece(given + rest, learned_from=len(given) + cursor.column),
    ]


EDIT_LOG = EditLogForm()
