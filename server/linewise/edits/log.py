"""The edit log of one open document: a snapshot, the edits since, and the hunk in progress."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from linewise.edits.apply import apply_hunk, check_fit
from linewise.edits.diff import trim
from linewise.edits.hunk import Hunk, Lines, split_lines


@dataclass(frozen=True)
class EditLog:
    """What a document was, and what happened to it since. Every method that changes it returns a new log.

    `snapshot` begins at the document's 0-based line `first_line` (more than 0 where only a window of a
    large document is kept); hunks count lines from the snapshot's first line. Each of `edits` applies to
    the state that the one before it left, and `pending`, the hunk in progress, to the state after all
    of them. Recorded hunks stay as they were given, run-up included. Raises EditError where a hunk does
    not fit.
    """

    snapshot: Lines
    first_line: int = 0
    edits: tuple[Hunk, ...] = ()
    pending: Hunk | None = None
    # Both states are kept, so that a keystroke never replays the log.
    _closed: Lines = field(init=False, repr=False, compare=False)
    _lines: Lines = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        closed = _replay(self.snapshot, self.edits)
        self._keep(closed, closed if self.pending is None else apply_hunk(closed, self.pending))

    @classmethod
    def open(cls, document: str | Sequence[str], first_line: int = 0) -> EditLog:
        """Log of a document, given as text or as lines, to which nothing has happened yet."""
        lines = split_lines(document) if isinstance(document, str) else tuple(document)
        return cls._known(lines, (), None, first_line=first_line, closed=lines, lines=lines)

    @property
    def closed_lines(self) -> Lines:
        """The document without the hunk in progress: the state after `edits`."""
        return self._closed

    @property
    def lines(self) -> Lines:
        """The document as it is: the state after `edits` and `pending`."""
        return self._lines

    def record(self, hunk: Hunk) -> EditLog:
        """Log with `hunk`, given against `lines`, as the last closed edit; one in progress closes first."""
        after = apply_hunk(self._lines, hunk)
        return self._following((*self.close().edits, hunk), None, closed=after, lines=after)

    def typed(self, hunk: Hunk) -> EditLog:
        """Log with a user's change, given against `lines`, in the hunk in progress.

        It merges into the pending hunk where the two touch; elsewhere that hunk closes and this change
        begins a new one. Changes that take each other back leave no pending hunk.
        """
        check_fit(self._lines, hunk)
        change = trim(hunk)
        if not change.removed and not change.added:
            return self
        after = apply_hunk(self._lines, change)
        pending = self.pending
        if pending is None or not _touch(pending, change):
            return self.close()._with_pending(change, after)
        start = min(pending.start, change.start)
        end = max(pending.start + len(pending.added), change.end)
        merged = Hunk(start, self._closed[start : end - pending.growth], after[start : end + change.growth])
        return self._with_pending(trim(merged), after)

    def close(self) -> EditLog:
        """Log whose hunk in progress has become its last edit, or is dropped if it changes nothing."""
        pending = self.pending
        if pending is None:
            return self
        edits = self.edits if pending.removed == pending.added else (*self.edits, pending)
        return self._following(edits, None, closed=self._lines, lines=self._lines)

    def fold(self, keep: int) -> EditLog:
        """Log with all but the last `keep` edits folded into the snapshot; the states stay what they are.

        A fold rewrites the beginning of every prompt, so fold many edits at once and seldom.
        """
        if keep < 0:
            raise ValueError(f"cannot keep {keep} edits; keep none or more")
        folded = len(self.edits) - keep
        if folded <= 0:
            return self
        snapshot = _replay(self.snapshot, self.edits[:folded])
        return self._known(
            snapshot,
            self.edits[folded:],
            self.pending,
            first_line=self.first_line,
            closed=self._closed,
            lines=self._lines,
        )

    def replace(self, document: str | Sequence[str], first_line: int = 0) -> EditLog:
        """Log of a document that was replaced whole: a new snapshot, and no edits."""
        return self.open(document, first_line)

    def steps(self) -> Iterator[tuple[Lines, Hunk]]:
        """Each closed edit with the state before it, oldest first."""
        state = self.snapshot
        for hunk in self.edits:
            yield state, hunk
            state = apply_hunk(state, hunk)

    def _with_pending(self, pending: Hunk, lines: Lines) -> EditLog:
        kept = pending if pending.removed or pending.added else None
        return self._following(self.edits, kept, closed=self._closed, lines=lines)

    def _following(
        self, edits: tuple[Hunk, ...], pending: Hunk | None, *, closed: Lines, lines: Lines
    ) -> EditLog:
        """A later log over the same snapshot."""
        return self._known(
            self.snapshot, edits, pending, first_line=self.first_line, closed=closed, lines=lines
        )

    @classmethod
    def _known(
        cls,
        snapshot: Lines,
        edits: tuple[Hunk, ...],
        pending: Hunk | None,
        *,
        first_line: int,
        closed: Lines,
        lines: Lines,
    ) -> EditLog:
        """A log whose states are known, made without the replay of `__post_init__`."""
        log = object.__new__(cls)
        fields = {"snapshot": snapshot, "first_line": first_line, "edits": edits, "pending": pending}
        for name, value in fields.items():
            object.__setattr__(log, name, value)
        log._keep(closed, lines)
        return log

    def _keep(self, closed: Lines, lines: Lines) -> None:
        object.__setattr__(self, "_closed", closed)
        object.__setattr__(self, "_lines", lines)


def _touch(pending: Hunk, change: Hunk) -> bool:
    """Whether `change`, made in the state after `pending`, overlaps or adjoins what `pending` added."""
    return change.start <= pending.start + len(pending.added) and pending.start <= change.end


def _replay(lines: Sequence[str], hunks: Iterable[Hunk]) -> Lines:
    state = list(lines)
    for hunk in hunks:
        check_fit(state, hunk)
        state[hunk.start : hunk.end] = hunk.added
    return tuple(state)
