"""Streaming parser of `edit-log/1`: text in, hunks out, each proven by its run-up.

The place a header names counts only when the document agrees: the first line of the body must stand at
START. Where it does not, the hunk goes to the one nearest place where it does, or is malformed. Only a
hunk at the first line, before which no line could stand, needs no run-up; where that is the first of a
window, what comes in its place must be like it, and it cannot go for nothing. A malformed hunk tells how it
could have begun: small models count lines badly, and write run-ups nearly as they stand. It then removes no
line with text that the model has not shown to know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from linewise.edits import (
    DIFF_TOKEN,
    Edit,
    EditCompleted,
    Event,
    Hunk,
    HunkCompleted,
    HunkStarted,
    LineAdded,
    Malformed,
    apply_hunk,
)

LEAST_LIKENESS = 0.6
"""Of a line to a run-up that stands nowhere, for the hunk to be mended to go there (difflib's ratio)."""

_HEADER = re.compile(r"@(\d{1,9}),(\d{1,9})\Z")


def bare(line: str) -> str:
    """`line` without the carriage return that may end it."""
    return line[:-1] if line.endswith("\r") else line


class EditLogParser:
    """Implements `StreamingParser` for `edit-log/1`; each hunk is an edit of its own."""

    def __init__(self, lines: Sequence[str], first_line: int = 0) -> None:
        self._state = tuple(lines)
        self._first_line = first_line
        self._ending = line_ending(self._state)
        self._buffer = ""
        self._header: tuple[int, int] | None = None
        self._start = 0
        self._body: list[str] = []
        self._skipping = False

    @property
    def lines(self) -> tuple[str, ...]:
        """The state after the last completed hunk."""
        return self._state

    def beginning(self, line: int) -> str:
        """How a hunk begins that comes after `line` (0-based): it is the run-up."""
        if not 0 <= line < self._shown_length():
            return ""
        return f"{self._header_text(line, 1)}{bare(self._state[line])}\n"

    def feed(self, text: str) -> Sequence[Event]:
        """Read the next piece of text; return the events that it completes."""
        self._buffer += text
        events: list[Event] = []
        while True:
            if self._buffer.startswith(DIFF_TOKEN):
                events += self._end_hunk()
                self._buffer = self._buffer[len(DIFF_TOKEN) :]
                continue
            if DIFF_TOKEN.startswith(self._buffer):
                return events  # empty, or perhaps the beginning of a diff token
            newline = self._buffer.find("\n")
            if newline < 0:
                return events
            line, self._buffer = self._buffer[:newline], self._buffer[newline + 1 :]
            events += self._read_line(line)

    def finish(self) -> Sequence[Event]:
        """The text has ended: a last line without newline counts as whole, and the hunk ends."""
        events: list[Event] = []
        if self._buffer:
            line, self._buffer = self._buffer, ""
            events += self._read_line(line)
        return [*events, *self._end_hunk()]

    def _read_line(self, line: str) -> list[Event]:
        if self._skipping:
            return []
        if self._header is None:
            return self._read_header(line)
        events: list[Event] = []
        if not self._body:
            placed = self._place(line)
            if isinstance(placed, Malformed):
                self._skipping = True
                return [placed]
            self._start = placed
            events.append(HunkStarted(placed, self._header[1] if self._header else 0))
        self._body.append(line)
        return [*events, LineAdded(line)]

    def _read_header(self, line: str) -> list[Event]:
        match = _HEADER.match(line)
        if not match:
            self._skipping = True
            return [Malformed(f"expected a header such as @12,1, got {line!r}")]
        start, removed = int(match[1]) - 1 - self._first_line, int(match[2])
        shown = self._shown_length()
        if not 0 <= start <= shown or start + removed > shown:
            self._skipping = True
            start = min(start, shown) if start > 0 else 0
            return [
                Malformed(
                    f"header {line!r} points outside the document, which has {shown} lines",
                    self._header_text(start, self._unproven(start, removed)),
                )
            ]
        self._header = (start, removed)
        return []

    def _place(self, line: str) -> int | Malformed:
        """Where the hunk whose body begins with `line` goes; its header is known."""
        start, removed = self._header or (0, 0)
        if start == 0 and (removed == 0 or (not self._stands_at(line, 0) and self._may_begin(line))):
            return 0
        if removed == 0:
            return Malformed(
                f"an insertion at line {start + 1} has no run-up to prove its place",
                self._mended(line, start, 1),
            )
        if self._stands_at(line, start):
            return start
        last = self._shown_length() - removed
        places = [p for p in range(last + 1) if self._stands_at(line, p)] if line.strip() else []
        nearest = min((abs(p - start) for p in places), default=0)
        places = [p for p in places if abs(p - start) == nearest]
        if len(places) != 1:
            found = "nowhere in the document" if not places else "at two places equally near"
            return Malformed(
                f"run-up {line!r} does not stand at line {start + 1}; it stands {found}",
                self._mended(line, start, removed),
            )
        return places[0]

    def _mended(self, line: str, start: int, removed: int) -> str:
        """Header and run-up of the line most like `line`; of those as like, the one nearest to `start`."""
        known = {bare(text) for text in self._state[: self._shown_length()] if text.strip()}
        if not known:
            return ""
        like = max(sorted(known), key=lambda text: _likeness(text, line))
        if _likeness(like, line) < LEAST_LIKENESS:  # what was written says less than the number does
            places = [p for p in range(self._shown_length()) if bare(self._state[p]) in known]
        else:
            places = [p for p in range(self._shown_length()) if self._stands_at(like, p)]
        place = min(places, key=lambda p: abs(p - start))
        header = self._header_text(place, self._unproven(place, removed))
        return f"{header}{bare(self._state[place])}\n"

    def _may_begin(self, line: str) -> bool:
        """Whether `line` may come in the place of the first: of a window's, it must be like that."""
        return not self._first_line or _likeness(self._state[0].strip(), line.strip()) >= LEAST_LIKENESS

    def _unproven(self, start: int, removed: int) -> int:
        """How many of `removed` lines from `start` may go: its run-up, and blank lines that follow it."""
        last = min(start + removed, self._shown_length())
        texts = (n for n in range(start + 1, last) if self._state[n].strip())
        return next(texts, max(start, last)) - start

    def _header_text(self, start: int, removed: int) -> str:
        return f"@{start + 1 + self._first_line},{removed}\n"

    def _end_hunk(self) -> list[Event]:
        header, body = self._header, self._body
        skipped, started = self._skipping, header is not None
        self._header, self._body, self._skipping = None, [], False
        if skipped or not started or header is None:
            return []
        start, removed = (self._start if body else header[0]), header[1]
        events: list[Event] = [] if body else [HunkStarted(start, removed)]
        if not body and removed == 0:
            return [Malformed("a hunk that neither removes nor adds a line")]
        if not body and (start or self._first_line):
            reason = f"a removal at line {start + 1 + self._first_line} has no run-up to prove its place"
            return [Malformed(reason, self._mended("", start, removed))]
        hunk = self._hunk(start, removed, body)
        self._state = apply_hunk(self._state, hunk)
        return [*events, HunkCompleted(hunk), EditCompleted(Edit((hunk,)))]

    def _hunk(self, start: int, removed: int, body: Sequence[str]) -> Hunk:
        """The hunk in the document's own terms: its line ending, its exact unchanged lines."""
        old = self._state[start : start + removed]
        added = [line + self._ending for line in body]
        for index, line in enumerate(old[: len(added)]):
            if bare(line) != body[index]:
                break
            added[index] = line
        if not self._state:
            added.append("")  # a new file ends with a newline
        elif start + removed == len(self._state) and added:
            # A file without a final newline: its last line, and only that, has no ending.
            if len(old) < len(added) and added[len(old) - 1] == old[-1]:
                added[len(old) - 1] = bare(old[-1]) + self._ending
            added[-1] = bare(added[-1])
        return Hunk(start, tuple(old), tuple(added))

    def _stands_at(self, line: str, place: int) -> bool:
        return place < self._shown_length() and bare(self._state[place]) == line

    def _shown_length(self) -> int:
        return len(self._state) - bool(self._state and self._state[-1] == "")


def _likeness(line: str, other: str) -> float:
    """0 to 1, for lines that differ in nothing."""
    return SequenceMatcher(None, line, other, autojunk=False).ratio()


def line_ending(lines: Sequence[str]) -> str:
    r"""The carriage return that most lines of the document end with, if most do."""
    ended = sum(line.endswith("\r") for line in lines)
    return "\r" if ended * 2 > len(lines) - 1 and ended else ""
