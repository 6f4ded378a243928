"""The part of a file that decides what may follow a place in it: the statement around, without what is over.

Of a class with hundreds of methods the verdict on one more depends on their names only. So what a check of
one line costs does not grow with the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from linewise.verify.beginning import CLAUSES
from linewise.verify.lexical import Open, begins_statement, first_word, indentation, indented, is_code, scan

SCOPES = frozenset(["def", "class"])
FUTURE = re.compile(r"from\s+__future__\s+import\b")

_NAME = re.compile(r"[^\W\d]\w*")
_GLOBAL = re.compile(r"^\s*global\s+(.*)")
_STAR = re.compile(r"^\s*from\s.*\bimport\s*\*")
_SCOPE_NAME = re.compile(r"\s*(?:async\s+)?(?:def|class)\s+(\w+)")


@dataclass(frozen=True, slots=True)
class Scanned:
    """A document's `lines`, what is open before each and after the last, and what its module level has.

    `names` are those that it may define, None where that may be any; `future` is the last line with an import
    from `__future__`, -1 without one.
    """

    lines: tuple[str, ...]
    states: tuple[Open, ...]
    names: frozenset[str] | None
    future: int

    def begins_statement(self, number: int) -> bool:
        """Whether a statement, or a clause of one, begins with line `number`."""
        return begins_statement(self.lines[number], self.states[number])

    @classmethod
    def of(cls, lines: Sequence[str]) -> Scanned:
        """Scan a document, given with or without carriage returns."""
        bare = tuple(line.rstrip("\r") for line in lines)
        states = tuple(scan(bare))
        imports = [n for n, line in enumerate(bare) if FUTURE.match(line) and states[n].nothing]
        # Where something is never closed, code was taken for text, or text for code.
        names = module_names(bare, states) if states[-1].nothing else None
        return cls(bare, states, names, imports[-1] if imports else -1)


def excerpt(document: Scanned, place: int) -> list[str]:
    """What stands before the line `place` and says whether lines can follow there, and which names they have.

    That is the statement at module level around the place, or just before it. In the place of functions and
    classes in it that are over stands an assignment to their names.
    """
    lines, states = document.lines, document.states
    top = place
    while top > 0:
        top -= 1
        line = lines[top]
        if begins_statement(line, states[top]) and not line[0].isspace() and first_word(line) not in CLAUSES:
            break
    kept: list[str] = []
    over: list[tuple[str, str]] = []  # names of scopes that are over, each with its indentation
    at = top
    while at < place:
        line, starts = lines[at], begins_statement(lines[at], states[at])
        if states[at].nothing and not is_code(line):
            at += 1
            continue
        head = _decorated(lines, states, at, place) if starts and at > top else at
        found = _SCOPE_NAME.match(lines[head]) if starts and at > top else None
        end = _end_of_scope(lines, states, head, place) if found else None
        if found and end is not None:
            over.append((indented(line), found[1]))
            at = end
            continue
        kept += _bound(over)
        over = []
        kept.append(line)
        at += 1
    return kept + _bound(over)


def _decorated(lines: Sequence[str], states: Sequence[Open], at: int, place: int) -> int:
    """The line before `place` of what is decorated from `at` on; `at` itself where that is no decorator."""
    number = at
    while number < place - 1 and lines[number].lstrip().startswith("@"):
        number += 1
        while number < place - 1 and not begins_statement(lines[number], states[number]):
            number += 1
    return number


def _end_of_scope(lines: Sequence[str], states: Sequence[Open], at: int, place: int) -> int | None:
    """The line before `place` at which the scope that begins at `at` is over; None where it is not."""
    depth = indentation(lines[at])
    for number in range(at + 1, place):
        if begins_statement(lines[number], states[number]) and indentation(lines[number]) <= depth:
            return number
    return None


def _bound(over: list[tuple[str, str]]) -> list[str]:
    """Assignments to the names of scopes that are over, one for those of equal indentation."""
    found: list[tuple[str, list[str]]] = []
    for blank, name in over:
        if found and found[-1][0] == blank:
            found[-1][1].append(name)
        else:
            found.append((blank, [name]))
    return [f"{blank}{' = '.join(dict.fromkeys(names))} = None" for blank, names in found]


def module_names(lines: Sequence[str], states: Sequence[Open]) -> frozenset[str] | None:
    """No fewer names than a file's module level defines; None where a star import may define any.

    Every word outside functions and classes counts, and those that are declared global.
    """
    found: set[str] = set()
    inside = False
    for line, state in zip(lines, states, strict=False):
        if state.quotes:
            continue
        if "import" in line and _STAR.match(line):
            return None
        if line and not line[0].isspace() and begins_statement(line, state):
            scope = _SCOPE_NAME.match(line)
            inside = scope is not None or line.startswith("@")
            if scope:
                found.add(scope[1])
        if not inside:
            found.update(_NAME.findall(line))
        elif "global" in line and (declared := _GLOBAL.match(line)):
            found.update(_NAME.findall(declared[1]))
    return frozenset(found)
