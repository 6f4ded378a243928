"""What is open where a line of Python begins: brackets, a string that goes on, a line that is continued.

A scan of characters, not a parse: it works on files that are broken, and goes on from the middle of one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_CLOSES = {"(": ")", "[": "]", "{": "}"}
_TOKEN = re.compile(r"""\"{3}|'{3}|["'#()\[\]{}]""")
_STRING_END = {
    '"""': re.compile(r'(?:[^\\"]|\\.|"(?!""))*"""'),
    "'''": re.compile(r"(?:[^\\']|\\.|'(?!''))*'''"),
    '"': re.compile(r'(?:[^\\"]|\\.)*"'),
    "'": re.compile(r"(?:[^\\']|\\.)*'"),
}


@dataclass(frozen=True, slots=True)
class Open:
    """What is open between two lines.

    `brackets` holds the lines (0-based) in which those that are open stand, outermost first; `string` is the
    line in which a string that goes on began, -1 for none, and `quotes` what ends it; `continued` says that
    a backslash ended the line before.
    """

    brackets: tuple[int, ...] = ()
    closers: str = ""
    string: int = -1
    quotes: str = ""
    continued: bool = False

    @property
    def nothing(self) -> bool:
        """Whether a line that begins here begins a statement."""
        return not (self.brackets or self.quotes or self.continued)


NOTHING = Open()


def scan(lines: Sequence[str], start: Open = NOTHING, first: int = 0) -> list[Open]:
    """What is open before each of `lines`, and after the last: one more than there are lines.

    `start` is what is open before them; they count from `first`. A bracket that closes nothing is ignored.
    """
    states = [start]
    state = start
    for number, line in enumerate(lines, first):
        if state is not NOTHING or line.endswith("\\") or _TOKEN.search(line):
            state = _after(line, state, number)
        states.append(state)
    return states


def _after(line: str, state: Open, number: int) -> Open:
    """What is open after `line`, the line `number`, where `state` was before it."""
    brackets, closers = list(state.brackets), state.closers
    goes_on = line.endswith("\\")
    at = 0
    if state.quotes:
        at = _string_end(line, 0, state.quotes)
        if at < 0:
            return state
    while (found := _TOKEN.search(line, at)) is not None:
        token, at = found[0], found.end()
        if token == "#":
            goes_on = False
            break
        if token in _CLOSES:
            brackets.append(number)
            closers += _CLOSES[token]
        elif token in _STRING_END:
            at = _string_end(line, at, token)
            if at < 0:
                return Open(tuple(brackets), closers, number, token)
        elif brackets:
            brackets.pop()
            closers = closers[:-1]
    return Open(tuple(brackets), closers, continued=goes_on) if brackets or goes_on else NOTHING


def _string_end(line: str, at: int, quotes: str) -> int:
    """Where the string that `quotes` end, and that goes on at `at`, is over; -1 where it goes on below.

    One of a single line that never ends is over with the line: the parser tells of it.
    """
    end = _STRING_END[quotes].match(line, at)
    if end is not None:
        return end.end()
    return -1 if len(quotes) == 3 or line.endswith("\\") else len(line)


def indentation(line: str) -> int:
    """The width of a line's indentation, a tab reaching to the next multiple of eight."""
    expanded = line.expandtabs(8)
    return len(expanded) - len(expanded.lstrip())


def indented(line: str) -> str:
    """The blanks that a line begins with."""
    return line[: len(line) - len(line.lstrip())]


_WORD = re.compile(r"\s*(async\s+(?=def|for|with)|)(\w+|@)")


def first_word(line: str) -> str:
    """The word that a line begins with (`def` where that is async), or `@`, or nothing."""
    found = _WORD.match(line)
    return found[2] if found else ""


def is_code(line: str) -> bool:
    """Whether a line that begins a statement, or may, has more than a comment."""
    bare = line.lstrip()
    return bool(bare) and not bare.startswith("#")


def begins_statement(line: str, state: Open) -> bool:
    """Whether a statement, or a clause of one, begins with `line`, before which `state` is open."""
    return state.nothing and is_code(line)
