"""Whether a text can be the beginning of a Python file, and from where on it cannot: CPython's parser says.

And how a beginning could be brought to an end: what it leaves open, closed; blocks that it lacks, filled.
"""

from __future__ import annotations

import ast
import codeop
import re
from collections.abc import Sequence
from dataclasses import dataclass

from linewise.verify.lexical import (
    NOTHING,
    Open,
    begins_statement,
    first_word,
    indentation,
    indented,
    is_code,
)
from linewise.verify.quiet import no_warnings

CLAUSES = frozenset(["else", "elif", "except", "finally"])

# Lets the parser tell an end that came too soon from an error; some early releases of Python 3.10 lack it.
_ALLOW_INCOMPLETE: int = getattr(codeop, "PyCF_ALLOW_INCOMPLETE_INPUT", 0)
_INCOMPLETE = "incomplete input"

_PIECE = re.compile(
    r"""[rbuf]{0,2}(?:"{3}|'{3}|"(?:[^\\"]|\\.)*"?|'(?:[^\\']|\\.)*'?)"""
    r"""|\w+|\*\*=?|//=?|>>=?|<<=?|->|\.{3}|[-+*/%@&|^=<>!:]=|\s+|.""",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first `lines` of a text, what is open before each and after the last, and how many are old."""

    lines: tuple[str, ...]
    states: tuple[Open, ...]
    old: int

    @property
    def ends_statement(self) -> bool:
        """Whether a statement, or the head of a block, ends with the last line."""
        return self.states[-1] is NOTHING and is_code(self.lines[-1])

    def begins_statement(self, number: int) -> bool:
        """Whether a statement, or a clause of one, begins with line `number`."""
        return begins_statement(self.lines[number], self.states[number])

    @property
    def last_statement(self) -> int:
        """The line with which the last statement, or clause, begins; -1 where there is none."""
        numbers = range(len(self.lines) - 1, -1, -1)
        return next((number for number in numbers if self.begins_statement(number)), -1)

    def closing(self) -> str:
        """Lines that close what the new lines leave open, as deep as what they close; none for old lines."""
        state = self.states[-1]
        ends = [(state.string, state.quotes)] if len(state.quotes) == 3 else []
        ends += zip(reversed(state.brackets), reversed(state.closers), strict=True)
        if any(line < self.old for line, _ in ends):
            return ""
        closing = [f"{indented(self.lines[line])}{closer}" for line, closer in ends]
        return "" if error_in([*self.lines, *closing]) else "".join(f"{line}\n" for line in closing)


def can_tell() -> bool:
    """Whether this Python can tell an end that came too soon from an error."""
    return _ALLOW_INCOMPLETE != 0


def error_in(lines: Sequence[str], *, within: bool = False) -> str:
    """Why no Python file begins with `lines`; empty where one may.

    They are whole, or, `within` the last one, only so far as it has come.
    """
    # The backslash keeps the parser from taking the end for that of a statement or a block.
    source = "\n".join(lines) + (" \\\n" if within else "\n\\\n")
    try:
        with no_warnings():
            compile(source, "<source>", "exec", _ALLOW_INCOMPLETE, dont_inherit=True)
    except SyntaxError as error:
        message = error.msg or "invalid syntax"
        if message == _INCOMPLETE:
            return ""
        # Said of an error within brackets, which are open as yet.
        return "invalid syntax" if message.endswith("was never closed") else message
    except ValueError as error:
        return str(error)
    except (RecursionError, MemoryError):
        return "the code is nested too deeply to compile"
    return ""


def wrong_from(lines: Sequence[str]) -> int:
    """The column of the last line from which on no Python file begins with `lines`; its length for the end.

    Without the last line one may; and the line's indentation is not what is wrong.
    """
    line = lines[-1]
    if error_in(lines).startswith("unterminated"):
        return len(line)
    pieces = list(_PIECE.finditer(line))
    low, high = 0, len(pieces)  # the first `low` pieces may stand there
    while low < high:
        middle = (low + high + 1) // 2
        if error_in([*lines[:-1], line[: pieces[middle - 1].end()]], within=True):
            high = middle - 1
        else:
            low = middle
    column = pieces[low].start() if low < len(pieces) else len(line)
    return column if line[:column].strip() else 0  # the indentation comes with the word that it leads to


def parsed(lines: Sequence[str]) -> ast.Module | None:
    """The tree of whole lines; None where they are no Python."""
    try:
        with no_warnings():
            return ast.parse("\n".join([*lines, ""]))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def completed(text: Beginning) -> ast.Module | None:
    """The tree of a beginning that was made a whole text; None where a statement is not at its end.

    A block that is missing is put there, and what a `try` lacks.
    """
    last = text.last_statement
    if text.states[-1] is not NOTHING or last < 0:
        return None
    # Nothing is undefined yet that the clause to come may be there for.
    rest = [f"{blank}except NameError: pass" for blank in _open_tries(text)]
    blank = indented(text.lines[last])
    body = f"{blank}def _(): pass" if first_word(text.lines[last]) == "@" else f"{blank} pass"
    tree = parsed([*text.lines, *rest])
    return tree if tree is not None else parsed([*text.lines, body, *rest])


def lacks_block(text: Beginning) -> bool:
    """Whether a text ends with the head of a block, a decorator, or a `try` without its clause."""
    return parsed(text.lines) is None and completed(text) is not None


def _open_tries(text: Beginning) -> list[str]:
    """The indentation of each `try` around the end that has no clause yet, innermost first."""
    blocks: list[tuple[int, str]] = []  # depth and indentation of the statements around; "-" for no open try
    for number, line in enumerate(text.lines):
        if not text.begins_statement(number):
            continue
        depth, word = indentation(line), first_word(line)
        while blocks and blocks[-1][0] > depth:
            blocks.pop()
        if blocks and blocks[-1][0] == depth:
            if word == "else":
                continue
            blocks.pop()
        blocks.append((depth, indented(line) if word == "try" else "-"))
    return [blank for _, blank in reversed(blocks) if blank != "-"]
