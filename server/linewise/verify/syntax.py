"""The syntax verifier: tree-sitter's grammars of languages other than Python, and brackets that must balance.

Covers what the grammar cannot read: error nodes, missing tokens, brackets that are never closed or close
nothing, NUL characters and lone surrogates. Does not cover names, types or imports: a program that calls what
nobody defined is clean here. Needs the optional extra `languages`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from linewise.errors import LinewiseError
from linewise.installation import install_extra
from linewise.verify.protocol import Problem

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

SYNTAX_ERROR = "syntax-error"

# For each language the module of its grammar, and the function in it that gives the grammar.
LANGUAGES: Mapping[str, tuple[str, str]] = {
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "go": ("tree_sitter_go", "language"),
    "java": ("tree_sitter_java", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
}

# What opens, by what closes it. Generics' "<" is left to the grammar, which tells it from "less than".
_CLOSES = {
    "{": "}", "(": ")", "[": "]", "${": "}", "[[": "]]",
    "#if": "#endif", "#ifdef": "#endif", "#ifndef": "#endif",
}  # fmt: skip
_CLOSING = frozenset(_CLOSES.values())
# To the grammars of C and C++ these are directives like any other where no "#if" stands before them.
_STRAY = frozenset([b"#endif", b"#else", b"#elif", b"#elifdef", b"#elifndef"])


@dataclass(frozen=True, slots=True)
class Span:
    """Brackets, or a token of several lines, from line `first` to line `last`, both 0-based."""

    first: int
    last: int
    kind: str
    """The closing bracket, or the grammar's name of the token."""


class SyntaxVerifier:
    """Parses sources of one language. Safe to use from any thread; give each process its own."""

    def __init__(self, language: str) -> None:
        """For one of LANGUAGES. Raises LinewiseError for another, or where its grammar is not installed."""
        self._language = language
        self._grammar = _grammar(language)

    @property
    def name(self) -> str:
        """The name that configuration and reports use."""
        return f"syntax:{self._language}"

    def problems(self, sources: Sequence[str]) -> list[tuple[Problem, ...]]:
        """The problems of each source, in order of place. Never raises for bad source text."""
        return [self._one(source) for source in sources]

    def spans(self, source: str) -> tuple[Span, ...]:
        """The pairs of brackets, and the tokens that reach over several lines, in the order of their ends.

        Brackets without a partner are left out. Raises LinewiseError for text that cannot be UTF-8.
        """
        try:
            tree = self._parse(source.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise LinewiseError(
                f"the source holds a lone surrogate at character {error.start + 1}"
            ) from error
        return _pair(tree)[0]

    def _one(self, source: str) -> tuple[Problem, ...]:
        try:
            text = source.encode("utf-8")
        except UnicodeEncodeError as error:
            return (_bad_character(source, error.start, "a lone surrogate"),)
        if "\0" in source:
            return (_bad_character(source, source.index("\0"), "a NUL character"),)
        tree = self._parse(text)
        lines = text.split(b"\n")
        # What the grammar makes of text after a bracket without partner is guesswork: the bracket is.
        faults = _pair(tree)[1] or tuple(_errors(tree))
        return tuple(sorted({_problem(node, message, lines) for node, message in faults}))

    def _parse(self, text: bytes) -> Tree:
        from tree_sitter import Parser  # noqa: PLC0415 -- optional; _grammar has said what is missing

        return Parser(self._grammar).parse(text)


def _grammar(language: str) -> Any:
    if language not in LANGUAGES:
        raise LinewiseError(f"there is no grammar for {language!r}; choose from {', '.join(LANGUAGES)}")
    module, function = LANGUAGES[language]
    try:
        from tree_sitter import Language  # noqa: PLC0415 -- optional

        return Language(getattr(importlib.import_module(module), function)())
    except ImportError as error:
        raise LinewiseError(
            f"checking {language} needs {error.name}, which is not installed; "
            f"install it with: {install_extra('languages')}"
        ) from error


def _leaves(tree: Tree) -> Iterator[Node]:
    """The tokens of the tree in their order, without recursion: code may nest deeper than Python's stack."""
    cursor = tree.walk()
    while True:
        if cursor.goto_first_child():
            continue
        if cursor.node is not None:
            yield cursor.node
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def _pair(tree: Tree) -> tuple[tuple[Span, ...], tuple[tuple[Node, str], ...]]:
    """The spans of the tree, and the brackets without a partner, each with what is wrong with it."""
    spans: list[Span] = []
    unpaired: list[tuple[Node, str]] = []
    open_nodes: list[Node] = []
    for leaf in _leaves(tree):
        if leaf.is_missing:
            continue
        kind = leaf.type
        first, last = leaf.start_point.row, leaf.end_point.row
        if kind in _CLOSES:
            open_nodes.append(leaf)
        elif kind in _CLOSING:
            # A bracket of another kind does not close: those inside that stay open are at fault.
            at = len(open_nodes) - 1
            while at >= 0 and _CLOSES[open_nodes[at].type] != kind:
                at -= 1
            if at < 0:
                unpaired.append((leaf, f"'{kind}' closes nothing"))
                continue
            unpaired += [(node, _never_closed(node)) for node in open_nodes[at + 1 :]]
            spans.append(Span(open_nodes[at].start_point.row, last, kind))
            del open_nodes[at:]
        elif kind == "preproc_directive" and leaf.text in _STRAY:
            unpaired.append((leaf, f"'{leaf.text.decode()}' without '#if'"))
        elif last > first and leaf.is_named:
            spans.append(Span(first, last, kind))
    unpaired += [(node, _never_closed(node)) for node in open_nodes]
    return tuple(spans), tuple(unpaired)


def _never_closed(node: Node) -> str:
    return f"'{node.type}' is never closed"


def _errors(tree: Tree) -> Iterator[tuple[Node, str]]:
    """The tokens that are missing, and for each innermost error the first token in it that fits nowhere."""
    waiting = [tree.root_node] if tree.root_node.has_error else []
    while waiting:
        node = waiting.pop()
        if node.is_missing:
            yield node, f"'{node.type}' is missing"
            continue
        inner = [child for child in node.children if child.has_error or child.is_missing]
        if node.is_error and not inner:
            # Named children are whole; what the parser could not place is between them.
            loose = next((child for child in node.children if not child.is_named), node)
            yield loose, "this does not belong here"
        waiting += inner


def _problem(node: Node, message: str, lines: Sequence[bytes]) -> Problem:
    row, column = node.start_point
    before = lines[row][:column] if row < len(lines) else b""
    return Problem(min(row, len(lines) - 1), len(before.decode("utf-8", "replace")), SYNTAX_ERROR, message)


def _bad_character(source: str, at: int, what: str) -> Problem:
    start = source.rfind("\n", 0, at) + 1
    return Problem(source.count("\n", 0, at), at - start, SYNTAX_ERROR, f"{what} is not text")
