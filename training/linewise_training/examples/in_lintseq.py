"""Tasks as the LintSeq paper writes edits, in the Format `lintseq`.

The paper's text knows no file names, no windows and no run-ups. A hunk's header counts the lines that it
adds; at a cursor, where that cannot be known, it counts those up to the cursor's line, as the Format's own
prompt does, and what follows them is the next edit.
"""

from __future__ import annotations

from collections.abc import Sequence

from linewise.edits import DIFF_TOKEN, END_TOKEN, Edit, EditLog, Hunk, Lines, format_edit
from linewise.formats.lintseq import LintSeqFormat, log_segments
from linewise_training.examples.example import NO_LOSS, Example, Piece, read_only
from linewise_training.examples.form import EditingTask, WritingTask


class LintSeqForm:
    """Every edit is learned, and of the hunk in progress what stands after the cursor."""

    name = LintSeqFormat.name

    def window(self, path: str, lines: Lines, first_line: int, *, whole: bool) -> Example:  # noqa: ARG002
        """An insertion without an instruction."""
        text = format_edit(Edit((Hunk(0, (), lines),)))
        pieces = (Piece("\n"), Piece(DIFF_TOKEN, special=True), Piece(text))
        return (*pieces, Piece(END_TOKEN, special=True)) if whole else pieces

    def editing(self, task: EditingTask) -> Example:
        """The document as one insertion, then edit by edit."""
        edits = [Edit((hunk,)) for hunk in task.hunks]
        if task.cursor is None:
            return _example(task.log, "", edits)
        hunk, cursor = task.hunks[-1], task.cursor
        row = cursor.row
        begun = Edit((Hunk(hunk.start, hunk.removed, hunk.added[: row + 1]),))
        typed = len(format_edit(begun)) - len(hunk.added[row]) + cursor.column
        edits[-1:] = [begun]
        if rest := hunk.added[row + 1 :]:
            edits.append(Edit((Hunk(hunk.start + row + 1, (), rest),)))
        return _example(task.log, "", edits, in_progress=len(task.hunks) - 1, typed=typed)

    def writing(self, task: WritingTask) -> Example:
        """The instruction, the document as one insertion, and the edits."""
        return _example(task.log, task.instruction, task.edits)


def _example(
    log: EditLog, instruction: str, edits: Sequence[Edit], in_progress: int = -1, typed: int = 0
) -> Example:
    """The edit at index `in_progress` is learned from its character `typed` on."""
    pieces = read_only(log_segments(log, instruction))
    for index, edit in enumerate(edits):
        text = format_edit(edit) + ("\n" if index + 1 < len(edits) else "")
        given = index == in_progress
        pieces.append(Piece(DIFF_TOKEN, special=True, learned_from=NO_LOSS if given else 0))
        pieces.append(Piece(text, learned_from=typed if given else 0))
    return (*pieces, Piece(END_TOKEN, special=True))
