"""Small models fall into loops; this sees them early."""

from __future__ import annotations

from collections.abc import Sequence

SAME_LINES = 3  # lines that come this often in a row are a loop
LONGEST_BLOCK = 4


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
