"""What a verifier is: sources in, problems out; and what makes a problem new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


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
