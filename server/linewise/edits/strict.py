"""Reads `<|diff|>` text line by line, strictly: what is not exactly an edit is named and left out."""

from __future__ import annotations

from collections.abc import Sequence

from linewise.edits.apply import apply_edit
from linewise.edits.events import EditCompleted, Event, HunkCompleted, HunkStarted, LineAdded, Malformed
from linewise.edits.header import DIFF_TOKEN, Header, read_header
from linewise.edits.hunk import Edit, Hunk, Lines


class StrictReader:
    """Takes whole lines of diff text, one after the other, and yields events.

    After a fault, hunks already completed stand (they come as a completed edit, for a reader of the
    stream may have applied them), and everything up to the next line that begins with the diff token is
    skipped. Without `lines` it checks only the text itself, not whether the edits fit a document.
    """

    def __init__(self, lines: Sequence[str] | None) -> None:
        self._state: Lines | None = None if lines is None else tuple(lines)
        self._number = 0  # of the current line of diff text, 1-based, for messages
        self._open = False  # an edit has begun and has no fault
        self._at_edge = False  # nothing but the diff token of this edit was read
        self._hunks: list[Hunk] = []
        self._growth = 0
        self._header: Header | None = None  # of the hunk in progress
        self._removed: list[str] = []
        self._added: list[str] = []

    def read(self, line: str) -> list[Event]:
        """Events of the next line of text, given without its newline."""
        self._number += 1
        if line.startswith(DIFF_TOKEN):
            events = self._end_edit() if self._open else []
            self._open, self._at_edge = True, True
            rest = line[len(DIFF_TOKEN) :]
            # A token with nothing after it is an edit without hunks, unless more lines follow.
            return events + self._read_header(rest) if rest else events
        if self._number == 1:
            self._open = True
            return self._read_header(line)
        if not self._open:
            return []
        if self._header is not None:
            return self._read_body(self._header, line)
        if self._at_edge:
            return self._fault("the first header must follow the diff token on its own line")
        return self._read_header(line)

    def finish(self, last: str) -> list[Event]:
        """Events of the last line, which no newline follows, and of the end; it may be empty."""
        events = self.read(last) if last else []
        return events + (self._end_edit() if self._open else [])

    def _read_header(self, line: str) -> list[Event]:
        self._at_edge = False
        header = read_header(line)
        if header is None:
            return self._fault(f"expected a header like '@@ -4,0 +5,2 @@', found {line!r}")
        fault = self._misfit(header)
        if fault is not None:
            return self._fault(fault)
        self._header = header
        return [HunkStarted(header.start, header.removed), *self._complete_hunk(header)]

    def _misfit(self, header: Header) -> str | None:
        """Why `header` cannot follow the hunks before it, or lies outside the document."""
        if self._hunks and header.start < self._hunks[-1].end:
            return f"the hunk at line {header.start + 1} overlaps the one before it or is out of order"
        if header.start_after != header.start + self._growth:
            return (
                f"the header says that the hunk stands at line {header.start_after + 1} afterwards, but it "
                f"stands at line {header.start + self._growth + 1}"
            )
        if self._state is not None and header.start + header.removed > len(self._state):
            return (
                f"the hunk at line {header.start + 1} removes {header.removed} lines, but the text has "
                f"only {len(self._state)}"
            )
        return None

    def _read_body(self, header: Header, line: str) -> list[Event]:
        sign, text = line[:1], line[1:]
        if sign == "-" and len(self._removed) < header.removed:
            place = header.start + len(self._removed)
            if self._state is not None and self._state[place] != text:
                return self._fault(
                    f"the hunk removes {text!r}, but line {place + 1} is {self._state[place]!r}"
                )
            self._removed.append(text)
            return self._complete_hunk(header)
        if sign == "+" and len(self._removed) == header.removed:
            self._added.append(text)
            return [LineAdded(text), *self._complete_hunk(header)]
        if sign in ("+", "-"):
            return self._fault(self._count_fault(header))
        return self._fault(f"expected a line that begins with '+' or '-', found {line!r}")

    def _complete_hunk(self, header: Header) -> list[Event]:
        if len(self._removed) < header.removed or len(self._added) < header.added:
            return []
        hunk = Hunk(header.start, tuple(self._removed), tuple(self._added))
        self._hunks.append(hunk)
        self._growth += hunk.growth
        self._drop_hunk()
        return [HunkCompleted(hunk)]

    def _end_edit(self) -> list[Event]:
        if self._header is not None:
            return self._fault(self._count_fault(self._header))
        return [self._complete_edit()]

    def _complete_edit(self) -> Event:
        edit = Edit(tuple(self._hunks))
        if self._state is not None:
            self._state = apply_edit(self._state, edit)
        self._hunks, self._growth = [], 0
        self._open, self._at_edge = False, False
        return EditCompleted(edit)

    def _fault(self, reason: str) -> list[Event]:
        self._drop_hunk()
        events: list[Event] = [self._complete_edit()] if self._hunks else []
        self._open, self._at_edge = False, False
        return [*events, Malformed(f"line {self._number} of the diff: {reason}")]

    def _count_fault(self, header: Header) -> str:
        return (
            f"the header announces {header.removed} removed, then {header.added} added lines, but the body "
            f"breaks off or goes astray after {len(self._removed)} and {len(self._added)}"
        )

    def _drop_hunk(self) -> None:
        self._header, self._removed, self._added = None, [], []
