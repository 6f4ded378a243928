"""What a verifier is: sources in, problems out; and what makes a problem new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One static error. `line` is 0-based; `code` is the verifier's own name for it, such as `E0602`."""

    line: int
    column: int
    code: str
    message: str


class Verifier(Protocol):
    """Finds static errors. A batch, because one run over many small files costs little more than over one."""

    @property
    def name(self) -> str:
        """The name that configuration and reports use."""
        ...

    def problems(self, sources: Sequence[str]) -> list[tuple[Problem, ...]]:
        """The problems of each source, in order of place. Never raises for bad source text."""
        ...


@dataclass(frozen=True, slots=True)
class EarlyProblem:
    """A problem of a hunk in progress that nothing written later can mend.

    `where` it was caused:

    - `line`: by what stands at `line` and `column` (0-based) of the hunk's added lines;
    - `end`: by the hunk's end. `closing` is what would have to come before that, whole lines, where that is
      no question; else `line` is the line that cannot be the last;
    - `place`: by where the hunk stands. It could stand after `line` (0-based) of the document.
    """

    where: Literal["place", "line", "end"]
    line: int
    column: int
    reason: str
    closing: str = ""


class HunkWatch(Protocol):
    """Looks at one hunk while it is written."""

    def problem_so_far(self, added: Sequence[str], *, ended: bool = False) -> EarlyProblem | None:
        """What the verifier can but reject in a hunk whose added lines begin with `added`, or `ended` so.

        None where the lines may still become clean, and where nobody knows.
        """
        ...

    def closing(self, added: Sequence[str]) -> str:
        """Whole lines that end the text, such as a docstring, that `added` leave open; or nothing."""
        ...


@runtime_checkable
class ForeseesProblems(Protocol):
    """A verifier that can tell of some problems before a hunk is whole."""

    def watch(self, lines: Sequence[str], start: int, removed: int) -> HunkWatch:
        """For a hunk in the document `lines` that replaces `removed` of them, from `start` (0-based) on."""
        ...
