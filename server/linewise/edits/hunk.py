"""Hunks, edits and edit sequences: the values everything else in Linewise is about.

Lines are what `str.split("\n")` gives, without the newline: a carriage return stays part of its line and
a final newline is an empty last line, so that every text survives exactly. The empty text has no lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Lines: TypeAlias = tuple[str, ...]


def split_lines(text: str) -> Lines:
    r"""Split `text` at each "\n"; `join_lines` is the exact inverse. The empty text has no lines."""
    return tuple(text.split("\n")) if text else ()


def join_lines(lines: Sequence[str]) -> str:
    """Text of `lines`, the inverse of `split_lines`."""
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Hunk:
    """One contiguous change: at line `start` (0-based, in the state before), `removed` becomes `added`."""

    start: int
    removed: Lines
    added: Lines

    @property
    def end(self) -> int:
        """The 0-based line after the last removed one, in the state before."""
        return self.start + len(self.removed)

    @property
    def growth(self) -> int:
        """How many lines longer the document is after this hunk."""
        return len(self.added) - len(self.removed)


@dataclass(frozen=True, slots=True)
class Edit:
    """The hunks of one diff, ordered by `start`; none overlap; all count lines in the same state before."""

    hunks: tuple[Hunk, ...]


@dataclass(frozen=True, slots=True)
class EditSequence:
    """Edits, each against the state that the one before left; the first against the empty text."""

    edits: tuple[Edit, ...]
