"""What a write reports while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from linewise.edits import Hunk
from linewise.verify.protocol import Problem

DoneReason: TypeAlias = Literal["complete", "max_edits", "max_tokens", "failures", "cancelled"]


@dataclass(frozen=True, slots=True)
class HunkProgress:
    """The model wrote one more line of a hunk that is not checked yet. `start` is 0-based."""

    start: int
    line: str


@dataclass(frozen=True, slots=True)
class HunkTurned:
    """The hunk in progress goes on another way, for `reason`: its lines are void; those kept come again."""

    reason: str


@dataclass(frozen=True, slots=True)
class HunkLanded:
    """A hunk is now part of the document.

    `hunk` is the true change against the state just before it. It is clean, unless `unchecked` says why
    that could not be found out, or not in full.
    """

    hunk: Hunk
    unchecked: str = ""


@dataclass(frozen=True, slots=True)
class HunkDropped:
    """A hunk was thrown away, for `reason`; `hunk` is None where the text was no hunk at all."""

    hunk: Hunk | None
    reason: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteDone:
    """The write is over; always the last event. `seconds` is wall time, `tokens` all that were generated.

    `reason`: `complete` (the model ended the sequence), `max_edits`, `max_tokens`, `failures` (no clean
    hunk was found within the allowed tries), `cancelled`. `mended` counts the hunks that were begun in the
    model's place, since what it wrote does not stand in the document; `turned` is how often one was led out
    of a loop, `averted` how often away from a problem that it could only be dropped for.
    """

    edits: int
    tokens: int
    seconds: float
    reason: DoneReason
    mended: int = 0
    turned: int = 0
    averted: int = 0


WriteEvent: TypeAlias = HunkProgress | HunkTurned | HunkLanded | HunkDropped | WriteDone
