"""One stream of a write's tokens: what was asked, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass, field

from linewise.assistant.steering import Steering, Turn
from linewise.assistant.window import View
from linewise.engines.protocol import Segment, Token
from linewise.formats.edit_log_parser import bare
from linewise.formats.protocol import Prompt


@dataclass
class Stream:
    """A prompt and what the model makes of it, hunk by hunk."""

    view: View
    prompt: Prompt
    room: int
    revision: int  # of the document, when it was what the parser now takes it for
    begun: Turn | None = None  # how the first hunk was begun in the model's place
    steering: Steering = field(default_factory=Steering)  # of the hunk in progress
    kept: list[Segment] = field(default_factory=list)  # text of whole edits that landed
    text: list[Segment] = field(default_factory=list)  # text since then
    start: int = 0
    lines: list[str] = field(default_factory=list)  # added lines of the hunk in progress
    growth: int = 0  # by the earlier hunks of the same edit, which the next one's start does not count
    inside_edit: bool = False  # an edit has landed in part
    onward: Turn | None = None  # how the next stream is to begin its first hunk

    def read(self, token: Token) -> None:
        """Add `token`'s text, joining ordinary text, so that it is tokenized as a prompt's text is."""
        if token.special or not self.text or self.text[-1].special:
            self.text.append(Segment(token.text, token.special))
        else:
            self.text[-1] = Segment(self.text[-1].text + token.text)

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
