"""Small models fall into loops; this sees them early."""

from __future__ import annotations

from collections.abc import Sequence

from linewise.edits import Hunk

SAME_LINES = 3  # lines that come this often in a row are a loop
LONGEST_BLOCK = 6
SAME_PIECES = 6  # pieces of a line that come this often in a row are a loop
LONGEST_PIECE = 60  # characters
LOOP_CHARACTERS = 40  # that the pieces make up at least: rows of equal numbers exist
RULE_CHARACTERS = 120  # the same for pieces of marks and blanks: rules are drawn with them
LOOP_TIMES = 4  # blocks in a row of one-line hunks: more patient, since tables of equal rows exist
LOOP_REACH = 16  # lines before or after a hunk in which a loop may have begun
TELLING = 3  # letters and digits that make a line worth recognising when it comes again


def loop_start(lines: Sequence[str], times: int = SAME_LINES) -> int | None:
    """Where a loop at the end of `lines` begins its first repetition, or None where there is none.

    A loop is a block of one to six lines, not all blank, that stands `times` times in a row at the
    end. What stands before the returned index is worth keeping: it has the block once.
    """
    for size in range(1, LONGEST_BLOCK + 1):
        needed = size * times
        if len(lines) < needed:
            return None
        block = list(lines[-size:])
        tail = list(lines[-needed:])
        if any(line.strip() for line in block) and tail == block * times:
            return len(lines) - needed + size
    return None


def loop_start_in_line(line: str, times: int = SAME_PIECES) -> int | None:
    """Where a loop at the end of `line` begins its first repetition, in characters; None without one.

    A loop is a piece of 1 to 60 characters that stands so many `times` in a row at the end, over at least 40
    characters, or 120 where it is all marks and blanks.
    """
    for size in range(1, LONGEST_PIECE + 1):
        needed = max(size * times, LOOP_CHARACTERS)
        if len(line) < needed:
            return None
        if not any(map(str.isalnum, line[-size:])):
            needed = max(needed, RULE_CHARACTERS)
        tail = line[-needed:]
        if len(tail) == needed and tail[size:] == tail[:-size]:
            start = len(line) - needed + size
            while start > size and line[start - 1] == line[start - 1 - size]:
                start -= 1
            return start
    return None


def loop_in(text: str, *, again: bool = False) -> int | None:
    """Where a loop at the end of `text` begins its first repetition, in characters; None without one.

    It is one of whole lines, blank ones aside, where the last line has ended, else one within it.
    `again` says that the text has gone round before: a line that stands there twice is then a loop, and a
    piece that stands there four times.
    """
    last = text.rfind("\n") + 1
    if last < len(text):
        start = loop_start_in_line(text[last:], SAME_PIECES - 2 * again)
        return None if start is None else last + start
    lines = text.split("\n")[:-1]
    places = [place for place, line in enumerate(lines) if line.strip()]
    begins = loop_start([lines[place] for place in places], SAME_LINES - again)
    if begins is None or not lines[-1].strip():
        return None
    return sum(len(line) + 1 for line in lines[: places[begins - 1] + 1])


def telling(line: str) -> bool:
    """Whether a line says enough to be recognised when it comes again: three letters or digits."""
    return sum(map(str.isalnum, line)) >= TELLING


def repetition(before: Sequence[str], hunk: Hunk, written: Sequence[Hunk]) -> str:
    """Why an insertion only repeats what is there; an empty string if it does not.

    It may repeat the lines that stand right before or right after its place (the commonest fault of a
    model that has read the text after it), a block of an earlier hunk of the same write (`written`), or,
    with the lines before or after it, go round in a loop hunk by hunk.
    """
    if hunk.removed:
        return ""
    start, size, added = hunk.start, len(hunk.added), tuple(hunk.added)
    from_above = (*before[max(0, start - LOOP_REACH) : start], *added)
    from_below = (*added, *before[start : start + LOOP_REACH])[::-1]
    if any(loop_start(lines, LOOP_TIMES) is not None for lines in (from_above, from_below)):
        return "the model repeats itself, hunk after hunk"
    if not any(map(telling, added)):
        return ""  # brackets may well close in a row
    if added in (tuple(before[start : start + size]), tuple(before[max(0, start - size) : start])):
        return "the hunk repeats the lines that stand there"
    if size > 1 and any(old.added == added for old in written):
        return "the hunk repeats an earlier one of this write"
    return ""
