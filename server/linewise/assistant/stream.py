"""One stream of a write's tokens: what was asked, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from linewise.assistant.steering import Steering, Turn
from linewise.assistant.window import View
from linewise.edits import DIFF_TOKEN, BeginsHunks, HunkStarted, StreamingParser
from linewise.engines.protocol import Engine, Segment, Token
from linewise.formats.edit_log_parser import bare
from linewise.formats.protocol import Prompt
from linewise.verify.protocol import EarlyProblem, HunkWatch

Watch = Callable[[tuple[str, ...], int, int], HunkWatch | None]
"""Makes the watch of a hunk from the document, the hunk's first line and how many lines it removes."""


@dataclass
class Stream:
    """A prompt and what the model makes of it, hunk by hunk."""

    view: View
    prompt: Prompt
    room: int
    revision: int  # of the document, when it was what the parser now takes it for
    parser: StreamingParser | None = None
    begun: Turn | None = None  # how the first hunk was begun in the model's place
    steering: Steering = field(default_factory=Steering)  # of the hunk in progress
    kept: list[Segment] = field(default_factory=list)  # text of whole edits that landed
    text: list[Segment] = field(default_factory=list)  # text since then
    start: int = 0
    lines: list[str] = field(default_factory=list)  # added lines of the hunk in progress
    watch: HunkWatch | None = None  # of the hunk in progress, while something may be led away from
    watched: int = 0  # how many of its lines were looked at
    growth: int = 0  # by the earlier hunks of the same edit, which the next one's start does not count
    inside_edit: bool = False  # an edit has landed in part
    onward: Turn | None = None  # how the next stream is to begin its first hunk

    def read(self, token: Token) -> None:
        """Add `token`'s text, joining ordinary text, so that it is tokenized as a prompt's text is."""
        if token.special or not self.text or self.text[-1].special:
            self.text.append(Segment(token.text, token.special))
        else:
            self.text[-1] = Segment(self.text[-1].text + token.text)

    def begin(self, event: HunkStarted, watch: Watch) -> None:
        """A hunk begins."""
        self.start, self.lines, self.watched = event.start + self.growth, [], 0
        place = self.start + self.view.offset
        self.watch = None if self.inside_edit else watch(self.view.state.lines, place, event.removed)

    def goes_round(self, token: Token) -> bool:
        """Whether `token`, just read, makes the hunk in progress go round in a loop.

        What only says again what stands in the document is no loop: run-ups are equal lines, too.
        """
        if token.special:
            self.steering = Steering()  # the next hunk begins
            return False
        if not self.steering.read(token):
            return False
        count = len(self.lines)
        there = [bare(line) for line in self.view.log.lines[self.start :][: count + 1]]
        same = there[:count] == self.lines and "".join(there[count:]).startswith(self.steering.line)
        return not same

    def turn(self) -> Turn | None:
        """How the hunk in progress, which goes round, is to go on; None where no way is left to try."""
        watch = self.watch
        if watch is None or not isinstance(self.parser, BeginsHunks):
            return self.steering.turn()
        return self.steering.turn(lambda count: watch.closing(self.lines[:count]))

    def problem_so_far(self, *, ended: bool = False) -> EarlyProblem | None:
        """What can only be dropped of the hunk in progress, whose last line or, if `ended`, end was read."""
        if self.watch is None or (bool(self.steering.line) if ended else len(self.lines) == self.watched):
            return None
        self.watched = len(self.lines)
        return self.watch.problem_so_far(self.lines, ended=ended)

    def avert(self, problem: EarlyProblem, engine: Engine) -> Turn | None:
        """How the hunk in progress is to go on without `problem`; None where no way is left to try."""
        texts = dict.fromkeys((DIFF_TOKEN, *self.prompt.stop))
        ends = tuple(dict.fromkeys(engine.tokenize([Segment(text, special=True) for text in texts])))
        elsewhere = ""
        if problem.where == "place" and isinstance(self.parser, BeginsHunks):
            elsewhere = self.parser.beginning(problem.line - self.view.offset)
        return self.steering.avert(problem, self.lines, ends, elsewhere)
