"""Problems of Python that show while a hunk is still being written, and cannot be mended by what follows.

Asked at each line end (Agrawal et al., "Monitor-Guided Decoding of Code LMs with Static Analysis of
Repository Context", NeurIPS 2023, ask a static analysis at each member access), about five things:

- **place**: the hunk ends a string or a bracket that the lines below go on with, or puts code before
  `from __future__`;
- **syntax**: no Python file begins with the text above and the hunk's lines;
- **owners**: a `def`, `class` or clause takes lines below for its own that cannot be so;
- **names**: what pyflakes calls undefined in the lines so far. A name that only a function within a function
  reads may still be bound around it, and in an open `try` may be caught: neither is a problem yet;
- **end**: the hunk leaves something open, or a head without its block.

What is said here the verifier would say of the whole hunk, too, with few exceptions (a hunk may close a
bracket and open another one; a later line may define a function that an earlier one calls, or a name that a
function takes from the lines below). Of a document that was broken above the hunk nothing is said, and of
what it opens or closes nothing where it was broken around it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import replace

from linewise.verify.beginning import (
    CLAUSES,
    Beginning,
    can_tell,
    completed,
    error_in,
    lacks_block,
    wrong_from,
)
from linewise.verify.excerpt import FUTURE, SCOPES, Scanned, excerpt
from linewise.verify.lexical import NOTHING, first_word, indentation, indented, is_code, scan
from linewise.verify.protocol import EarlyProblem, HunkWatch, Problem
from linewise.verify.pyflakes_problems import SYNTAX_ERROR, problems_where

# A part of a module says nothing of these: they are about all of it.
_OF_THE_MODULE = frozenset(["undefined-export", "late-future-import"])
_UNDEFINED = frozenset(["undefined-name", "undefined-local"])

_OPENERS = {
    "else": frozenset(["if", "for", "while", "try"]),
    "elif": frozenset(["if"]),
    "except": frozenset(["try"]),
    "finally": frozenset(["try"]),
}
_NAME = re.compile(r"[^\W\d]\w*")
# Words that may read a name, and those that say where one may stand: no attributes, no targets.
_READ = re.compile(r"(?<![\w.])[^\W\d]\w*(?!\w|\s*=[^=])|%|\.format\b")
_DUPLICATE = re.compile(r"duplicate argument '(\w+)'")


class WatchesPython:
    """What verifiers of Python share: the watch over their hunks, implementing `ForeseesProblems`."""

    _scanned: tuple[Sequence[str], Scanned] | None = None

    def watch(self, lines: Sequence[str], start: int, removed: int) -> HunkWatch:
        """For a hunk in the document `lines` that replaces `removed` of them, from `start` (0-based) on."""
        last = self._scanned
        if last is None or last[0] is not lines:  # a hunk that is led another way begins again
            last = self._scanned = (lines, Scanned.of(lines))
        return PythonWatch(last[1], start, removed)


class PythonWatch:
    """Looks at one hunk of a Python document while it is written: implements `HunkWatch`."""

    def __init__(self, document: Scanned, start: int, removed: int) -> None:
        self._document = document
        self._start, self._end = start, start + removed
        self._around: tuple[int, Beginning] | None = None
        self._silent = not can_tell()
        self._looked_at = 0  # how many of the new lines hold no undefined name
        self._known: set[str] = set()  # words that these lines hold

    def problem_so_far(self, added: Sequence[str], *, ended: bool = False) -> EarlyProblem | None:
        """What the verifier can but reject in a hunk whose added lines begin with `added`, or `ended` so."""
        text = self._text(added)
        if text is None:
            return None
        found = (
            self._misplaced(text)
            or self._not_python(text)
            or self._parts_clause(text)
            or self._takes_lines(text)
            or self._undefined(text)
            or (self._ends_too_soon(text) if ended else None)
        )
        if found is None or found.where == "place":
            return found
        kept = len(added) - (len(text.lines) - text.old)
        return replace(found, line=max(0, found.line - text.old + kept))

    def closing(self, added: Sequence[str]) -> str:
        """The line that ends the string of several lines that `added` leave open; or nothing."""
        text = self._text(added)
        if text is None or not text.states[-1].quotes or text.states[-1].brackets:
            return ""
        return text.closing()

    def _text(self, added: Sequence[str]) -> Beginning | None:
        """What stands above the first new line, as far as it matters, and the new lines; None without any."""
        removed = self._document.lines[self._start : self._end]
        kept = 0
        while kept < min(len(added), len(removed)) and added[kept] == removed[kept]:
            kept += 1
        if kept == len(added) or self._silent:
            return None
        if self._around is None or self._around[0] != kept:
            lines = excerpt(self._document, self._start + kept)
            self._around = (kept, Beginning(tuple(lines), tuple(scan(lines)), len(lines)))
            self._silent = error_in(lines) != ""  # nothing makes such a document worse
        above, new = self._around[1], added[kept:]
        states = scan(new, above.states[-1], above.old)
        return (
            None if self._silent else Beginning((*above.lines, *new), (*above.states, *states[1:]), above.old)
        )

    def _misplaced(self, text: Beginning) -> EarlyProblem | None:
        """Whether the new lines end what the lines below go on with, or come before `from __future__`."""
        document, new = self._document, text.lines[text.old :]
        first = self._start + self._around[0] if self._around else self._start
        before, below, reason = document.states[first], document.states[self._end], ""
        if below is NOTHING and before is NOTHING and document.future < self._end:
            return None
        states = scan(new, before, first)
        both = sum(line < first for line in below.brackets)
        if below.quotes and below.string < first:
            if any(state.string != below.string for state in states[1:]):
                reason = "the hunk ends a string that goes on below it"
        elif any(len(state.brackets) < both for state in states):
            reason = "the hunk closes a bracket that is closed below it"
        elif document.future >= self._end and any(
            state.nothing and is_code(line) and line.lstrip()[0] not in "\"'" and not FUTURE.match(line)
            for line, state in zip(new, states, strict=False)
        ):
            reason = "the hunk stands before an import from __future__"
        if not reason or self._was_broken():
            return None
        return EarlyProblem("place", self._beyond(first), 0, reason)

    def _beyond(self, place: int) -> int:
        """The last line of the function around `place`, or the statement, or of imports from __future__."""
        document, depth = self._document, None
        for number in range(place - 1, -1, -1):
            if document.begins_statement(number):
                line = document.lines[number]
                if depth is None or indentation(line) < depth:
                    depth = indentation(line)
                    if not depth or first_word(line) == "def":
                        break
        end = max(self._end, document.future + 1)
        while end < len(document.lines) and not (
            document.begins_statement(end) and indentation(document.lines[end]) <= (depth or 0)
        ):
            end += 1
        return max((n for n in range(end) if document.lines[n].strip()), default=0)

    def _not_python(self, text: Beginning) -> EarlyProblem | None:
        """Where the text ceases to be the beginning of any Python file."""
        error = error_in(text.lines)
        if not error:
            return None
        last = len(text.lines)
        while last - 1 > text.old and (earlier := error_in(text.lines[: last - 1])):
            error, last = earlier, last - 1
        column = 0 if "indent" in error else wrong_from(text.lines[:last])
        return EarlyProblem("line", last - 1, column, f"{error} ({SYNTAX_ERROR})")

    def _below(self) -> int | None:
        """The first line of code below the hunk, where a statement or a clause begins there."""
        document = self._document
        for number in range(self._end, len(document.lines)):
            if not document.states[number].nothing:
                return None
            if is_code(document.lines[number]):
                return number
        return None

    def _was_broken(self) -> bool:
        """Whether the document, as it was, is no Python up to the first statement below the hunk."""
        document, number = self._document, self._end
        while number < len(document.lines) and not document.begins_statement(number):
            number += 1
        if number == len(document.lines) and not document.states[-1].nothing:
            return True
        return error_in([*excerpt(document, number), *self._statement(number)]) != ""

    def _statement(self, number: int) -> tuple[str, ...]:
        """The lines of the statement, or the head of one, that begins with line `number` of the document."""
        end = number + 1
        while end < len(self._document.lines) and not self._document.states[end].nothing:
            end += 1
        return self._document.lines[number:end]

    def _parts_clause(self, text: Beginning) -> EarlyProblem | None:
        """Whether the last line parts an `else` or the like, below the hunk, from what it belongs to."""
        number, below = len(text.lines) - 1, self._below()
        if below is None or not text.begins_statement(number):
            return None
        line = self._document.lines[below]
        clause, word = first_word(line), first_word(text.lines[number])
        deeper = indentation(text.lines[number]) - indentation(line)
        if clause not in CLAUSES or deeper > 0 or word in CLAUSES:
            return None
        if (deeper == 0 and word in _OPENERS[clause]) or self._was_broken():
            return None
        return EarlyProblem("line", number, 0, f"the '{clause}' below belongs to what stands above")

    def _takes_lines(self, text: Beginning) -> EarlyProblem | None:
        """Whether the scope that begins with the last statement takes lines below that need another one."""
        at, below = text.last_statement, self._below()
        if below is None or at < text.old or not text.ends_statement:
            return None
        head = text.lines[at:]
        depth, word = indentation(head[0]), first_word(head[0])
        if depth >= indentation(self._document.lines[below]) or word not in (*SCOPES, "@"):
            return None
        if word == "@":
            head = (*head, f"{indented(head[0])}def _(self, cls):")
        block = self._block_below(depth)
        before = self._complaints([*text.lines[:at], *block])
        after = self._complaints([*text.lines[:at], *head, *block])
        if before is None or after is None or after <= before:
            return None
        reason = f"the lines below would lose what they stand in ({min(after - before)})"
        return EarlyProblem("line", at, 0, reason)

    def _block_below(self, depth: int) -> list[str]:
        """The lines below the hunk up to the first statement that is indented by `depth` or less."""
        document, last = self._document, self._end
        while last < len(document.lines):
            line = document.lines[last]
            if document.begins_statement(last) and indentation(line) <= depth:
                break
            last += 1
        return list(document.lines[self._end : last])

    def _complaints(self, lines: Sequence[str]) -> set[str] | None:
        """What the verifier says of lines, completed; None where they are no Python."""
        tree = completed(Beginning(tuple(lines), tuple(scan(lines)), 0))
        if tree is None:
            return None
        return {problem.message for problem in problems_where(tree, self._defined(lines))}

    def _defined(self, lines: Sequence[str]) -> frozenset[str]:
        """The names in `lines` that the document's module level may define."""
        names = self._document.names
        return frozenset() if names is None else names & set(_NAME.findall("\n".join(lines)))

    def _undefined(self, text: Beginning) -> EarlyProblem | None:
        """The first problem of the new lines that the verifier already sees."""
        if not text.ends_statement:
            return None
        fresh = text.lines[text.old + self._looked_at :]
        words = set(_READ.findall("\n".join(fresh)))
        if any(first_word(line) in SCOPES for line in fresh):
            self._known.clear()  # what one function has, another one has not
        if not words <= self._known:
            tree = completed(text)
            if tree is None:
                return None
            for problem in problems_where(tree, self._defined(text.lines)):
                if text.old <= problem.line < len(text.lines) and self._counts(problem, tree):
                    column = _column(text.lines[problem.line], problem)
                    message = problem.message.replace("defined as a builtin ", "")  # only here it is one
                    return EarlyProblem("line", problem.line, column, f"{message} ({problem.code})")
            self._known |= words
        self._looked_at = len(text.lines) - text.old
        return None

    def _counts(self, problem: Problem, tree: ast.Module) -> bool:
        """Whether nothing that follows can mend `problem`."""
        if problem.code in _UNDEFINED:
            return self._document.names is not None and not _may_be_bound(tree, problem)
        return problem.code not in _OF_THE_MODULE

    def _ends_too_soon(self, text: Beginning) -> EarlyProblem | None:
        """Whether the lines below cannot follow."""
        last, below = text.states[-1], self._document.states[self._end]
        if (bool(last.quotes), len(last.closers)) != (bool(below.quotes), len(below.closers)):
            return self._ends_within(text)
        number = self._below()
        if last is not NOTHING or (number is None and not lacks_block(text)):
            return None
        follows = () if number is None else self._statement(number)
        if number is not None and (not error_in([*text.lines, *follows]) or self._was_broken()):
            return None
        if lacks_block(text):
            reason = "the hunk ends before the block that it begins"
            return EarlyProblem("end", text.last_statement, 0, reason)
        for at in range(len(text.lines) - 1, text.old - 1, -1):
            if text.begins_statement(at) and indentation(text.lines[at]) < indentation(follows[0]):
                return EarlyProblem("line", at, 0, "the lines below stand deeper")
        return EarlyProblem("end", len(text.lines) - 1, 0, "the lines below cannot follow")

    def _ends_within(self, text: Beginning) -> EarlyProblem | None:
        """That the hunk ends within a string or a bracket which the lines below do not go on with."""
        last, below = text.states[-1], self._document.states[self._end]
        never_closed = last.quotes and self._document.states[-1].quotes
        if never_closed or self._was_broken():  # what the hunk opens may be what is closed below
            return None
        what = "a string" if last.quotes else "a bracket"
        closing = text.closing() if below is NOTHING else ""
        return EarlyProblem("end", len(text.lines) - 1, 0, f"the hunk ends within {what}", closing)


def _may_be_bound(tree: ast.Module, problem: Problem) -> bool:
    """Whether the name that a problem is about is read by a function within one, which may bind it later."""
    depth = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            begin = (node.lineno - 1, node.col_offset)
            end = ((node.end_lineno or node.lineno) - 1, node.end_col_offset or 0)
            depth += begin <= (problem.line, problem.column) < end
    return depth > 1


def _column(line: str, problem: Problem) -> int:
    """The character of `line` at which the problem begins; verifiers may count bytes, or name a statement."""
    duplicate = _DUPLICATE.search(problem.message)
    if duplicate:
        places = [found.start() for found in re.finditer(rf"\b{duplicate[1]}\b", line)]
        return places[min(1, len(places) - 1)] if places else 0
    if problem.code == SYNTAX_ERROR:
        return problem.column
    return len(line.encode()[: problem.column].decode("utf-8", "ignore"))
