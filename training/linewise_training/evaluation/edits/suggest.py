"""What answers a cursor task: a model through the product's own completion, or the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from linewise.assistant import Document, complete
from linewise.edits import EditLog, Event, HunkCompleted, LineAdded, Malformed, StreamingParser
from linewise.engines.protocol import CancelSignal, Engine, FimTokens, ModelInfo, Request, Segment, Token
from linewise.errors import ContextError, EditError, ModelError
from linewise.formats import Cursor, FimFormat, Format, Prompt
from linewise.formats.fim import MIDDLE, PREFIX, SUFFIX, around_cursor
from linewise_training.evaluation.edits.tasks import CursorTask


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What was suggested at a cursor: `text` replaces the columns `start` to `end` of its line.

    `text` is None where nothing was. `tokens` is how many were generated, `raw` are the whole lines that the
    model wrote before the product cut what repeats the document, `parses` whether they are a hunk that
    applies (None where nothing is parsed). `unanswered` says why the model could not be asked at all.
    """

    text: str | None
    start: int
    end: int
    tokens: int
    raw: tuple[str, ...]
    parses: bool | None
    unanswered: str = ""


def open_document(task: CursorTask) -> Document:
    """The document of a task, as an editor would have it at the cursor."""
    document = Document(task.path, task.opened)
    for change in task.typed:
        document.change(*change)
    return document


def suggest(document: Document, cursor: Cursor, engine: Engine, form: Format) -> Suggestion:
    """What the product suggests at `cursor`; nothing where the document fits not the model or its Format.

    Raises EngineError when the engine fails.
    """
    counted, watched = _Counted(engine), _Watched(form)
    try:
        answer = complete(document, cursor, engine=counted, format=watched)
    except (ContextError, EditError) as error:
        return Suggestion(None, cursor.column, cursor.column, 0, (), None, str(error))
    parser = watched.last
    raw = parser.generated() if parser else ()
    parses = parser.parses() if parser else False
    if answer is None:
        return Suggestion(None, cursor.column, cursor.column, counted.tokens, raw, parses)
    return Suggestion(answer.text, answer.start, answer.end, counted.tokens, raw, parses)


class PlainFormat:
    """A model that only goes on: it is shown the text before the cursor, and nothing of what follows."""

    name = "plain"

    def __init__(self, begin: str = "") -> None:
        self._begin = begin
        self._places = FimFormat(FimTokens(PREFIX, SUFFIX, MIDDLE))

    def write_prompt(
        self,
        log: EditLog,  # noqa: ARG002
        path: str,  # noqa: ARG002
        instruction: str,  # noqa: ARG002
        asked_after: int | None = None,  # noqa: ARG002
    ) -> Prompt:
        """Always raises ModelError: a plain model knows no instructions."""
        raise ModelError("a plain model goes on with text; it cannot write by instruction")

    def inline_prompt(self, log: EditLog, path: str, cursor: Cursor) -> Prompt:
        """The text before the cursor, the partial token left off."""
        place = self._places.inline_prompt(log, path, cursor)
        prefix, _ = around_cursor(log.lines, cursor)
        text = prefix[: len(prefix) - len(place.healed)] or "\n"
        begin = (Segment(self._begin, special=True),) if self._begin else ()
        return Prompt((*begin, Segment(text)), place.given, place.healed, stop=())

    def parser(self, lines: Sequence[str], first_line: int = 0) -> StreamingParser:
        """What the model writes goes in at the cursor."""
        return self._places.parser(lines, first_line)


@dataclass
class _Counted:
    """An engine that counts the tokens it generates."""

    engine: Engine
    tokens: int = 0

    @property
    def info(self) -> ModelInfo:
        return self.engine.info

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        return self.engine.tokenize(segments)

    def stream(self, request: Request, cancel: CancelSignal | None = None) -> Iterator[Token]:
        for token in self.engine.stream(request, cancel):
            self.tokens += 1
            yield token

    def close(self) -> None:
        """The engine belongs to whoever made it."""


class _Watched:
    """A Format whose last parser can be asked what it saw."""

    def __init__(self, form: Format) -> None:
        self._form = form
        self.last: _WatchedParser | None = None

    @property
    def name(self) -> str:
        return self._form.name

    def write_prompt(
        self, log: EditLog, path: str, instruction: str, asked_after: int | None = None
    ) -> Prompt:
        return self._form.write_prompt(log, path, instruction, asked_after)

    def inline_prompt(self, log: EditLog, path: str, cursor: Cursor) -> Prompt:
        return self._form.inline_prompt(log, path, cursor)

    def parser(self, lines: Sequence[str], first_line: int = 0) -> StreamingParser:
        self.last = _WatchedParser(self._form.parser(lines, first_line))
        return self.last


@dataclass
class _WatchedParser:
    """Keeps the events of a parser; the first `feed` is what the prompt gave."""

    parser: StreamingParser
    given: bool = False
    finished: bool = False
    events: list[Event] = field(default_factory=list)

    def feed(self, text: str) -> Sequence[Event]:
        events = self.parser.feed(text)
        if self.given:
            self.events += events
        self.given = True
        return events

    def finish(self) -> Sequence[Event]:
        events = self.parser.finish()
        self.finished = True
        self.events += events
        return events

    def generated(self) -> tuple[str, ...]:
        """The whole lines that the model wrote, the first with its typed part."""
        return tuple(event.line for event in self.events if isinstance(event, LineAdded))

    def parses(self) -> bool:
        """Whether the hunk in progress, ended where generation ended, is one."""
        if not self.finished:
            self.finish()
        first = next((e for e in self.events if isinstance(e, (HunkCompleted, Malformed))), None)
        return isinstance(first, HunkCompleted)
