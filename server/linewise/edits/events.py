"""What a streaming parser reports while text arrives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from linewise.edits.hunk import Edit, Hunk


@dataclass(frozen=True, slots=True)
class HunkStarted:
    """A header was read whole: `removed` lines go, from `start` (0-based, in the state before) on."""

    start: int
    removed: int


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


@runtime_checkable
class BeginsHunks(Protocol):
    """A parser of a format whose hunks begin with their place alone, so that they can be begun anywhere."""

    def beginning(self, line: int) -> str:
        """How a hunk begins that comes after `line` (0-based); empty where the line is not shown."""
        ...


class StreamingParser(Protocol):
    """Turns text into events while it arrives; the events do not depend on how the text was split."""

    def feed(self, text: str) -> Sequence[Event]:
        """Read the next piece of text; return the events it completes."""
        ...

    def finish(self) -> Sequence[Event]:
        """Say that the text has ended (end of sequence); return the last events."""
        ...
