"""Whether a hunk is clean: the verifier's verdict on the state before against the state after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from linewise.edits import Lines, join_lines
from linewise.verify import get_verifier, new_problems
from linewise.verify.protocol import Problem, Verifier

PYTHON_SUFFIXES = frozenset({".py", ".pyi"})


class NoVerifier:
    """Finds nothing: for languages that Linewise cannot verify, and for users who want no check."""

    name = "none"

    def problems(self, sources: Sequence[str]) -> list[tuple[Problem, ...]]:
        """No problems, for each source."""
        return [() for _ in sources]


def verifier_for(path: str, name: str) -> Verifier:
    """The verifier called `name` (`pylint`, `fast`, `none`) for a file; only Python can be verified.

    A file that is not Python (by its suffix) gets `NoVerifier`: its hunks land unchecked.
    """
    if name == "none" or PurePath(path).suffix.lower() not in PYTHON_SUFFIXES:
        return NoVerifier()
    return get_verifier(name)


class Checker:
    """Compares states, remembering the problems of the last one, which is the next one's state before."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._known: tuple[Lines, tuple[Problem, ...]] | None = None

    def new_problems(self, before: Lines, after: Lines) -> tuple[Problem, ...]:
        """The problems that `after` has and `before` does not."""
        if self._known is not None and self._known[0] == before:
            old = self._known[1]
            (new,) = self._verifier.problems([join_lines(after)])
        else:
            old, new = self._verifier.problems([join_lines(before), join_lines(after)])
        brought = new_problems(before, after, old, new)
        self._known = (before, old) if brought else (after, new)
        return brought
