"""The Format `fim`: a model that fills in the middle completes at the cursor from what stands around it.

A prompt is the text before the cursor and the text after it, parted by the model's own special tokens; the
model writes what stands between. In the common order (prefix, suffix, middle) a prompt with the cursor after
"return " is (the blank may be part of the next token, so it is the model's to write)

    <|fim_prefix|>import math

    def area(r):
        return<|fim_suffix|>

    print(area(2))
    <|fim_middle|>

In the order `spm` the suffix comes first and the prefix last, so that the engine's cache survives typing.
The history of the document is not shown, and nothing can be asked for by instruction.

A keystroke changes what stands before the suffix, which the engine then reads again. So a prompt shows at
most `PREFIX_CHARACTERS` and `SUFFIX_CHARACTERS`, in whole lines; the prefix begins at a line that stays the
same for `STEP` lines of typing.

What the model never sees: carriage returns. The parser gives them back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from linewise.edits import (
    DIFF_TOKEN,
    Edit,
    EditCompleted,
    EditLog,
    Event,
    Hunk,
    HunkCompleted,
    HunkStarted,
    LineAdded,
    Lines,
    Malformed,
    StreamingParser,
)
from linewise.engines.protocol import FimTokens, Segment
from linewise.errors import EditError, ModelError
from linewise.formats.edit_log import FILE, file_name, split_partial
from linewise.formats.edit_log_parser import bare, line_ending
from linewise.formats.protocol import Cursor, Prompt

PREFIX, SUFFIX, MIDDLE = SPECIAL_TOKENS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
"""The tokens of models that are trained here; others name their own."""

PREFIX_CHARACTERS = 8000
SUFFIX_CHARACTERS = 3000
STEP = 32  # lines

_HEADER = re.compile(r"@(\d{1,9}),(\d{1,9})\|(.*)\Z")


def around_cursor(lines: Sequence[str], cursor: Cursor) -> tuple[str, str]:
    """The text before and after `cursor` that a prompt shows, without carriage returns."""
    current = bare(lines[cursor.line]) if lines else ""
    first = cursor.line
    size = cursor.column
    while first > 0 and size + len(lines[first - 1]) + 1 <= PREFIX_CHARACTERS:
        first -= 1
        size += len(lines[first]) + 1
    if first > 0 and (stable := -(-first // STEP) * STEP) <= cursor.line:
        first = stable
    last = cursor.line + 1
    size = len(current) - cursor.column
    while last < len(lines) and size + len(lines[last]) + 1 <= SUFFIX_CHARACTERS:
        size += len(lines[last]) + 1
        last += 1
    before = "".join(f"{bare(line)}\n" for line in lines[first : cursor.line])
    after = "".join(f"\n{bare(line)}" for line in lines[cursor.line + 1 : last])
    return before + current[: cursor.column], current[cursor.column :] + after


def fim_segments(prefix: str, suffix: str, tokens: FimTokens, path: str = "") -> list[Segment]:
    """Segments of a prompt, in the model's order; the file's name first, where `path` is given."""
    segments = [Segment(tokens.begin, special=True)] if tokens.begin else []
    if path:
        segments += [Segment(FILE, special=True), Segment(f"{file_name(path)}\n")]
    if tokens.order == "spm":
        parts = [(tokens.prefix, ""), (tokens.suffix, suffix), (tokens.middle, prefix)]
    else:
        parts = [(tokens.prefix, prefix), (tokens.suffix, suffix), (tokens.middle, "")]
    for special, text in parts:
        segments.append(Segment(special, special=True))
        if text:
            segments.append(Segment(text))
    return segments


class FimFormat:
    """`fim`: completion at the cursor only.

    `tokens` are the model's own. With `shows_name`, as models trained here were taught, a prompt begins
    with the file's name.
    """

    name = "fim"

    def __init__(self, tokens: FimTokens, *, shows_name: bool = False) -> None:
        self.tokens = tokens
        self._shows_name = shows_name

    def write_prompt(
        self,
        log: EditLog,  # noqa: ARG002
        path: str,  # noqa: ARG002
        instruction: str,  # noqa: ARG002
        asked_after: int | None = None,  # noqa: ARG002
    ) -> Prompt:
        """Always raises ModelError: these models know no instructions."""
        raise ModelError(
            "this model fills in the middle: it completes at the cursor and cannot write by instruction; "
            "for that serve a model of the format edit-log/1 or lintseq, such as the embedded one"
        )

    def inline_prompt(self, log: EditLog, path: str, cursor: Cursor) -> Prompt:
        """The text before and after `cursor`.

        The parser is told beforehand, in a header of its own, which lines the cursor's lines replace and
        what stands after the cursor.
        """
        lines = log.lines
        if not 0 <= cursor.line < max(1, len(lines)):
            raise EditError(f"line {cursor.line} is outside the document, which has {len(lines)} lines")
        current = bare(lines[cursor.line]) if lines else ""
        if not 0 <= cursor.column <= len(current):
            raise EditError(
                f"column {cursor.column} is outside line {cursor.line} ({len(current)} characters)"
            )
        place = _place(log, cursor.line)
        certain, healed = split_partial(current[: cursor.column])
        prefix, suffix = around_cursor(lines, cursor)
        prefix = prefix[: len(prefix) - len(healed)]
        header = f"@{log.first_line + place.start + 1},{len(place.removed)}|{current[cursor.column :]}\n"
        given = header + "".join(f"{bare(line)}\n" for line in place.added) + certain
        segments = fim_segments(prefix, suffix, self.tokens, path if self._shows_name else "")
        return Prompt(tuple(segments), given, healed, self._stop())

    def parser(self, lines: Sequence[str], first_line: int = 0) -> StreamingParser:
        """Parser of one middle, which goes where `Prompt.given` says."""
        return _MiddleParser(lines, first_line)

    def _stop(self) -> tuple[str, ...]:
        ours = (FILE, DIFF_TOKEN) if self._shows_name else ()
        return (self.tokens.prefix, self.tokens.suffix, self.tokens.middle, *self.tokens.ends, *ours)


def _place(log: EditLog, line: int) -> Hunk:
    """What a completion in `line` of `log.lines` replaces in its closed lines; `added` stands before it."""
    pending = log.pending
    if pending is not None and pending.start <= line < pending.start + len(pending.added):
        return Hunk(pending.start, pending.removed, pending.added[: line - pending.start])
    shift = pending.growth if pending is not None and line >= pending.start else 0
    return Hunk(line - shift, log.closed_lines[line - shift : line - shift + 1], ())


class _MiddleParser:
    """Implements `StreamingParser`: a header, the typed lines, and the middle make one hunk."""

    def __init__(self, lines: Sequence[str], first_line: int) -> None:
        self._lines: Lines = tuple(lines)
        self._first_line = first_line
        self._buffer = ""
        self._place: tuple[int, int] | None = None
        self._tail = ""
        self._body: list[str] = []
        self._broken = False

    def feed(self, text: str) -> Sequence[Event]:
        """Read the next piece of text; return the events that it completes."""
        if self._broken:
            return []
        *whole, self._buffer = (self._buffer + text).split("\n")
        return [event for line in whole for event in self._read(line)]

    def finish(self) -> Sequence[Event]:
        """The middle has ended: what stood after the cursor follows it on its last line."""
        if self._broken:
            return []
        if self._place is None:
            return self._fault(self._buffer) if self._buffer else []
        line, self._buffer = self._buffer + self._tail, ""
        events = self._read(line)
        hunk = self._hunk(*self._place)
        return [*events, HunkCompleted(hunk), EditCompleted(Edit((hunk,)))]

    def _read(self, line: str) -> list[Event]:
        if self._broken:
            return []
        if self._place is not None:
            self._body.append(line)
            return [LineAdded(line)]
        match = _HEADER.match(line)
        if match is None:
            return self._fault(line)
        start, removed = int(match[1]) - 1 - self._first_line, int(match[2])
        if start < 0 or start + removed > len(self._lines):
            return self._fault(line)
        self._place, self._tail = (start, removed), match[3]
        return [HunkStarted(start, removed)]

    def _fault(self, line: str) -> list[Event]:
        self._broken = True
        return [Malformed(f"expected the place of a middle in the document, got {line!r}")]

    def _hunk(self, start: int, removed: int) -> Hunk:
        """The hunk with the document's own line ending; its last line has none where the document's has."""
        ending = line_ending(self._lines)
        added = [line + ending for line in self._body]
        if start + removed == len(self._lines):
            added[-1] = self._body[-1]
        return Hunk(start, self._lines[start : start + removed], tuple(added))
