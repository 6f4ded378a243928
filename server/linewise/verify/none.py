"""The verifier that finds nothing: for comparisons, and for text that is no Python."""

from __future__ import annotations

from collections.abc import Sequence

from linewise.verify.protocol import Problem


class NoVerifier:
    """Says of every source that it is clean."""

    @property
    def name(self) -> str:
        """The name that configuration and reports use."""
        return "none"

    def problems(self, sources: Sequence[str]) -> list[tuple[Problem, ...]]:
        """No problems for each source."""
        return [()] * len(sources)
