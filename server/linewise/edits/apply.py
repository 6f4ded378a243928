"""Hunks and edits at work on lines: apply, resolve a sequence, undo, one hunk after another."""

from __future__ import annotations

from collections.abc import Sequence

from linewise.edits.hunk import Edit, EditSequence, Hunk, Lines
from linewise.errors import EditError


def check_fit(lines: Sequence[str], hunk: Hunk) -> None:
    """Raise EditError unless `hunk` lies within `lines` and removes exactly what stands there."""
    if hunk.start < 0 or hunk.end > len(lines):
        raise EditError(
            f"the hunk at line {hunk.start + 1} removes {len(hunk.removed)} lines, but the text has only "
            f"{len(lines)}; make the hunk against the current text"
        )
    if tuple(lines[hunk.start : hunk.end]) == hunk.removed:
        return
    for number, expected in enumerate(hunk.removed, hunk.start):
        if lines[number] != expected:
            raise EditError(
                f"line {number + 1} should be {expected!r} for this hunk to apply, but is "
                f"{lines[number]!r}; make the hunk against the current text"
            )


def apply_hunk(lines: Sequence[str], hunk: Hunk) -> Lines:
    """The lines after `hunk`. Raises EditError when the lines it removes are not there."""
    check_fit(lines, hunk)
    return (*lines[: hunk.start], *hunk.added, *lines[hunk.end :])


def apply_edit(lines: Sequence[str], edit: Edit) -> Lines:
    """The lines after all hunks of `edit`, each of which counts lines in `lines`.

    Raises EditError when a hunk does not fit, or hunks overlap or are out of order.
    """
    after: list[str] = []
    done = 0
    for hunk in edit.hunks:
        if hunk.start < done:
            raise EditError(
                f"the hunk at line {hunk.start + 1} begins before line {done + 1}, where the hunk before it "
                "ends; order the hunks and merge those that overlap"
            )
        check_fit(lines, hunk)
        after += lines[done : hunk.start]
        after += hunk.added
        done = hunk.end
    after += lines[done:]
    return tuple(after)


def resolve(sequence: EditSequence, lines: Sequence[str] = ()) -> Lines:
    """The lines that `sequence` writes, starting from `lines`. Raises EditError when an edit does not fit."""
    state = tuple(lines)
    for edit in sequence.edits:
        state = apply_edit(state, edit)
    return state


def invert_hunk(hunk: Hunk) -> Hunk:
    """The hunk that undoes `hunk` in the state after it."""
    return Hunk(hunk.start, hunk.added, hunk.removed)


def invert(edit: Edit) -> Edit:
    """The edit that undoes `edit`; it counts lines in the state after. Inverting twice gives `edit`."""
    return Edit(tuple(invert_hunk(hunk) for hunk in sequential(edit)))


def sequential(edit: Edit) -> tuple[Hunk, ...]:
    """The hunks of `edit` moved so that each applies to the state that the one before it left."""
    moved: list[Hunk] = []
    growth = 0
    for hunk in edit.hunks:
        moved.append(Hunk(hunk.start + growth, hunk.removed, hunk.added))
        growth += hunk.growth
    return tuple(moved)
