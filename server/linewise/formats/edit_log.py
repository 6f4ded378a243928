"""The Format `edit-log/1`: a document is a log of edits, and the model continues the log.

The text of a document is

    <|file|>geometry.py
    <|diff|>@1,0
    import math
    <|diff|>@1,1
    import math
    TAU = 2 * math.pi
    <|instruction|>a function that returns the area of a circle
    <|diff|>

The first diff is the snapshot, every later one an edit. `@START,REMOVED`: at 1-based line START of the
state before, REMOVED lines go and the lines that follow come in; each line ends with a newline. A hunk
begins with its **run-up**, unchanged lines just before the change, counted in REMOVED and repeated in the
body. An instruction stands where it was given, after the log as it was then and before the edits it asks
for: so a log, instructions included, only grows at its end, and the engine's cache stays valid.

What the model never sees: carriage returns and whether the file ends with a newline. Both belong to the
document, and the parser gives them back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from linewise.edits import DIFF_TOKEN, END_TOKEN, EditLog, Hunk, StreamingParser
from linewise.engines.protocol import Segment
from linewise.errors import EditError
from linewise.formats.edit_log_parser import EditLogParser, bare
from linewise.formats.protocol import Cursor, Prompt

FILE = "<|file|>"
INSTRUCTION = "<|instruction|>"
DIFF = DIFF_TOKEN  # the short names stand beside the other special tokens
END = END_TOKEN
SPECIAL_TOKENS = (END, FILE, INSTRUCTION, DIFF)

INLINE_RUN_UP = (
    16  # lines given to the model before the cursor; a jump of the cursor costs this, never the file
)
LOG_RUN_UP = 4  # lines at most before the change in any other hunk, to begin with one that is not blank

# The tail of a line that may be part of a longer token: blanks, then marks, then letters.
_PARTIAL_TOKEN = re.compile(r"[^\S\n]*(?:[^\w\s]|_)*[^\W\d_]*\Z")


def shown(lines: Sequence[str]) -> tuple[str, ...]:
    """`lines` as a model sees them: no carriage returns, no empty last line for a final newline."""
    visible = lines[:-1] if lines and lines[-1] == "" else lines
    return tuple(map(bare, visible))


def file_name(path: str) -> str:
    """The last part of a path: where a user keeps files would cost tokens and says little about them."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def split_partial(typed: str) -> tuple[str, str]:
    """Split the typed part of a line into (what is certain to end at a token boundary, what to heal)."""
    match = _PARTIAL_TOKEN.search(typed)
    cut = match.start() if match else len(typed)
    return typed[:cut], typed[cut:]


def shown_hunk(before: Sequence[str], hunk: Hunk) -> Hunk:
    """`hunk` between the lines that a model sees of the states before and after it."""
    if not before or hunk.end < len(before):
        added = tuple(map(bare, hunk.added)) if before else shown(hunk.added)
        return Hunk(hunk.start, tuple(map(bare, hunk.removed)), added)
    if hunk.start and (not hunk.added or hunk.start == len(before)):
        # Whether the line before is seen may change: an empty line is not while it stands last.
        last = before[hunk.start - 1]
        hunk = Hunk(hunk.start - 1, (last, *hunk.removed), (last, *hunk.added))
    return Hunk(hunk.start, shown(hunk.removed), shown(hunk.added))


def hunk_text(before: Sequence[str], hunk: Hunk, first_line: int = 0) -> str:
    r"""Text of one shown hunk without the diff token, ending in "\n".

    The run-up begins with the last line that is not blank, at most LOG_RUN_UP lines before the hunk: a blank
    line stands at too many places to prove one. A hunk that already begins with such a line keeps it.
    """
    has_run_up = bool(hunk.removed and hunk.added and hunk.removed[0] == hunk.added[0])
    extra = 0
    if not has_run_up or not hunk.removed[0].strip():
        nearest = range(1, min(LOG_RUN_UP, hunk.start) + 1)
        telling = (back for back in nearest if before[hunk.start - back].strip())
        extra = next(telling, 0 if has_run_up else len(nearest[:1]))
    context = [bare(line) for line in before[hunk.start - extra : hunk.start]]
    header = f"@{first_line + hunk.start - extra + 1},{extra + len(hunk.removed)}\n"
    return header + "".join(f"{line}\n" for line in (*context, *hunk.added))


def log_segments(log: EditLog, path: str, instruction: str = "", asked_after: int = 0) -> list[Segment]:
    """Segments of a whole log, its pending hunk left out: file name, snapshot, edits.

    An instruction stands after the first `asked_after` edits.
    """
    segments = [Segment(FILE, special=True), Segment(f"{file_name(path)}\n")]
    snapshot = shown(log.snapshot)
    if snapshot:
        body = "".join(f"{line}\n" for line in snapshot)
        segments += [Segment(DIFF, special=True), Segment(f"@{log.first_line + 1},0\n{body}")]
    asked = Segment(INSTRUCTION, special=True), Segment(f"{' '.join(instruction.split())}\n")
    for number, (before, hunk) in enumerate(log.steps()):
        if instruction and number == asked_after:
            segments += asked
        seen = shown_hunk(before, hunk)
        if seen.removed != seen.added:
            segments += [Segment(DIFF, special=True), Segment(hunk_text(before, seen, log.first_line))]
    if instruction and asked_after >= len(log.edits):
        segments += asked
    return segments


class EditLogFormat:
    """`edit-log/1`, Linewise's own Format."""

    name = "edit-log/1"

    def write_prompt(
        self, log: EditLog, path: str, instruction: str, asked_after: int | None = None
    ) -> Prompt:
        """The log, the instruction, and a diff token: the model writes the next edit's header itself."""
        log = log.close()
        place = len(log.edits) if asked_after is None else asked_after
        segments = [*log_segments(log, path, instruction, place), Segment(DIFF, special=True)]
        return Prompt(segments=tuple(segments), given="", healed="", stop=(END, FILE, INSTRUCTION))

    def inline_prompt(self, log: EditLog, path: str, cursor: Cursor) -> Prompt:
        """The log, then the hunk in progress at `cursor`: header, run-up, typed part of the line."""
        state = log.lines
        if not 0 <= cursor.line < max(1, len(state)):
            raise EditError(f"line {cursor.line} is outside the document, which has {len(state)} lines")
        current = state[cursor.line] if state else ""
        if not 0 <= cursor.column <= len(current):
            raise EditError(
                f"column {cursor.column} is outside line {cursor.line} ({len(current)} characters)"
            )
        pending = log.pending
        if pending is None or cursor.line != pending.start + len(pending.added) - 1:
            # The cursor is elsewhere, so the hunk in progress is over: it belongs to the log.
            log = log.close()
            is_line = bool(shown(state[cursor.line :]))
            start, replaced = cursor.line, int(is_line)
            typed: tuple[str, ...] = ()
        else:
            start, replaced = pending.start, len(pending.removed)
            if pending.end == len(log.closed_lines) and log.closed_lines and log.closed_lines[-1] == "":
                replaced -= 1
            typed = pending.added[:-1]
        closed = log.closed_lines
        run_up = min(INLINE_RUN_UP, start)
        before_cursor = (*closed[start - run_up : start], *typed)
        header = f"@{log.first_line + start - run_up + 1},{run_up + max(0, replaced)}\n"
        certain, healed = split_partial(bare(current[: cursor.column]))
        given = header + "".join(f"{bare(line)}\n" for line in before_cursor) + certain
        segments = [*log_segments(log, path), Segment(DIFF, special=True), Segment(given)]
        return Prompt(tuple(segments), given, healed, stop=(DIFF, END, FILE, INSTRUCTION))

    def parser(self, lines: Sequence[str], first_line: int = 0) -> StreamingParser:
        """Parser for edits that apply one after another, the first to `lines`."""
        return EditLogParser(lines, first_line)
