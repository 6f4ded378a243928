"""Completion at the cursor: the hunk in progress goes on from what is typed.

The model writes whole lines; the user sees only what is missing. The first line's typed part is cut off,
and so is whatever repeats the text after the cursor, on the line and below it: repeating that is the
commonest fault. Where text stands after the cursor the completion is one line; otherwise it is a block,
which ends at a blank line, where the indentation falls below the cursor's, before the document's next
line, or at `max_lines`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter

from linewise.assistant.document import Document
from linewise.assistant.repetition import loop_start, loop_start_in_line, telling
from linewise.assistant.window import View, fit
from linewise.edits import EditLog, Event, HunkStarted, LineAdded, Lines, Malformed
from linewise.engines.protocol import CancelSignal, Engine, Request, Sampling
from linewise.errors import EditError
from linewise.formats.edit_log_parser import bare
from linewise.formats.protocol import Cursor, Format, Prompt

CLOSERS = frozenset(")]}>\"'`,:; \t")  # what editors put after the cursor on their own
LONGEST_LINE = 240  # characters; a longer one is a loop inside a line
LOOK_AHEAD = 16  # lines below the cursor that a completion may run into
_LEAST_MEETING = 2  # characters


@dataclass(frozen=True, slots=True)
class InlineOptions:
    """Bounds and sampling of a completion; greedy by default, so that the same place gives the same text."""

    temperature: float = 0.0
    seed: int = 0
    max_lines: int = 8
    max_tokens: int = 128


@dataclass(frozen=True, slots=True)
class InlineCompletion:
    r"""Text that replaces the columns `start` to `end` of the document's `line` (0-based, end exclusive).

    `start` is the cursor; `end` is beyond it only where the text holds all that it replaces, in order, so
    nothing of the user's is lost. Lines of `text` are joined by "\n" whatever the document's line ending
    is. `mean_logprob` is over all generated tokens; times are from the call, in seconds.
    """

    text: str
    line: int
    start: int
    end: int
    first_token_seconds: float
    total_seconds: float
    mean_logprob: float
    tokens: int


def complete(
    document: Document,
    cursor: Cursor,
    *,
    engine: Engine,
    format: Format,
    options: InlineOptions | None = None,
    cancel: CancelSignal | None = None,
) -> InlineCompletion | None:
    """What goes in at `cursor`; None where the model has nothing to add, or when cancelled.

    Raises EditError for a cursor outside the document, EngineError when the engine fails.
    """
    options = options or InlineOptions()
    started = perf_counter()
    state = document.snapshot()
    _require_inside(state.lines, cursor)
    if not _is_typing_at(state.log, cursor):
        document.close_pending()  # the cursor has left what was being typed

    def build(view: View) -> Prompt:
        return format.inline_prompt(view.log, document.path, Cursor(cursor.line - view.offset, cursor.column))

    fitted = fit(document, cursor.line, build, engine)
    view, prompt = fitted.view, fitted.prompt
    parser = format.parser(view.log.closed_lines, view.log.first_line)
    given = parser.feed(prompt.given)
    for event in given:
        if isinstance(event, Malformed):
            raise EditError(f"nothing can be completed at line {cursor.line}: {event.reason}")
    answer = _Answer(_Place.find(view.state.lines, cursor), options.max_lines)
    limit = min(options.max_tokens, fitted.room)
    sampling = Sampling(temperature=options.temperature, seed=options.seed, max_tokens=limit)
    request = Request(
        prompt.segments, sampling, prompt.healed, prompt.stop, slot=document.key, priority="inline"
    )
    tokens = engine.stream(request, cancel)
    first_token = 0.0
    logprobs: list[float] = []
    try:
        for token in tokens:
            if not logprobs:
                first_token = perf_counter() - started
            logprobs.append(token.logprob)
            answer.read(parser.feed(token.text))
            if answer.over:
                break
    finally:
        if isinstance(tokens, Generator):
            tokens.close()
    if cancel is not None and cancel.is_set():
        return None
    if not answer.over and (len(logprobs) < limit or not answer.lines):
        answer.read(parser.finish())  # a line cut off at the limit counts only where it is all there is
    shown = answer.shown()
    if shown is None or not logprobs:
        return None
    text, replaced = shown
    mean = sum(logprobs) / len(logprobs)
    total = perf_counter() - started
    end = cursor.column + replaced
    return InlineCompletion(
        text, cursor.line, cursor.column, end, first_token, total, mean, tokens=len(logprobs)
    )


def _require_inside(lines: Lines, cursor: Cursor) -> None:
    if not 0 <= cursor.line < max(1, len(lines)):
        raise EditError(f"line {cursor.line} is outside the document, which has {len(lines)} lines (from 0)")
    length = len(bare(lines[cursor.line])) if lines else 0
    if not 0 <= cursor.column <= length:
        raise EditError(
            f"column {cursor.column} is outside line {cursor.line}, which has {length} characters (from 0)"
        )


def _is_typing_at(log: EditLog, cursor: Cursor) -> bool:
    """Whether the cursor is on the last line of the hunk in progress."""
    pending = log.pending
    return pending is not None and cursor.line == pending.start + len(pending.added) - 1


@dataclass(frozen=True, slots=True)
class _Place:
    """The text around a cursor: `typed` and `tail` of its line, the lines that follow, without "\\r"."""

    typed: str
    tail: str
    following: tuple[str, ...]

    @classmethod
    def find(cls, lines: Lines, cursor: Cursor) -> _Place:
        line = bare(lines[cursor.line]) if lines else ""
        below = (bare(text).rstrip() for text in lines[cursor.line + 1 :])
        following = tuple(islice((text for text in below if text), LOOK_AHEAD))
        return cls(line[: cursor.column], line[cursor.column :], following)


@dataclass
class _Answer:
    """Collects whole lines, the first with its typed part, until the completion is `over`."""

    place: _Place
    max_lines: int
    lines: list[str] = field(default_factory=list)
    over: bool = False

    def read(self, events: Sequence[Event]) -> None:
        """Take in what the parser saw."""
        for event in events:
            if self.over:
                return
            if isinstance(event, LineAdded):
                self._add(bare(event.line))
            elif not isinstance(event, HunkStarted):
                self.over = True  # the hunk ended, or what follows is no hunk

    def _add(self, line: str) -> None:
        first = not self.lines
        written = line[len(self.place.typed) :] if first else line
        goes_round = len(line) > LONGEST_LINE or loop_start_in_line(written) is not None
        if goes_round or self._repeats_document(line):
            self.over = True
            return
        if not first and (not line.strip() or _indentation(line) < _indentation(self._block_line())):
            self.over = True
            return
        self.lines.append(line)
        loop = loop_start(self.lines)
        if loop is not None:
            del self.lines[loop:]
        self.over = loop is not None or len(self.lines) >= self.max_lines or bool(self.place.tail.strip())

    def _block_line(self) -> str:
        """The line whose indentation the block must keep: the first with text, the cursor's if it has."""
        return next((line for line in self.lines if line.strip()), "")

    def _repeats_document(self, line: str) -> bool:
        """Whether a telling line is the document's next one again."""
        following = self.place.following
        return bool(following) and line.rstrip() == following[0] and telling(line)

    def shown(self) -> tuple[str, int] | None:
        """What to insert at the cursor, and how many characters after it that replaces."""
        lines = _without_overlap(self.lines, self.place.following)
        if not lines or not lines[0].startswith(self.place.typed):
            return None
        return before_tail("\n".join([lines[0][len(self.place.typed) :], *lines[1:]]), self.place.tail)


def before_tail(text: str, tail: str) -> tuple[str, int] | None:
    """What of a model's `text` is to be inserted before `tail`, the rest of the line behind the cursor.

    With it, how many characters of `tail` it replaces. None where nothing is left to insert, or where the
    text would take away what stands behind the cursor.
    """
    replaced = 0
    wanted = tail.rstrip()
    if not wanted:
        text = text.rstrip()
    elif text.rstrip().endswith(wanted):
        text = text.rstrip()[: -len(wanted)]
    elif _holds(text, wanted):
        replaced = len(tail)
    elif (meeting := _meeting(text, wanted)) is not None:
        text = text[:meeting]
    elif not set(wanted) <= CLOSERS:
        return None
    return (text, replaced) if text.strip() else None


def _without_overlap(lines: Sequence[str], following: Sequence[str]) -> list[str]:
    """`lines` without the most lines at their end with which `following` begins."""
    kept = [line.rstrip() for line in lines]
    for count in range(min(len(kept), len(following)), 0, -1):
        if kept[-count:] == list(following[:count]):
            return list(lines[:-count])
    return list(lines)


def _holds(text: str, part: str) -> bool:
    """Whether all characters of `part` stand in `text`, in order."""
    rest = iter(text)
    return all(character in rest for character in part)


def _meeting(text: str, tail: str) -> int | None:
    """Where `text` first runs longest like the beginning of `tail`, from where on it would only change that.

    None where that is less than two characters: a single one, mostly a blank or a bracket, meets by chance.
    """
    runs = (tail[:length] for length in range(len(tail), _LEAST_MEETING - 1, -1))
    longest = next((run for run in runs if run in text), None)
    return None if longest is None else text.index(longest)


def _indentation(line: str) -> int:
    expanded = line.expandtabs()
    return len(expanded) - len(expanded.lstrip())
