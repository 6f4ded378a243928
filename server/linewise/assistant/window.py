"""Fits a document's log into a model's context, moving what the model sees as rarely as can be.

A document that fits is shown whole. Of a longer one the model sees a window: three blocks of snapshot
lines, the middle one holding the place of interest. Blocks are fixed in the snapshot, so the window moves
only when the place leaves its block, and the prompt until then only grows at its end (the engine's cache
stays valid). When edits, not the snapshot, fill the context, the older half of them is folded into the
snapshot, once for many edits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from linewise.assistant.document import Document, DocumentState
from linewise.edits import EditLog, Hunk, Lines, apply_hunk, invert_hunk
from linewise.engines.protocol import CountsTokens, Engine, Segment
from linewise.errors import ContextError
from linewise.formats.protocol import Prompt

CHARACTERS_A_TOKEN = 3  # of code, a first guess: what does not fit is halved until it does
SMALLEST_BLOCK = 4  # lines
EDIT_OVERHEAD = 40  # characters of an edit's header and run-up


@dataclass(frozen=True, slots=True)
class View:
    """What a model sees of a document: `log`, whose line 0 is the document's line `offset` now."""

    state: DocumentState
    log: EditLog
    offset: int

    def outward(self, hunk: Hunk) -> Hunk:
        """`hunk` of the view in the document's lines."""
        return Hunk(hunk.start + self.offset, hunk.removed, hunk.added)


@dataclass(frozen=True, slots=True)
class FittedPrompt:
    """A prompt that leaves at least the reserved tokens of the context; `room` is how many it leaves."""

    view: View
    prompt: Prompt
    room: int


def fit(
    document: Document, line: int | None, build: Callable[[View], Prompt], engine: Engine
) -> FittedPrompt:
    """The prompt that `build` makes of the largest view of `document` that fits `engine`'s context.

    `line` (0-based) is the place that a window is laid around; None means the last change. A quarter of
    the context is left for the answer, whatever is asked, so that all requests share a window. Raises
    ContextError where even the smallest window is too long.
    """
    limit = engine.info.context_length
    budget = limit - limit // 4
    characters = budget * CHARACTERS_A_TOKEN

    def attempt(view: View) -> FittedPrompt | None:
        prompt = build(view)
        used = _tokens(engine, prompt.segments, budget)
        return FittedPrompt(view, prompt, limit - used) if used <= budget else None

    state = _with_short_history(document, characters // 2)
    while True:
        size = _characters(state.log.snapshot)
        # Far too long text is not even tokenized: that alone would take seconds.
        fitted = attempt(View(state, state.log, 0)) if size <= 4 * characters else None
        block = _block_lines(len(state.log.snapshot), size, characters)
        while fitted is None and block >= SMALLEST_BLOCK:
            fitted = attempt(window(state, line, block))
            block //= 2
        if fitted is not None:
            return fitted
        if not state.log.edits:
            raise ContextError(
                f"the lines around line {(line or 0) + 1} of {document.path} are too long for the model's "
                f"context of {limit} tokens; use a model with a longer context, or break the lines"
            )
        document.fold(len(state.log.edits) // 2)
        state = document.snapshot()


def _tokens(engine: Engine, segments: Sequence[Segment], budget: int) -> int:
    """Tokens of `segments`; more than there are only where that is within `budget` all the same."""
    if isinstance(engine, CountsTokens) and (most := engine.tokens_at_most(segments)) <= budget:
        return most
    return len(engine.tokenize(segments))


def window(state: DocumentState, line: int | None, block: int) -> View:
    """The view of three blocks of `block` snapshot lines around `line` of the state (None: last change)."""
    log = state.log
    middle = _snapshot_line(log, _last_change(log) if line is None else line) // block
    first = max(0, middle - 1) * block
    return restrict(state, first, first + 3 * block)


def restrict(state: DocumentState, first: int, last: int) -> View:
    """The log of `state` cut down to the snapshot's lines `first` to `last` (0-based, end exclusive).

    Edits outside are left out and only move the window. An edit across the window's border cannot be shown
    as one of the window's: the window grows to hold it, and it, like all before it, becomes part of the
    window's snapshot. A pending hunk that is not inside is closed first.
    """
    log = state.log
    bounds = _Bounds(min(first, len(log.snapshot)), min(last, len(log.snapshot)), last >= len(log.snapshot))
    shown_first = bounds.first
    inside: list[Hunk] = []
    for hunk in log.edits:
        place, bounds = bounds.after(hunk)
        if place == "inside":
            inside.append(Hunk(hunk.start - bounds.first, hunk.removed, hunk.added))
        elif place == "across":
            inside.clear()
            shown_first = bounds.first
    pending = log.pending
    if pending is not None and bounds.after(pending)[0] != "inside":
        return restrict(DocumentState(state.revision, log.close(), state.lines), first, last)
    lines = log.closed_lines[bounds.first : bounds.last]
    if not bounds.open_end:
        # A format takes the end of what it is shown for the end of the file; this keeps its last line an
        # ordinary one, as a final newline would. No hunk touches it.
        lines = (*lines, "")
    for hunk in reversed(inside):
        lines = apply_hunk(lines, invert_hunk(hunk))
    if pending is not None:
        pending = Hunk(pending.start - bounds.first, pending.removed, pending.added)
    shown = EditLog(snapshot=lines, first_line=shown_first, edits=tuple(inside), pending=pending)
    return View(state, shown, bounds.first)


_Place: TypeAlias = Literal["before", "inside", "across", "after"]


@dataclass(frozen=True, slots=True)
class _Bounds:
    """A window's lines in some state of the log; `open_end`: text added at the document's end is inside."""

    first: int
    last: int
    open_end: bool

    def after(self, hunk: Hunk) -> tuple[_Place, _Bounds]:
        """Where `hunk` is, seen from the window, and the window after it."""
        first, last, growth = self.first, self.last, hunk.growth
        touches_start = hunk.start == hunk.end == first > 0
        touches_end = hunk.start == last and not self.open_end
        if hunk.start < hunk.end <= first or hunk.end < first or touches_start:
            return "before", _Bounds(first + growth, last + growth, self.open_end)
        if hunk.start > last or touches_end:
            return "after", self
        if first <= hunk.start and hunk.end <= last:
            return "inside", _Bounds(first, last + growth, self.open_end)
        return "across", _Bounds(min(first, hunk.start), max(last, hunk.end) + growth, self.open_end)


def _with_short_history(document: Document, characters: int) -> DocumentState:
    """The document's state, its log folded by halves until its edits take some `characters` to tell."""
    state = document.snapshot()
    while sum(_characters(hunk.added) + EDIT_OVERHEAD for hunk in state.log.edits) > characters:
        document.fold(len(state.log.edits) // 2)
        state = document.snapshot()
    return state


def _last_change(log: EditLog) -> int:
    """The 0-based line of `log.lines` on which the last change ends; 0 where nothing has changed."""
    last = log.pending or (log.edits[-1] if log.edits else None)
    return last.start + max(0, len(last.added) - 1) if last else 0


def _snapshot_line(log: EditLog, line: int) -> int:
    """The snapshot's line that `line` of `log.lines` was, or stands nearest after."""
    hunks = log.edits if log.pending is None else (*log.edits, log.pending)
    for hunk in reversed(hunks):
        if line >= hunk.start + len(hunk.added):
            line -= hunk.growth
        elif line >= hunk.start:
            line = hunk.start
    return line


def _characters(lines: Lines) -> int:
    return sum(map(len, lines)) + len(lines)


def _block_lines(lines: int, size: int, characters: int) -> int:
    """A third of what `characters` hold, in lines of the document's mean length, as a power of two."""
    wanted = characters * lines // (3 * max(1, size))
    return 1 << max(wanted, SMALLEST_BLOCK).bit_length() - 1
