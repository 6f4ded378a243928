"""The fast verifier: what the compiler rejects, and the pyflakes messages that are errors at run time.

Covers: syntax errors, null bytes, unknown or contradicted encoding declarations, lone surrogates, nesting
too deep to compile; undefined names and the like (the table in pyflakes_problems.py). Pyflakes messages that
are style (unused imports and variables) or opinion (comparison with a literal) are left out, and so is
`RedefinedWhileUnused`, which pylint calls an error for functions only. It does not follow types, attributes
or order of assignment: that is what pylint is for.
"""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Sequence
from io import BytesIO

from linewise.verify.early import WatchesPython
from linewise.verify.protocol import Problem
from linewise.verify.pyflakes_problems import SYNTAX_ERROR, pyflakes_problems
from linewise.verify.quiet import no_warnings

_COOKIE = re.compile(r"^[ \t\f]*#.*?coding[:=]")


class FastVerifier(WatchesPython):
    """Compiles a source and runs pyflakes on it. Safe to use from any thread."""

    @property
    def name(self) -> str:
        """The name that configuration and reports use."""
        return "fast"

    def problems(self, sources: Sequence[str]) -> list[tuple[Problem, ...]]:
        """The problems of each source, in order of place. Never raises for bad source text."""
        return [self._one(source) for source in sources]

    def _one(self, source: str) -> tuple[Problem, ...]:
        try:
            _check_encoding(source)
            with no_warnings():
                tree = ast.parse(source, "<source>")
                # Some syntax errors (a `return` outside a function) are found after parsing only.
                compile(tree, "<source>", "exec", dont_inherit=True)
        except SyntaxError as error:
            return (_syntax_problem(error, source),)
        except ValueError as error:
            # Null bytes (before Python 3.12) and lone surrogates.
            return (Problem(_bad_character_line(source), 0, SYNTAX_ERROR, str(error)),)
        except (RecursionError, MemoryError):
            return (Problem(0, 0, SYNTAX_ERROR, "the code is nested too deeply to compile"),)
        return pyflakes_problems(tree)


def _check_encoding(source: str) -> None:
    """Raise SyntaxError or ValueError when the source's own encoding declaration forbids saving it."""
    if "coding" not in source[:400]:
        return
    head = source.split("\n", 2)[:2]
    for row, line in enumerate(head):
        if _COOKIE.match(line):
            try:
                encoding, _ = tokenize.detect_encoding(BytesIO(line.encode("utf-8") + b"\n").readline)
                source.encode(encoding)
            except (SyntaxError, UnicodeEncodeError) as error:
                reason = getattr(error, "reason", None) or str(error)
                raise SyntaxError(
                    f"encoding declaration: {reason}", ("<source>", row + 1, 1, line)
                ) from error
            return
        if line.strip() and not line.lstrip().startswith("#"):
            return


def _syntax_problem(error: SyntaxError, source: str) -> Problem:
    last = source.count("\n")
    line = min(max(0, (error.lineno or 1) - 1), last)
    return Problem(line, max(0, (error.offset or 1) - 1), SYNTAX_ERROR, error.msg or "invalid syntax")


def _bad_character_line(source: str) -> int:
    for at, character in enumerate(source):
        if character == "\0" or 0xD800 <= ord(character) <= 0xDFFF:
            return source.count("\n", 0, at)
    return 0
