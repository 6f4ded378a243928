"""Write by instruction: a stream of hunks, each checked before it lands.

One stream of tokens yields hunk after hunk. A hunk that is clean (it brings no new problem) lands, and the
same stream goes on. One that goes round in a loop is led out of it (`linewise.assistant.steering`). What is
not clean, changes nothing, takes back what this write did, does not come out of a loop, or is no
hunk at all is dropped: generation goes back to where the hunk began and it is sampled again, warmer and
with another seed, at most `max_tries` times; then the write ends, since the same prompt would only bring
the same hunk. Where the user changed the document meanwhile, the hunk is rebased over that and checked on
the user's text, and the stream starts again from the new log. So every state that the user sees has no
new static error.

A write ends where the model ends it, or, below temperature 1, where it would by now have ended more likely
than not: a small model is seldom so sure of the end that it comes before every other token, however often
it had its chance.

A hunk whose beginning does not stand in the document is not thrown away: it is begun for the model where the
Format says that it nearly was, and the model goes on from there.

A step back costs little: the prompt is the old prompt and the text of the hunks that landed, word for
word, all of which the engine still has in its cache.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from math import expm1
from time import perf_counter
from typing import Literal, TypeAlias, cast

from linewise.assistant.checking import Checker
from linewise.assistant.document import Document, Landing, StaleError
from linewise.assistant.events import (
    DoneReason,
    HunkDropped,
    HunkLanded,
    HunkProgress,
    HunkTurned,
    WriteDone,
    WriteEvent,
)
from linewise.assistant.judging import Judge
from linewise.assistant.options import Land, WriteOptions
from linewise.assistant.steering import Steering, Turn
from linewise.assistant.stream import Stream
from linewise.assistant.window import View, fit
from linewise.edits import (
    EditCompleted,
    EditLog,
    Event,
    Hunk,
    HunkCompleted,
    HunkStarted,
    LineAdded,
    StreamingParser,
)
from linewise.engines.protocol import CancelSignal, Engine, Request, Sampling, Segment, Token
from linewise.errors import ConflictError, EditError
from linewise.formats.protocol import Format, Prompt
from linewise.verify.protocol import Problem, Verifier

LANDING_ATTEMPTS = 5  # a user who types faster than the verifier checks makes a hunk stale each time
WARMER = 0.25  # added to the temperature with each try
WARMEST = 1.0


def write(
    document: Document,
    instruction: str,
    *,
    engine: Engine,
    format: Format,
    verifier: Verifier,
    options: WriteOptions | None = None,
    land: Land | None = None,
    cancel: CancelSignal | None = None,
) -> Iterator[WriteEvent]:
    """Change `document` as `instruction` says; yield what happens, `WriteDone` last.

    `land` makes each clean hunk true (default: `document.commit`); it is called from the consuming thread,
    between two events. Closing the iterator ends the write with whole hunks only. Raises EditError for an
    empty instruction; EngineError (from the iterator) when the engine fails.
    """
    if not instruction.strip():
        raise EditError(
            'the instruction is empty; say what to write, such as "a function that adds two numbers"'
        )
    options = options or WriteOptions()
    return _Writer(
        document=document,
        instruction=instruction,
        engine=engine,
        format=format,
        judge=Judge(Checker(verifier, early=options.check_early)),
        options=options,
        land=land or document.commit,
        cancel=cancel,
        asked=document.snapshot().log.close(),
    ).run()


_Ending: TypeAlias = DoneReason | Literal["resume", "onward", "afresh"]
"""Why reading a stream ended: the write is done, or goes on after the hunks that landed (`resume`: the
prompt in hand and their text; `onward`: the same, and a beginning of the next; `afresh`: from the
document's log)."""

_Steps: TypeAlias = Generator[WriteEvent, None, _Ending | None]


@dataclass
class _Writer:
    """One write while it runs."""

    document: Document
    instruction: str
    engine: Engine
    format: Format
    judge: Judge
    options: WriteOptions
    land: Land
    cancel: CancelSignal | None
    asked: EditLog  # the log when the instruction was given
    edits: int = 0
    tokens: int = 0
    streams: int = 0
    mended: int = 0
    turned: int = 0
    averted: int = 0
    tries: int = 0  # samples of the hunk in hand that were not clean
    failures: int = 0  # hunks dropped in a row
    unended: float = 1.0  # probability under the model that it had not ended after any hunk that landed
    asked_to_end: int = 0  # how many hunks had landed when `unended` was last brought up to date

    def run(self) -> Iterator[WriteEvent]:
        started = perf_counter()
        last: Stream | None = None
        ending: _Ending | None = None
        while ending in (None, "resume", "onward", "afresh"):
            if self._cancelled():
                ending = "cancelled"
            elif self.tokens >= self.options.max_tokens:
                ending = "max_tokens"
            elif self.edits >= self.options.max_edits:
                ending = "max_edits"
            else:
                same = last if ending in ("resume", "onward") else None
                stream = (self._resumed(same) if same else None) or self._begun()
                ending = yield from self._read(stream)
                last = stream
        seconds = perf_counter() - started
        reason = cast(DoneReason, ending)
        yield WriteDone(self.edits, self.tokens, seconds, reason, self.mended, self.turned, self.averted)

    def _begun(self) -> Stream:
        """A stream from the document's log as it is."""

        def build(view: View) -> Prompt:
            return self.format.write_prompt(
                view.log, self.document.path, self.instruction, self._asked_after(view)
            )

        fitted = fit(self.document, self.options.line, build, self.engine)
        return Stream(fitted.view, fitted.prompt, fitted.room, fitted.view.state.revision)

    def _asked_after(self, view: View) -> int:
        """How many of the edits that `view` shows came before the instruction.

        What was in the log when the write began did, unless the log was folded since: then all that
        did is in its snapshot.
        """
        log = view.state.log
        before = len(self.asked.edits) if log.snapshot is self.asked.snapshot else 0
        return max(0, len(view.log.edits) - (len(log.close().edits) - before))

    def _resumed(self, last: Stream) -> Stream | None:
        """A stream that goes on after the edits that landed in `last`; None where that cannot be."""
        limit = self.engine.info.context_length
        prompt = last.prompt
        if last.kept:
            prompt = Prompt((*prompt.segments, *last.kept), given="", healed="", stop=prompt.stop)
        onward = last.onward
        begun = (Segment(onward.text),) if onward and onward.text else ()
        room = limit - len(self.engine.tokenize((*prompt.segments, *begun)))
        # What was written of one that was turned is not thrown away for room.
        least = 1 if onward and onward.forbidden else limit // 8
        if room < least or self.document.revision != last.revision:
            return None
        steering = last.steering if onward else Steering()
        return Stream(last.view, prompt, room, last.revision, begun=onward, steering=steering)

    def _read(self, stream: Stream) -> Generator[WriteEvent, None, _Ending]:
        """Read one stream to its end."""
        warmed = self.tries > 0
        limit = min(stream.room, self.options.max_tokens - self.tokens)
        parser = self.format.parser(stream.view.log.lines, stream.view.log.first_line)
        parser.feed(stream.prompt.given)
        stream.parser = parser
        prompt = stream.prompt
        begun = stream.begun or Turn("")
        if begun.text:
            stream.text.append(Segment(begun.text))
            prompt = replace(prompt, segments=(*prompt.segments, *stream.text), healed="")
        tokens = self.engine.stream(self._request(prompt, limit, begun.forbidden), self.cancel)
        before = self.tokens
        try:
            yield from self._handle(stream, parser.feed(begun.text))  # a beginning ends nothing
            for token in tokens:
                self.tokens += 1
                ending = yield from self._take(stream, parser, token)
                if ending is None and self._ends_instead(token):
                    ending = "complete"
                if ending is None and warmed and not self.tries and not stream.inside_edit:
                    ending = "resume"  # the hunk that needed warmth has landed; the next one need not be wild
                if ending is not None:
                    return ending
        finally:
            if isinstance(tokens, Generator):
                tokens.close()
        if self._cancelled():
            return "cancelled"
        if self.tokens - before >= limit:
            if self.tokens >= self.options.max_tokens:
                return "max_tokens"
            ending = yield from self._drop(stream, None, "the model's context was full before the hunk ended")
            return "afresh" if ending == "resume" else ending
        ending = yield from self._avert(stream, ended=True)
        if ending is None:
            ending = yield from self._handle(stream, parser.finish())
            if ending is None or (ending in ("resume", "afresh") and not self.failures):
                return "complete"
        return ending

    def _take(self, stream: Stream, parser: StreamingParser, token: Token) -> _Steps:
        """Act on the next token; None to go on reading."""
        ending = (yield from self._avert(stream, ended=True)) if token.special else None
        if ending is None:
            stream.read(token)
            ending = yield from self._handle(stream, parser.feed(token.text))
        if ending is None and stream.goes_round(token):
            ending = yield from self._turn(stream)
        return ending if ending is not None else (yield from self._avert(stream))

    def _turn(self, stream: Stream) -> Generator[WriteEvent, None, _Ending]:
        """The hunk in progress goes round in a loop: go back to where that began, or drop it."""
        turn = None if stream.inside_edit else stream.turn()
        if turn is None:
            return (yield from self._drop(stream, None, "the model repeats itself"))
        stream.onward = turn
        self.turned += 1
        yield HunkTurned("the model repeats itself")
        return "onward"

    def _avert(self, stream: Stream, *, ended: bool = False) -> _Steps:
        """Go back where the hunk in progress has a problem that nothing can mend; None to go on reading."""
        problem = stream.problem_so_far(ended=ended)
        if problem is None:
            return None
        turn = stream.avert(problem, self.engine)
        if turn is None:
            stream.watch = None  # it ends as it may, and is dropped
            return None
        stream.onward = turn
        self.averted += 1
        yield HunkTurned(problem.reason)
        return "onward"

    def _request(self, prompt: Prompt, max_tokens: int, forbidden: tuple[int, ...]) -> Request:
        """The next request: warmer with each try, and with a seed of its own."""
        options = self.options
        warmth = max(options.temperature, min(WARMEST, options.temperature + WARMER * self.tries))
        sampling = Sampling(
            temperature=warmth, top_p=options.top_p, seed=options.seed + self.streams, max_tokens=max_tokens
        )
        self.streams += 1
        slot = self.document.key
        return Request(
            prompt.segments, sampling, prompt.healed, prompt.stop, slot, priority="write", forbidden=forbidden
        )

    def _handle(self, stream: Stream, events: Sequence[Event]) -> _Steps:
        """Act on what the parser saw; None to go on reading."""
        ending: _Ending | None = None
        for event in events:
            if isinstance(event, HunkStarted):
                stream.begin(event, self.judge.checker.watch)
            elif isinstance(event, LineAdded):
                stream.lines.append(event.line)
                yield HunkProgress(stream.start + stream.view.offset, event.line)
            elif isinstance(event, HunkCompleted):
                hunk, stream.watch = event.hunk, None
                moved = Hunk(hunk.start + stream.growth, hunk.removed, hunk.added)
                ending = yield from self._consider(stream, moved)
            elif isinstance(event, EditCompleted):
                stream.kept += stream.text
                stream.text, stream.growth, stream.inside_edit = [], 0, False
            elif event.mended and not stream.inside_edit:
                stream.onward, stream.steering = Turn(event.mended), Steering(event.mended)
                self.mended += 1
                return "onward"
            else:
                return (yield from self._drop(stream, None, event.reason))
            if ending is not None:
                return ending
        return None

    def _consider(self, stream: Stream, hunk: Hunk) -> _Steps:
        """Rebase, check and land `hunk`, given in the view's lines, or drop it."""
        for _ in range(LANDING_ATTEMPTS):
            try:
                landing = self.document.rebase(stream.view.outward(hunk), stream.revision)
                reason, problems = self.judge.fault(landing)
                if reason:
                    return (yield from self._drop(stream, landing.hunk, reason, problems))
                if self._cancelled():
                    return "cancelled"
                landed = self.land(landing)
            except StaleError:
                continue
            except EditError as error:
                conflict = isinstance(error, ConflictError)
                return (yield from self._drop(stream, hunk, str(error), conflict=conflict))
            return (yield from self._follow(stream, hunk, landing, landed))
        reason = "the document changed faster than the hunk could be checked"
        return (yield from self._drop(stream, hunk, reason, conflict=True))

    def _follow(self, stream: Stream, hunk: Hunk, landing: Landing, landed: Hunk) -> _Steps:
        """A hunk has landed: report it, and bring the stream to the document's new state if it can go on."""
        state = self.document.snapshot()
        self.judge.remember(landing, landed)
        self.edits += 1
        self.tries = self.failures = 0
        ending: _Ending | None = None
        if landing.intervened or state.revision != landing.revision + 1:
            ending = "afresh"
        else:
            stream.view = View(state, stream.view.log.record(hunk), stream.view.offset)
            stream.revision, stream.inside_edit = state.revision, True
            stream.growth += hunk.growth
        yield HunkLanded(landed, self.judge.checker.unchecked)
        return "max_edits" if self.edits >= self.options.max_edits else ending

    def _drop(
        self,
        stream: Stream,
        hunk: Hunk | None,
        reason: str,
        problems: tuple[Problem, ...] = (),
        *,
        conflict: bool = False,
    ) -> Generator[WriteEvent, None, _Ending]:
        """Report a dropped hunk and say how to go on. A conflict with the user is no fault of the model's."""
        self.failures += 1
        self.tries += not conflict
        yield HunkDropped(hunk, reason, problems)
        if self.tries >= self.options.max_tries or self.failures >= self.options.max_failures:
            return "failures"
        return "afresh" if conflict or stream.inside_edit else "resume"

    def _ends_instead(self, token: Token) -> bool:
        """Whether, with the chance to end that `token` took away, the model would sooner have ended."""
        if token.end_logprob is None or self.edits == self.asked_to_end or self.options.temperature >= 1:
            return False
        self.asked_to_end = self.edits
        self.unended *= -expm1(min(0.0, token.end_logprob))
        return self.unended < 1 / 2

    def _cancelled(self) -> bool:
        return self.cancel is not None and self.cancel.is_set()
