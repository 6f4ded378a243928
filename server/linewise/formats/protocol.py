"""What a format is: how a document becomes a prompt, and how generated text becomes hunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from linewise.edits import EditLog, StreamingParser
from linewise.engines.protocol import Segment


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a document: 0-based line and 0-based column in code points of that line."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """What an engine reads, and what a parser must know before the generated text reaches it.

    `given` is the beginning of the edit in progress, which `segments` already show (in `fim` in another
    form): feed it to the parser first. `healed` is not part of `segments` or `given`: the engine generates
    it again (token healing). `stop` are the special tokens at which generation ends.
    """

    segments: tuple[Segment, ...]
    given: str
    healed: str
    stop: tuple[str, ...]


class Format(Protocol):
    """A named way to write documents and edits as text. Formats hold no state."""

    @property
    def name(self) -> str:
        """The name that is written into a model file's metadata, such as `edit-log/1`."""
        ...

    def write_prompt(
        self, log: EditLog, path: str, instruction: str, asked_after: int | None = None
    ) -> Prompt:
        """Prompt for "what is the next edit?", given an instruction (empty for none).

        The instruction was given after the log's first `asked_after` edits (None: after all of them); the
        later ones already follow it.
        """
        ...

    def inline_prompt(self, log: EditLog, path: str, cursor: Cursor) -> Prompt:
        """Prompt whose edit in progress stands at `cursor`, in the state that `log.lines` shows.

        The hunk that the parser yields replaces the cursor's line (and its run-up) in the state without
        the log's pending hunk. Raises EditError for a cursor outside the document.
        """
        ...

    def parser(self, lines: Sequence[str], first_line: int = 0) -> StreamingParser:
        """Parser for a stream of edits, the first of which applies to `lines`, each next to its result.

        `first_line` is the 0-based true line of `lines[0]` where `lines` is a window of a longer file;
        the hunks it yields count from the window's start.
        """
        ...
