"""A source without the lines that no verdict depends on: blank lines, comments, the inside of docstrings.

A linter that judges code, not style, says the same of both, on lines that map one to one. So what it says of
one source is known for all that differ in such lines alone. What may still matter is kept:

- a source with something that tools read in comments (`pylint`, `type:`, `coding:`), with `__doc__`, or with
  carriage returns is not reduced at all;
- lines with characters other than printable ASCII are kept, since pylint reports some of those anywhere;
- the line after a backslash is kept, as it may be all that ends the line before it, and so are the lines of
  strings that are no docstrings.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SPECIAL = re.compile(r"#.*(?:pylint|type\s*:|coding[:=])|__doc__|\r|\ufeff")
"""What makes more of a source matter than its code; such a source is not reduced."""
_SPACE = " \t\f"
_PLAIN = re.compile(r"[ -~\t\f]*")
_LONG_QUOTES = re.compile(r'"""|\'\'\'')
# Strings that may reach over lines: those in long quotes, and since Python 3.12 all with fields.
_LONG_STRINGS = re.compile(r'"""|\'\'\'|[fFtT][rR]?["\']')
_DOCSTRING = re.compile(r'\s*[rRuU]?("""|\'\'\')')
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Reduced:
    """`text`, and for each of its lines the 0-based line of the source that it was."""

    text: str
    lines: tuple[int, ...]


def reduced(source: str, tree: ast.Module) -> Reduced | None:
    """`source`, of which `tree` is the syntax tree, without what its verdict does not depend on.

    None where that cannot be told.
    """
    if SPECIAL.search(source):
        return None
    lines = source.split("\n")
    # For each line: is it part of a simple statement, can it be inside a string, is it inside a docstring?
    covered, in_string, in_docstring = bytearray(len(lines)), bytearray(len(lines)), bytearray(len(lines))
    for node in _blocks_and_statements(tree):
        if isinstance(node, _DOCUMENTED) and node.body:
            for inside in _inside_docstring(node.body[0], lines):
                in_docstring[inside] = 1
        elif isinstance(node, ast.stmt) and not hasattr(node, "body"):
            span = slice(node.lineno - 1, node.end_lineno)
            text = lines[span]
            covered[span] = b"\1" * len(text)
            if len(text) > 1 and any(_LONG_STRINGS.search(line) for line in text):
                in_string[span] = b"\1" * len(text)
    kept: list[int] = []
    after_backslash = False
    for at, line in enumerate(lines):
        bare = line.lstrip(_SPACE)
        droppable = in_docstring[at] or not (in_string[at] or (bare and bare[0] != "#"))
        if not covered[at] and not droppable and _LONG_QUOTES.search(line):
            return None  # A string in the head of a block, which may go on below.
        if after_backslash or not droppable or not _PLAIN.fullmatch(line):
            kept.append(at)
        after_backslash = line.endswith("\\")
    return Reduced("\n".join([lines[at] for at in kept]), tuple(kept))


def _blocks_and_statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Whatever holds statements, and every statement."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, name, None)
            if isinstance(inner, list):
                todo += inner


def _inside_docstring(statement: ast.stmt, lines: Sequence[str]) -> range:
    """The lines between the first and the last of a docstring in one piece; none for another statement."""
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Constant):
        return range(0)
    first, end = statement.lineno - 1, statement.end_lineno or statement.lineno
    text = lines[first:end]
    quotes = _DOCSTRING.match(text[0])
    if not isinstance(statement.value.value, str) or quotes is None:
        return range(0)
    if sum(line.count(quotes[1]) for line in text) != 2:
        return range(0)  # Two strings side by side, which may not stay two without what is between.
    return range(first + 1, end - 1)
