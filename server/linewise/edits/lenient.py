"""Reads `<|diff|>` text line by line, as leniently as the resolver of the LintSeq paper.

For evaluation, so that a model's score is comparable: whatever the text, the program that the events
spell is the one that `resolve_edit_path` of upiterbarg/lintseq returns. Its rules are simple. A hunk is
whatever has exactly two `@@` in it; only the line after the `+` in its header counts, in the state that
all hunks before it left; hunks only insert (a line with `-` is inserted, too); anything else is skipped.
"""

from __future__ import annotations

from linewise.edits.events import EditCompleted, Event, HunkCompleted, HunkStarted, LineAdded, Malformed
from linewise.edits.header import DIFF_TOKEN, END_TOKEN, HEADER_MARK
from linewise.edits.hunk import Edit, Hunk

# The resolver strips the end token as a set of characters, so "+    extend" at the very end loses six.
END_CHARACTERS = "".join(sorted(set(END_TOKEN)))


class LenientReader:
    """Takes whole lines of diff text, without what is in `END_CHARACTERS` at its end, and yields events.

    Hunks of one diff that are out of order, which an Edit cannot hold, come as an edit of their own.
    """

    def __init__(self, line_count: int) -> None:
        self._length = line_count  # of the document after all hunks so far
        self._number = 0  # of the current line of diff text, 1-based, for messages
        self._first_of_edit = True
        self._hunks: list[Hunk] = []
        self._growth = 0  # of those hunks
        self._begin_piece()

    def read(self, line: str) -> list[Event]:
        """Events of the next line of text, given without its newline."""
        events: list[Event] = []
        self._number += 1
        if self._number > 1 and line.startswith(DIFF_TOKEN):
            events += self._end_piece()
            events += self._end_edit()
            self._first_of_edit = True
            text = line[len(DIFF_TOKEN) :]
        else:
            if not self._first_of_edit and line.startswith(HEADER_MARK):
                events += self._end_piece()
            text = line if self._number == 1 else "\n" + line
        self._first_of_edit = False
        return events + self._read_text(text)

    def finish(self, last: str) -> list[Event]:
        """Events of the last line, which no newline follows, and of the end."""
        return [*self.read(last), *self._end_piece(), *self._end_edit()]

    def _begin_piece(self) -> None:
        self._marks = 0  # how many `@@` this piece has had
        self._before = ""  # text up to the next `@@`, while there were fewer than two
        self._start: int | None = None  # of the hunk in progress, None where there is none
        self._added: list[str] = []

    def _read_text(self, text: str) -> list[Event]:
        """Read a line (with the newline before it) as part of the current piece."""
        events: list[Event] = []
        while self._marks < 2 and HEADER_MARK in text:
            before, text = text.split(HEADER_MARK, 1)
            self._marks += 1
            if self._marks == 2:
                events += self._read_header(self._before + before)
            self._before = ""
        if self._marks < 2:
            self._before += text
        elif self._start is not None:
            if HEADER_MARK in text:
                self._start = None
                return [*events, self._malformed("'@@' stands in the body")]
            events += self._read_body(text)
        return events

    def _read_header(self, context: str) -> list[Event]:
        ranges = context.strip().split(" ")
        if len(ranges) != 2:
            return [self._malformed(f"expected two ranges between '@@', found {context!r}")]
        try:
            place = int(ranges[1].split(",")[0].lstrip("+")) - 1
        except ValueError:
            return [self._malformed(f"{ranges[1]!r} does not begin with a line number")]
        # A place before the top counts back from the end, as an index of a Python list does.
        place = min(place, self._length) if place >= 0 else max(0, self._length + place)
        events: list[Event] = []
        if self._hunks and place < self._hunks[-1].start + self._growth:
            events += self._end_edit()
        self._start = place - self._growth
        return [*events, HunkStarted(self._start, 0)]

    def _read_body(self, text: str) -> list[Event]:
        if self._added:
            return [self._add(text[1:])]  # without the newline
        text = text.lstrip()
        return [self._add(text)] if text else []

    def _add(self, line: str) -> Event:
        added = line.lstrip("-").lstrip("+")
        self._added.append(added)
        return LineAdded(added)

    def _end_piece(self) -> list[Event]:
        events: list[Event] = []
        if self._start is not None:
            if not self._added:
                events.append(self._add(""))  # an empty body is one empty line
            hunk = Hunk(self._start, (), tuple(self._added))
            self._hunks.append(hunk)
            self._growth += hunk.growth
            self._length += hunk.growth
            events.append(HunkCompleted(hunk))
        elif self._marks == 1 or (self._marks == 0 and self._before.removeprefix(DIFF_TOKEN).strip()):
            events.append(self._malformed("text without a whole header"))
        self._begin_piece()
        return events

    def _end_edit(self) -> list[Event]:
        if not self._hunks:
            return []
        edit = Edit(tuple(self._hunks))
        self._hunks, self._growth = [], 0
        return [EditCompleted(edit)]

    def _malformed(self, reason: str) -> Malformed:
        return Malformed(f"line {self._number} of the diff: {reason}")
