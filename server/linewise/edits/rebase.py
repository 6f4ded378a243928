"""Moves a hunk over a concurrent edit, both made against the same state.

What decides is the true change (`trim`), not the run-up. Changes conflict when they remove a line in
common, or when one inserts strictly inside what the other removes; changes that merely touch do not. An
insertion at the edge of removed lines stays on its side of what replaces them. Two insertions at the
same place keep both; which comes first is the caller's choice, `after_ties`.
"""

from __future__ import annotations

from collections.abc import Sequence

from linewise.edits.diff import trim
from linewise.edits.hunk import Edit, Hunk, Lines
from linewise.errors import ConflictError


def rebase(hunk: Hunk, over: Edit, *, after_ties: bool = True) -> Hunk:
    """`hunk` as it applies to the state after `over`; both are given against the same state.

    Where both insert at the same place, `hunk` goes after the lines of `over` if `after_ties`, else
    before them; with opposite values, rebasing either way round converges. A run-up (and a common tail)
    is taken from the new state; it is cut where `over` changed lines across its outer edge. Raises
    ConflictError where `over` changed the very lines that `hunk` changes.
    """
    core = trim(hunk)
    before: list[Hunk] = []
    after: list[Hunk] = []
    for other in map(trim, over.hunks):
        if not other.removed and not other.added:
            continue
        (before if _precedes(other, core, after_ties) else after).append(other)
    head = _new_head(hunk, core, before)
    tail = _new_tail(hunk, core, after)
    start = core.start + sum(other.growth for other in before)
    return Hunk(start - len(head), head + core.removed + tail, head + core.added + tail)


def rebase_edit(edit: Edit, over: Edit, *, after_ties: bool = True) -> Edit:
    """`edit` as it applies to the state after `over`, hunk by hunk by the rules of `rebase`.

    Run-ups are dropped, since those of neighbouring hunks could grow into each other, and so are hunks that
    change nothing, which conflict with nothing. Raises ConflictError if any other hunk conflicts.
    """
    changes = (core for core in map(trim, edit.hunks) if core.removed or core.added)
    return Edit(tuple(rebase(core, over, after_ties=after_ties) for core in changes))


def _precedes(other: Hunk, core: Hunk, after_ties: bool) -> bool:
    """Whether `other` stands before `core` in the state after both. Raises ConflictError on overlap."""
    if other.start == other.end == core.start == core.end:
        return after_ties
    if other.end <= core.start:
        return True
    if core.end <= other.start:
        return False
    raise ConflictError(
        f"lines {core.start + 1} to {max(core.end, core.start + 1)} were changed at the same time as lines "
        f"{other.start + 1} to {max(other.end, other.start + 1)}; drop the hunk or make it again"
    )


def _new_head(hunk: Hunk, core: Hunk, before: Sequence[Hunk]) -> Lines:
    """The common head of `hunk` as it reads after the changes `before` it."""
    edge = hunk.start
    for other in before:
        if other.start < edge < other.end:
            edge = other.end
    inside = [other for other in before if other.start >= edge and other.end > hunk.start]
    if edge >= core.start:
        return ()
    return _replaced(hunk.removed[edge - hunk.start : core.start - hunk.start], edge, inside)


def _new_tail(hunk: Hunk, core: Hunk, after: Sequence[Hunk]) -> Lines:
    """The common tail of `hunk` as it reads after the changes `after` it."""
    edge = hunk.end
    for other in reversed(after):
        if other.start < edge < other.end:
            edge = other.start
    inside = [other for other in after if other.end <= edge and other.start < hunk.end]
    if edge <= core.end:
        return ()
    return _replaced(hunk.removed[core.end - hunk.start : edge - hunk.start], core.end, inside)


def _replaced(lines: Lines, first: int, hunks: Sequence[Hunk]) -> Lines:
    """`lines`, of which the first stands at `first`, with `hunks` that lie within them applied."""
    out: list[str] = []
    done = 0
    for hunk in hunks:
        out += lines[done : hunk.start - first]
        out += hunk.added
        done = hunk.end - first
    out += lines[done:]
    return tuple(out)
