"""Small models fall into loops; this sees them early."""

from __future__ import annotations

from collections.abc import Sequence

from linewise.edits import Hunk

SAME_LINES = 3  # lines that come this often in a row are a loop
LONGEST_BLOCK = 4
TELLING = 3  # letters and digits that make a line worth recognising when it comes again


def loop_start(lines: Sequence[str], times: int = SAME_LINES) -> int | None:
    """Where a loop at the end of `lines` begins its first repetition, or None where there is none.

    A loop is a block of one to four lines, not all blank, that stands `times` times in a row at the
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


def telling(line: str) -> bool:
    """Whether a line says enough to be recognised when it comes again: three letters or digits."""
    return sum(map(str.isalnum, line)) >= TELLING


def repeats_neighbours(before: Sequence[str], hunk: Hunk) -> bool:
    """Whether a hunk only inserts lines that stand right before or right after its place already.

    Repeating what is there is the commonest fault of a model that reads the text after a place first.
    """
    size = len(hunk.added)
    if hunk.removed or not any(map(telling, hunk.added)):
        return False
    start, added = hunk.start, tuple(hunk.added)
    following, preceding = before[start : start + size], before[max(0, start - size) : start]
    return added in (tuple(following), tuple(preceding))
