"""One open file: its edit log, and who changed what since when.

A document changes in two ways. The user's changes come in by `change` (and `replace`) and merge as they
are typed. The assistant's hunks are made against the state at some revision; `rebase` says what such a
hunk would be now, as a `Landing`, and the edge then makes it true in one of two ways:

* where Linewise owns the text (the command line), `commit(landing)` changes the document at once;
* where an editor owns it, `expect(landing)` announces the hunk, the edge sends it to the editor, and the
  change that comes back is recorded as the assistant's hunk, not as typing.

Either way the log keeps the hunk as the model wrote it, with its run-up, so that the engine's cache of
the log stays valid. Every method is safe to call from any thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from threading import RLock
from uuid import uuid4

from linewise.edits import (
    Edit,
    EditLog,
    Hunk,
    Lines,
    apply_hunk,
    change_to_hunk,
    rebase,
    split_lines,
    trim,
)
from linewise.errors import ConflictError

HISTORY = 1024  # changes that a hunk may be rebased over; a generation sees far fewer
LOG_EDITS = 512  # the older half of the log is folded into the snapshot when it grows longer than this


class StaleError(ConflictError):
    """The document changed between the check of a hunk and its landing; rebase and check it again."""


@dataclass(frozen=True, slots=True)
class DocumentState:
    """What a document was at `revision`; `lines` has the user's typing, `log` knows it as pending."""

    revision: int
    log: EditLog
    lines: Lines


@dataclass(frozen=True, slots=True)
class Landing:
    """An assistant's hunk as it would land on the document at `revision`, whose lines are `before`.

    `hunk` is the true change, without run-up; `given` is the same change as the log records it.
    `intervened` is true where somebody changed the document after the model had read it.
    """

    hunk: Hunk
    given: Hunk
    revision: int
    before: Lines
    intervened: bool

    @property
    def after(self) -> Lines:
        """The document's lines once the hunk has landed."""
        return apply_hunk(self.before, self.hunk)

    @property
    def changes_nothing(self) -> bool:
        """Whether the text stays what it was."""
        return _same_text(self.before, self.after)


class Document:
    """The text of one open file with its edit log; thread-safe.

    `key` names it to an engine, among the documents of all editors that share it.
    """

    def __init__(self, path: str, text: str = "") -> None:
        self.path = path
        self.key = uuid4().hex
        self._lock = RLock()
        self._log = EditLog.open(split_lines(text))
        self._revision = 0
        self._history: deque[Hunk] = deque(maxlen=HISTORY)
        self._expected: Landing | None = None

    @property
    def revision(self) -> int:
        """How often the text has changed."""
        return self._revision

    def snapshot(self) -> DocumentState:
        """The state now."""
        with self._lock:
            return DocumentState(self._revision, self._log, self._log.lines)

    def change(self, start_offset: int, end_offset: int, new_text: str) -> None:
        """The user (or an editor) replaced a range of the text; offsets in code points, end exclusive.

        Raises EditError for a range outside the text.
        """
        self.changes(((start_offset, end_offset, new_text),))

    def changes(self, changes: Iterable[tuple[int, int, str]]) -> None:
        """Several changes that arrived together, each against the text that the one before left.

        Together they may be the hunk that `expect` announced. Raises EditError for a range outside the
        text; then nothing is changed.
        """
        self.edited(partial(_change, start, end, text) for start, end, text in changes)

    def edited(self, changes: Iterable[Callable[[Lines], Hunk]]) -> None:
        """The same, each change being what makes a hunk of the lines that the one before left.

        Raises what they raise; then nothing is changed.
        """
        with self._lock:
            typed, hunks = self._log, []
            for change in changes:
                hunk = change(typed.lines)
                if hunk.removed != hunk.added:
                    hunks.append(hunk)
                    typed = typed.typed(hunk)
            expected = self._expected
            if hunks and expected is not None and _same_text(typed.lines, expected.after):
                self._record(expected)
                return
            for hunk in hunks:
                self._advance(hunk)
            self._log = _bounded(typed)

    def replace(self, text: str) -> None:
        """The whole text was replaced, by another program or a reload: the log starts again."""
        with self._lock:
            lines = split_lines(text)
            if lines == self._log.lines:
                return
            self._advance(trim(Hunk(0, self._log.lines, lines)))
            self._log = self._log.replace(lines)

    def rebase(self, hunk: Hunk, base_revision: int) -> Landing:
        """What `hunk`, made against the state at `base_revision`, would be on the document now.

        Raises ConflictError where it overlaps what was changed since, and EditError where it does not
        fit the state that it was made against.
        """
        with self._lock:
            since = self._revision - base_revision
            if since < 0 or since > len(self._history):
                raise ConflictError(
                    f"revision {base_revision} of {self.path} is no longer known; ask for the change again"
                )
            before, given = self._log.lines, hunk
            for change in list(self._history)[len(self._history) - since :]:
                given = rebase(given, Edit((change,)))
            apply_hunk(before, given)
            return Landing(trim(given), given, self._revision, before, intervened=since > 0)

    def commit(self, landing: Landing) -> Hunk:
        """Land the assistant's hunk at once; return the true hunk.

        Raises StaleError if the document changed since `landing` was made; then nothing is changed.
        """
        with self._lock:
            self._require_fresh(landing)
            self._record(landing)
            return landing.hunk

    def land(self, hunk: Hunk, base_revision: int) -> Hunk:
        """`rebase` and `commit` in one step, for a hunk that needs no check in between."""
        with self._lock:
            return self.commit(self.rebase(hunk, base_revision))

    def expect(self, landing: Landing) -> None:
        """Announce that an editor was asked to make this change: when it comes, it is the assistant's.

        If the user's changes come first, the expectation moves along with them, or ends if they overlap.
        Raises StaleError if the document has already changed since `landing` was made.
        """
        with self._lock:
            self._require_fresh(landing)
            self._expected = landing

    def forget_expected(self) -> None:
        """The editor refused the change: stop waiting for it."""
        with self._lock:
            self._expected = None

    def close_pending(self) -> None:
        """What the user was typing is finished: it becomes an edit of the log. The text stays."""
        with self._lock:
            self._log = self._log.close()

    def fold(self, keep: int) -> None:
        """Fold all but the newest `keep` edits into the log's snapshot. The text stays."""
        with self._lock:
            self._log = self._log.fold(keep)

    def _require_fresh(self, landing: Landing) -> None:
        if landing.revision != self._revision:
            raise StaleError(f"{self.path} changed while an edit was being checked; check it again")

    def _record(self, landing: Landing) -> None:
        """The assistant's hunk is now part of the text."""
        self._expected = None
        self._log = _bounded(self._log.record(landing.given))
        self._revision += 1
        self._history.append(landing.hunk)

    def _advance(self, hunk: Hunk) -> None:
        """The user's `hunk` is now part of the text; what was expected moves along."""
        expected, self._expected = self._expected, None
        self._revision += 1
        self._history.append(hunk)
        if expected is None:
            return
        before = apply_hunk(expected.before, hunk)
        try:
            given = rebase(expected.given, Edit((hunk,)))
        except ConflictError:
            return
        self._expected = Landing(trim(given), given, self._revision, before, intervened=True)


def _change(start: int, end: int, text: str, lines: Lines) -> Hunk:
    return change_to_hunk(lines, start, end, text)


def _same_text(left: Lines, right: Lines) -> bool:
    """Whether two states have the same text: no line and one empty line are both the empty text."""
    return left == right or not (any(left[:2]) or any(right[:2]) or max(len(left), len(right)) > 1)


def _bounded(log: EditLog) -> EditLog:
    """Fold the older half of a long log, never one edit at a time: each fold costs a reading of the file."""
    return log.fold(LOG_EDITS // 2) if len(log.edits) > LOG_EDITS else log
