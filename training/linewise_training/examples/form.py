"""What a model is to learn, said once for every format, so that formats can be compared on equal data.

A task is a document and what happens to it; a Form writes tasks as the Format of its name will show them in
an editor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from linewise.edits import Edit, EditLog, Hunk, Lines
from linewise_training.examples.example import Example


@dataclass(frozen=True, slots=True)
class TaskCursor:
    """A place in the lines that a hunk adds: 0-based row and column.

    `there` is what already stands of the first of them, if anything; then `row` is 0.
    """

    row: int
    column: int
    there: str | None


@dataclass(frozen=True, slots=True)
class EditingTask:
    """A document and the hunks that change it, each in the state that the one before it left.

    With `cursor`, the last hunk is in progress there; up to `run_up` lines before it are given, where the
    format has run-ups.
    """

    path: str
    log: EditLog
    hunks: tuple[Hunk, ...]
    cursor: TaskCursor | None
    run_up: int = 0


@dataclass(frozen=True, slots=True)
class WritingTask:
    """A document, an instruction, and the edits that follow it."""

    path: str
    log: EditLog
    instruction: str
    edits: tuple[Edit, ...]


class Form(Protocol):
    """How tasks are written in one Format: by the task alone, so that a seed draws the same ones for all."""

    @property
    def name(self) -> str:
        """The Format's name."""
        ...

    def window(self, path: str, lines: Lines, first_line: int, *, whole: bool) -> Example:
        """A document from its 0-based line `first_line` on; `whole` says that the file ends with it."""
        ...

    def editing(self, task: EditingTask) -> Example:
        """An editing task."""
        ...

    def writing(self, task: WritingTask) -> Example:
        """A writing task."""
        ...
