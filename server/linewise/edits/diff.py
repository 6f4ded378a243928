"""From two states to the edit between them, and from a hunk with context to its true change."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from linewise.edits.hunk import Edit, Hunk


def diff(before: Sequence[str], after: Sequence[str]) -> Edit:
    """Edit that turns the lines `before` into `after`: the hunks of `difflib.unified_diff` with `n=0`.

    difflib's heuristic for very frequent lines ("autojunk") is on, as it is in `unified_diff`, so that
    the text of the edit is what models trained on difflib's output have seen.
    """
    opcodes = SequenceMatcher(None, before, after).get_opcodes()
    return Edit(
        tuple(
            Hunk(i1, tuple(before[i1:i2]), tuple(after[j1:j2]))
            for tag, i1, i2, j1, j2 in opcodes
            if tag != "equal"
        )
    )


def trim(hunk: Hunk) -> Hunk:
    """The true change in `hunk`: without the lines that `removed` and `added` share at head and tail.

    The head goes first: one more blank line among blank lines counts as the last of them. A hunk that
    changes nothing becomes one without lines, at its end.
    """
    removed, added = hunk.removed, hunk.added
    shorter = min(len(removed), len(added))
    head = 0
    while head < shorter and removed[head] == added[head]:
        head += 1
    tail = 0
    while tail < shorter - head and removed[-1 - tail] == added[-1 - tail]:
        tail += 1
    return Hunk(hunk.start + head, removed[head : len(removed) - tail], added[head : len(added) - tail])
