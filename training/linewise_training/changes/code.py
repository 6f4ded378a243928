"""Source code with its syntax tree, and changes of it at places that the tree tells."""

from __future__ import annotations

import ast
import io
import random
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from linewise.edits import Lines
from linewise_training.corpus.harvest import parsed

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Definition: TypeAlias = Function | ast.ClassDef

MAX_LINES = 40
"""Of a function or class that is changed: more would not fit a window with its surroundings."""

NEAR = 60
"""Lines: what is changed together, or is the reason of a change, lies no farther apart."""

_MOST = 4  # functions that are changed together


@dataclass(frozen=True, slots=True)
class Change:
    """Lines before and after, and what somebody would ask for to get from one to the other.

    What cannot be done in steps without a state that is broken, such as a renaming, is `at_once`: one hunk
    from the first line that changes to the last. `reason` is a 0-based line of `before` without which nobody
    could tell what to do: the use of what is to be imported.
    """

    instruction: str
    before: Lines
    after: Lines
    at_once: bool = False
    reason: int | None = None


@dataclass(frozen=True, slots=True)
class Replacement:
    """New text for a part of one line: 0-based line, and columns in characters."""

    line: int
    start: int
    end: int
    text: str


class Code:
    """A file's lines and tree. Columns of the tree count bytes, so only lines in ASCII are changed."""

    def __init__(self, text: str, tree: ast.Module) -> None:
        self.text = text
        self.lines: Lines = tuple(text.split("\n"))
        self.tree = tree

    @cached_property
    def nodes(self) -> Sequence[ast.AST]:
        """All of the tree."""
        return list(ast.walk(self.tree))

    @cached_property
    def functions(self) -> Sequence[Function]:
        """Functions and methods short enough to be changed."""
        return [one for one in self.definitions if not isinstance(one, ast.ClassDef)]

    @cached_property
    def definitions(self) -> Sequence[Definition]:
        """Functions, methods and classes that are short, and the only ones of their name, in their order."""
        found = [
            node
            for node in self.nodes
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        ]
        names = Counter(node.name for node in found)
        short = [
            one for one in found if names[one.name] == 1 and last_line(one) - first_line(one) < MAX_LINES
        ]
        return sorted(short, key=lambda node: node.lineno)

    @cached_property
    def comments(self) -> frozenset[int]:
        """0-based lines that have a comment; none where the lines cannot be told."""
        try:
            tokens = [*tokenize.generate_tokens(io.StringIO(self.text).readline)]
        except (SyntaxError, tokenize.TokenError):
            return frozenset()
        return frozenset(one.start[0] - 1 for one in tokens if one.type == tokenize.COMMENT)

    @cached_property
    def words(self) -> frozenset[str]:
        """Everything in the file that looks like a name."""
        return frozenset(re.findall(r"\w+", self.text))

    def replace(self, replacements: Iterable[Replacement]) -> Lines | None:
        """The lines with parts of them replaced; None where one of these lines is not ASCII alone."""
        lines = list(self.lines)
        for one in sorted(replacements, key=lambda one: (one.line, one.start), reverse=True):
            line = lines[one.line]
            if not self.lines[one.line].isascii():
                return None
            lines[one.line] = line[: one.start] + one.text + line[one.end :]
        return tuple(lines)


def read_code(text: str) -> Code | None:
    """The code that `text` is; None where it does not parse, or the tree counts lines in another way."""
    tree = None if re.search(r"\r(?!\n)", text) else parsed(text)
    return None if tree is None else Code(text, tree)


def first_line(node: Definition) -> int:
    """0-based line that a definition begins with, decorators and all."""
    return min([node.lineno, *(one.lineno for one in node.decorator_list)]) - 1


def last_line(node: ast.stmt) -> int:
    """0-based line after a statement."""
    return node.end_lineno or node.lineno


def some_of(found: Sequence[Definition], share: float, rng: random.Random) -> list[Definition]:
    """One of `found`, which are in the file's order; with that probability a few functions from there on."""
    chosen = rng.choice(found)
    if rng.random() >= share:
        return [chosen]
    near = [one for one in found if chosen.lineno <= one.lineno < chosen.lineno + NEAR]
    functions: list[Definition] = [one for one in near if not isinstance(one, ast.ClassDef)]
    return functions[:_MOST] or [chosen]


def asked(ways: Sequence[str], rng: random.Random, **names: str) -> str:
    """One of several ways to ask, with the names filled in; as people type: now and then with a capital."""
    quoted = rng.random() < 0.1
    text = rng.choice(ways).format(**{key: f"`{name}`" if quoted else name for key, name in names.items()})
    return text[:1].upper() + text[1:] if rng.random() < 0.2 else text
