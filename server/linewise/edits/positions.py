r"""Places in a text: LSP positions in three encodings, offsets in code points, and hunks as ranges.

An offset counts code points of the whole text. An LSP position counts lines, which end at "\n", "\r\n"
or a lone "\r" (LSP 3.18, "Text Documents"), and code units of the line in the negotiated encoding.
A hunk's lines end at "\n" only; offsets are what joins the two countings.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from enum import Enum
from itertools import accumulate
from typing import NamedTuple

from linewise.edits.apply import check_fit
from linewise.edits.diff import trim
from linewise.edits.hunk import Hunk, join_lines, split_lines
from linewise.errors import EditError

_BLOCK = 128  # lines
_LINE_END = re.compile(r"\r\n|\r|\n")


class PositionEncoding(str, Enum):
    """What an LSP position's `character` counts. The values are LSP's own names."""

    UTF_8 = "utf-8"
    UTF_16 = "utf-16"
    UTF_32 = "utf-32"


class Position(NamedTuple):
    """A 0-based line, and the code units before the place in that line."""

    line: int
    character: int


class PositionMap:
    """Translates between offsets and LSP positions of one text.

    A lone surrogate counts as the code point that it is: 3 bytes in UTF-8, one unit in UTF-16.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        if "\r" in text:
            self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
        else:
            self._starts = [0, *accumulate(len(line) + 1 for line in text.split("\n")[:-1])]

    @property
    def line_count(self) -> int:
        """How many lines LSP counts: one more than there are line ends."""
        return len(self._starts)

    def offset(self, line: int, character: int, encoding: PositionEncoding) -> int:
        """The offset of an LSP position.

        A `character` beyond the line's end means its end; one inside a code point means its beginning.
        The line after the last one with character 0, which some editors send, is the end of the text.
        Raises EditError for a line beyond that or a negative number.
        """
        if line == self.line_count and character == 0:
            return len(self._text)
        if line < 0 or character < 0 or line >= self.line_count:
            raise _outside(line, character, self.line_count)
        start, end = self._starts[line], self._content_end(line)
        return start + _code_points(self._text[start:end], character, encoding)

    def position(self, offset: int, encoding: PositionEncoding) -> Position:
        r"""The LSP position of `offset`; inside "\r\n" it is the end of the line.

        Raises EditError for an offset outside the text.
        """
        _check_offset(offset, len(self._text))
        line = bisect_right(self._starts, offset) - 1
        start = self._starts[line]
        before = self._text[start : min(offset, self._content_end(line))]
        return Position(line, _code_units(before, encoding))

    def _content_end(self, line: int) -> int:
        if line + 1 == self.line_count:
            return len(self._text)
        end = self._starts[line + 1]
        return end - (2 if self._text.endswith("\r\n", self._starts[line], end) else 1)


class Place(NamedTuple):
    """A 0-based line, as `split_lines` parts a text, and the code points before the place in that line."""

    line: int
    column: int


class LinePositions:
    r"""What PositionMap does, from the lines of a text: it costs one line, however long the text is.

    Only for texts in which LSP's lines are ours, as `is_possible` says: every "\r" stands before a "\n".
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines or ("",)

    @staticmethod
    def is_possible(lines: Sequence[str]) -> bool:
        r"""Whether no "\r" of the text ends a line by itself. This reads the whole text."""
        ends = any("\r" in line[:-1] for line in lines)
        return not ends and not (lines and lines[-1].endswith("\r"))

    def place(self, line: int, character: int, encoding: PositionEncoding) -> Place:
        """The place of an LSP position, which is read as `PositionMap.offset` reads it.

        Raises EditError for a position outside the text.
        """
        count = len(self._lines)
        if line == count and character == 0:
            return Place(count - 1, len(self._lines[-1]))
        if line < 0 or character < 0 or line >= count:
            raise _outside(line, character, count)
        return Place(line, _code_points(self._content(line), character, encoding))

    def position(self, place: Place, encoding: PositionEncoding) -> Position:
        """The LSP position of a place of the text."""
        return Position(place.line, _code_units(self._content(place.line)[: place.column], encoding))

    def _content(self, line: int) -> str:
        return self._lines[line].removesuffix("\r")


class TextChange(NamedTuple):
    """Replace the code points from offset `start` to `end` of a text by `text`."""

    start: int
    end: int
    text: str


def hunk_to_range(lines: Sequence[str], hunk: Hunk) -> TextChange:
    """The change of the text `join_lines(lines)` that `hunk` makes, exact to the character.

    Raises EditError when the hunk does not fit `lines`.
    """
    check_fit(lines, hunk)
    start = _line_offset(lines, hunk.start)
    if hunk.end < len(lines):
        end = start + sum(len(line) + 1 for line in hunk.removed)
        return TextChange(start, end, "".join(line + "\n" for line in hunk.added))
    # At the end of the text there is no newline behind the hunk, so the one before it comes and goes.
    end = max(0, _line_offset(lines, len(lines)) - 1)
    if hunk.start == 0:
        return TextChange(0, end, join_lines(hunk.added))
    return TextChange(start - 1, end, "".join("\n" + line for line in hunk.added))


def change_to_hunk(lines: Sequence[str], start: int, end: int, new_text: str) -> Hunk:
    """The trimmed hunk that replacing offsets `start` to `end` of `join_lines(lines)` by `new_text` makes.

    An editor's text change becomes a hunk here. Raises EditError for offsets outside the text.
    """
    if start > end:
        raise EditError(f"a change cannot begin at offset {start} and end before it, at {end}; swap them")
    if not lines:
        _check_offset(start, 0)
        _check_offset(end, 0)
        return Hunk(0, (), split_lines(new_text))
    first, first_offset = _line_at(lines, start, 0, 0)
    last, last_offset = _line_at(lines, end, first, first_offset)
    return replacement(lines, Place(first, start - first_offset), Place(last, end - last_offset), new_text)


def replacement(lines: Sequence[str], start: Place, end: Place, new_text: str) -> Hunk:
    """The trimmed hunk that replacing what stands between two places of `lines` by `new_text` makes.

    Raises EditError where `start` stands after `end`.
    """
    if start > end:
        raise EditError(f"a change cannot begin at {start} and end before it, at {end}; swap them")
    if not lines:
        return Hunk(0, (), split_lines(new_text))
    first, last = start.line, end.line
    text = lines[first][: start.column] + new_text + lines[last][end.column :]
    removed = tuple(lines[first : last + 1])
    # An emptied document has no lines, as `split_lines` has it; an emptied line is still a line.
    added = split_lines(text) if len(removed) == len(lines) else tuple(text.split("\n"))
    return trim(Hunk(first, removed, added))


def _outside(line: int, character: int, count: int) -> EditError:
    return EditError(
        f"position {line}:{character} is outside the document, which has {count} lines; "
        "the editor and the server disagree about the text, so open the document again"
    )


def _line_offset(lines: Sequence[str], line: int) -> int:
    """The offset at which `line` begins; behind the last line, where one more would begin."""
    return sum(map(len, lines[:line])) + line


def _line_at(lines: Sequence[str], offset: int, line: int, line_offset: int) -> tuple[int, int]:
    """The line that holds `offset` and where it begins, searched from `line` at `line_offset` on.

    Raises EditError for an offset outside the text.
    """
    if offset < 0:
        raise _no_offset(offset, _length(lines))
    # A keystroke comes through here: blocks first, whose lengths are added up without a loop of our own.
    while line + _BLOCK <= len(lines):
        size = sum(map(len, lines[line : line + _BLOCK])) + _BLOCK
        if line_offset + size > offset:
            break
        line, line_offset = line + _BLOCK, line_offset + size
    while line < len(lines) and offset > line_offset + len(lines[line]):
        line_offset += len(lines[line]) + 1
        line += 1
    if line == len(lines):
        raise _no_offset(offset, _length(lines))
    return line, line_offset


def _length(lines: Sequence[str]) -> int:
    return max(0, sum(map(len, lines)) + len(lines) - 1)


def _check_offset(offset: int, length: int) -> None:
    if not 0 <= offset <= length:
        raise _no_offset(offset, length)


def _no_offset(offset: int, length: int) -> EditError:
    return EditError(f"offset {offset} is outside the text of {length} characters; read the text again")


def _has_unit_width(text: str, encoding: PositionEncoding) -> bool:
    """Whether every code point of `text` is one code unit."""
    if encoding is PositionEncoding.UTF_32 or text.isascii():
        return True
    return encoding is PositionEncoding.UTF_16 and max(text) < "\U00010000"


def _width(character: str, encoding: PositionEncoding) -> int:
    point = ord(character)
    if encoding is PositionEncoding.UTF_16:
        return 1 if point < 0x10000 else 2
    return 1 if point < 0x80 else 2 if point < 0x800 else 3 if point < 0x10000 else 4


def _code_units(text: str, encoding: PositionEncoding) -> int:
    if _has_unit_width(text, encoding):
        return len(text)
    return sum(_width(character, encoding) for character in text)


def _code_points(line: str, units: int, encoding: PositionEncoding) -> int:
    """How many whole code points of `line` its first `units` code units hold."""
    if _has_unit_width(line, encoding):
        return min(units, len(line))
    for index, character in enumerate(line):
        units -= _width(character, encoding)
        if units < 0:
            return index
    return len(line)
