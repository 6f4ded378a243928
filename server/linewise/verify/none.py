"""No verifier at all: for languages that cannot be verified, users who want no check, and ablations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from linewise.verify.protocol import Problem


@dataclass(frozen=True, slots=True)
class NoVerifier:
    """Finds nothing; `reason` says why nothing is looked for."""

    reason: str = "checking is switched off"
    name: str = "none"

    def problems(self, sources: Sequence[str]) -> list[tuple[Problem, ...]]:
        """No problems, for each source."""
        return [() for _ in sources]
