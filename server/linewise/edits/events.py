"""What a streaming parser reports while text arrives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from linewise.edits.hunk import Edit, Hunk


@dataclass(frozen=True, slots=True)
class HunkStarted:
    """A header was read whole. `start` is 0-based, in the state before the edit."""

    start: int


@dataclass(frozen=True, slots=True)
class LineAdded:
    """One added line of the hunk in progress was read whole."""

    line: str


@dataclass(frozen=True, slots=True)
class HunkCompleted:
    """The hunk in progress ended; it can be applied."""

    hunk: Hunk


@dataclass(frozen=True, slots=True)
class EditCompleted:
    """All hunks of one diff were read."""

    edit: Edit


@dataclass(frozen=True, slots=True)
class Malformed:
    """The text from here to the next diff token is not an edit. `reason` names the fault and the text.

    `mended` is how the hunk, whose text was read so far, could have begun instead, nearest to what was read;
    empty where nothing says.
    """

    reason: str
    mended: str = ""


Event: TypeAlias = HunkStarted | LineAdded | HunkCompleted | EditCompleted | Malformed


class StreamingParser(Protocol):
    """Turns text into events while it arrives; the events do not depend on how the text was split."""

    def feed(self, text: str) -> Sequence[Event]:
        """Read the next piece of text; return the events it completes."""
        ...

    def finish(self) -> Sequence[Event]:
        """Say that the text has ended (end of sequence); return the last events."""
        ...
