"""The Format `lintseq`: the paper's text, so that LintSeq models work unchanged.

The instruction, then zero-context unified diffs, each after a `<|diff|>` token (Piterbarg et al., "Training
Language Models on Synthetic Edit Sequences Improves Code Synthesis", section 2 and appendix A). A document
that already has text is shown as one insertion. At a cursor the hunk's header and the typed part of the
line are given: the paper's "intervention" (A.3).
"""

from __future__ import annotations

from collections.abc import Sequence

from linewise.edits import (
    DIFF_TOKEN,
    END_TOKEN,
    DiffParser,
    Edit,
    EditLog,
    Hunk,
    StreamingParser,
    format_edit,
)
from linewise.engines.protocol import Segment
from linewise.errors import EditError
from linewise.formats.edit_log import split_partial
from linewise.formats.protocol import Cursor, Prompt


class LintSeqFormat:
    """The paper's own format; models count lines themselves."""

    name = "lintseq"

    def write_prompt(
        self,
        log: EditLog,
        path: str,  # noqa: ARG002
        instruction: str,
        asked_after: int | None = None,  # noqa: ARG002
    ) -> Prompt:
        """The instruction, the document so far as diffs, and a diff token.

        The paper's text has no file name, and the instruction always comes first.
        """
        segments = log_segments(log.close(), instruction)
        return Prompt((*segments, Segment(DIFF_TOKEN, special=True)), given="", healed="", stop=(END_TOKEN,))

    def inline_prompt(self, log: EditLog, path: str, cursor: Cursor) -> Prompt:  # noqa: ARG002
        """The document, then a hunk that replaces the cursor's line, up to the cursor."""
        lines = log.lines
        if not 0 <= cursor.line < max(1, len(lines)):
            raise EditError(f"line {cursor.line} is outside the document, which has {len(lines)} lines")
        current = lines[cursor.line] if lines else ""
        if not 0 <= cursor.column <= len(current):
            raise EditError(
                f"column {cursor.column} is outside line {cursor.line} ({len(current)} characters)"
            )
        typed, pending = (current[: cursor.column],), log.pending
        if pending is not None and cursor.line == pending.start + len(pending.added) - 1:
            place = Hunk(pending.start, pending.removed, (*pending.added[:-1], *typed))
        else:
            log = log.close()
            place = Hunk(cursor.line, lines[cursor.line : cursor.line + 1], typed)
        diff = format_edit(Edit((place,)))
        _, healed = split_partial(current[: cursor.column])
        given = diff[: len(diff) - len(healed)] if healed else diff
        segments = [*log_segments(log, ""), Segment(DIFF_TOKEN, special=True), Segment(given)]
        return Prompt(tuple(segments), given, healed, stop=(DIFF_TOKEN, END_TOKEN))

    def parser(self, lines: Sequence[str], first_line: int = 0) -> StreamingParser:
        """Strict parser of unified diffs. The paper's text has no windows, so `first_line` must be 0."""
        if first_line:
            raise EditError("the lintseq format cannot show a window of a file: open the file whole")
        return DiffParser(lines)


def log_segments(log: EditLog, instruction: str) -> list[Segment]:
    """Instruction and edits, each edit a segment that ends in the newline before the next diff token."""
    segments = [Segment(f"{instruction}\n")]
    edits = [((), Hunk(0, (), log.snapshot))] if log.snapshot else []
    for _, hunk in [*edits, *log.steps()]:
        segments += [Segment(DIFF_TOKEN, special=True), Segment(format_edit(Edit((hunk,))) + "\n")]
    return segments
