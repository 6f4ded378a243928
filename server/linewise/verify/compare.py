"""What makes a problem new: compare the problems before an edit with those after it.

Problems are matched by code and message (line numbers in messages do not count) and by place:

- The unchanged lines of the edit map one to one. A problem on an unchanged line is old when the same problem
  was on that line before. Two of a kind on a line need two before.
- A problem on an added line is old when the same problem was on a line that the edit removed: it was moved or
  rewritten with its fault, not brought in.
- A syntax error hides every other problem, so where there was one before, absence says nothing:
  - It is still on its (unchanged) line: old, whatever its message, since the parser may now stumble there
    over something else; a user with an unfinished line keeps getting help elsewhere.
  - It is gone: a problem is new only on an added line. On an unchanged line it had been hidden.
  - Another one stands on an unchanged line: it had been hidden, unless the added lines can be the cause (it
    follows them directly or its message names one of them).
  - Another one stands on an added line, or before the old one: new.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from linewise.verify.protocol import Problem

# What verifiers call a source that cannot be parsed: the fast one's, and pylint's two.
SYNTAX_CODES = frozenset(["syntax-error", "E0001", "F0010"])

_LINE_NUMBER = re.compile(r"\b([Ll]ines?) (\d+)")


def blamed_line(problem: Problem) -> int:
    """The 0-based line at fault. A block that is missing is the fault of its header, which messages name."""
    if problem.code in SYNTAX_CODES:
        named = re.findall(r"\bon line (\d+)", problem.message)
        if named:
            return int(named[-1]) - 1
    return problem.line


def new_problems(
    before_lines: Sequence[str],
    after_lines: Sequence[str],
    before: Sequence[Problem],
    after: Sequence[Problem],
) -> tuple[Problem, ...]:
    """The problems of `after` that `before` does not already have, in their order.

    The lines are the document's, split at newlines, in the states that the problems were found in.
    """
    if not after:
        return ()
    alignment = _Alignment.of(before_lines, after_lines)
    broken = [problem for problem in before if problem.code in SYNTAX_CODES]
    kept: Counter[tuple[int, tuple[str, str]]] = Counter()
    removed: Counter[tuple[str, str]] = Counter()
    for problem in before:
        if problem.line in alignment.forward:
            kept[problem.line, (problem.code, _plain(problem.message))] += 1
        else:
            removed[problem.code, _plain(problem.message)] += 1

    fresh: list[Problem] = []
    for problem in after:
        key = (problem.code, _plain(problem.message))
        origin = alignment.backward.get(problem.line)
        if origin is not None and kept[origin, key]:
            kept[origin, key] -= 1
        elif origin is None and removed[key]:
            removed[key] -= 1
        elif not (
            broken and origin is not None and _was_hidden(problem, origin, broken, alignment, after_lines)
        ):
            fresh.append(problem)
    return tuple(fresh)


def _was_hidden(
    problem: Problem, origin: int, broken: list[Problem], alignment: _Alignment, after_lines: Sequence[str]
) -> bool:
    """Whether a problem on an unchanged line (`origin`, before) can have been there behind a syntax error."""
    if problem.code not in SYNTAX_CODES:
        return True
    first = min(old.line for old in broken)
    if any(old.line == origin for old in broken):
        return True
    if first in alignment.forward or origin < first:
        # The old error is still in the text, and the parser now stops elsewhere; or it used to pass here.
        return False
    named = {int(number) - 1 for _, number in _LINE_NUMBER.findall(problem.message)} - {problem.line}
    if any(line not in alignment.backward for line in named):
        return False
    above = problem.line - 1
    while above >= 0 and above in alignment.backward and not after_lines[above].strip():
        above -= 1
    return above >= 0 and above in alignment.backward


def _plain(message: str) -> str:
    return _LINE_NUMBER.sub(r"\1 #", message)


@dataclass(frozen=True, slots=True)
class _Alignment:
    """The unchanged lines: `forward` from before to after, `backward` the other way; 0-based."""

    forward: dict[int, int]
    backward: dict[int, int]

    @staticmethod
    def of(before: Sequence[str], after: Sequence[str]) -> _Alignment:
        shorter = min(len(before), len(after))
        head = 0
        while head < shorter and before[head] == after[head]:
            head += 1
        tail = 0
        while tail < shorter - head and before[-1 - tail] == after[-1 - tail]:
            tail += 1
        pairs = [(at, at) for at in range(head)]
        middle = difflib.SequenceMatcher(
            None, before[head : len(before) - tail], after[head : len(after) - tail], autojunk=False
        )
        for block in middle.get_matching_blocks():
            pairs.extend((head + block.a + i, head + block.b + i) for i in range(block.size))
        pairs.extend((len(before) - tail + i, len(after) - tail + i) for i in range(tail))
        return _Alignment(dict(pairs), {b: a for a, b in pairs})
