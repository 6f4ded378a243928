"""Whether a hunk is clean: the verifier's verdict on the state before against the state after."""

from __future__ import annotations

from pathlib import PurePath

from linewise.edits import Lines, join_lines
from linewise.verify import SYNTAX_CODES, NoVerifier, blamed_line, get_verifier, new_problems
from linewise.verify.protocol import ForeseesProblems, HunkWatch, Problem, Verifier

PYTHON_SUFFIXES = frozenset({".py", ".pyi"})


LONG_FILE = 5000  # lines; pylint takes seconds over more, for every hunk


def verifier_for(path: str, name: str, lines: int = 0) -> Verifier:
    """The verifier called `name` (`pylint`, `fast`, `none`) for a file of so many lines.

    A file that is not Python (by its suffix) gets `NoVerifier`: its hunks land unchecked, and say so. One
    of more than `LONG_FILE` lines is given to the fast verifier instead of pylint.
    """
    if name == "none":
        return NoVerifier()
    if PurePath(path).suffix.lower() not in PYTHON_SUFFIXES:
        return NoVerifier("only Python files are checked")
    return get_verifier("fast" if name == "pylint" and lines > LONG_FILE else name)


class Checker:
    """Compares states, remembering the problems of the last one, which is the next one's state before."""

    def __init__(self, verifier: Verifier, *, early: bool = True) -> None:
        self._verifier = verifier
        self._early = early
        self._known: tuple[Lines, tuple[Problem, ...]] | None = None
        self.unchecked = ""
        """Why the last hunk could not be checked, or not in full; empty where it was."""

    def watch(self, lines: Lines, start: int, removed: int) -> HunkWatch | None:
        """Looks at a hunk while it is written, if the verifier can: see `ForeseesProblems`."""
        if self._early and isinstance(self._verifier, ForeseesProblems):
            return self._verifier.watch(lines, start, removed)
        return None

    def new_problems(self, before: Lines, after: Lines) -> tuple[Problem, ...]:
        """The problems that `after` has and `before` does not."""
        if self._known is not None and self._known[0] == before:
            old = self._known[1]
            (new,) = self._verifier.problems([join_lines(after)])
        else:
            old, new = self._verifier.problems([join_lines(before), join_lines(after)])
        brought = new_problems(before, after, old, new)
        self.unchecked = self._doubt(new)
        self._known = (before, old) if brought else (after, new)
        return brought

    def _doubt(self, problems: tuple[Problem, ...]) -> str:
        if isinstance(self._verifier, NoVerifier):
            return self._verifier.reason
        broken = next((problem for problem in problems if problem.code in SYNTAX_CODES), None)
        if broken is None:
            return ""
        return f"the syntax error at line {blamed_line(broken) + 1} hides other problems until it is mended"
