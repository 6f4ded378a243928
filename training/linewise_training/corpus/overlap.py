"""Keep benchmark problems out of training text: token 5-gram Jaccard similarity, as in design and paper.

A text is contaminated when the Jaccard similarity of its set of token 5-grams with that of a benchmark item
is at least 0.7. An item is indexed whole (prompt and solution) and without its docstrings, and so is a
function that is most of it: an item may begin with helpers that a file has elsewhere. A file is compared
function by function, each of them whole and without its docstring, and class by class.
Not covered: paraphrases, renamed variables, other programming languages' versions of an item.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from linewise_training.corpus.functions import without_docstring
from linewise_training.corpus.harvest import parsed

THRESHOLD = 0.7
_WORD = re.compile(r"\w+|[^\w\s]")
# Cutting out a docstring joins tokens that were apart in the file: at most four new 5-grams for each cut.
_SEAM = 8
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def grams(text: str) -> frozenset[tuple[str, ...]]:
    """The set of token 5-grams of `text`; a shorter text is one gram of all its tokens."""
    tokens = _WORD.findall(text.lower())
    if len(tokens) < 5:
        return frozenset([tuple(tokens)]) if tokens else frozenset()
    return frozenset(zip(tokens, tokens[1:], tokens[2:], tokens[3:], tokens[4:], strict=False))


@dataclass(frozen=True, slots=True)
class Match:
    """An item, by its number from 0 in the order given, and the Jaccard similarity of the two."""

    item: int
    similarity: float


class Decontaminator:
    """Benchmark items, ready to be compared with."""

    def __init__(self, items: Iterable[str], threshold: float = THRESHOLD) -> None:
        self._threshold = threshold
        self._sizes: list[int] = []
        self._numbers: list[int] = []
        self._holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, item in enumerate(items):
            whole = [item, *_main_function(item)]
            for variant in {*whole, *(without_docstring(text) or text for text in whole)}:
                self._add(grams(variant), number)

    def _add(self, item: frozenset[tuple[str, ...]], number: int) -> None:
        if item:
            for gram in item:
                self._holders[gram].append(len(self._sizes))
            self._sizes.append(len(item))
            self._numbers.append(number)

    def __len__(self) -> int:
        return len(self._sizes)

    def contaminated(self, text: str) -> bool:
        """Whether `text` as a whole is too like an item."""
        return self.match(text) is not None

    def match(self, text: str) -> Match | None:
        """The item that `text` as a whole is most like, if it is too like it."""
        mine = grams(text)
        return self._best(len(mine), self._shared(mine))

    def file_contaminated(self, text: str, tree: ast.Module) -> bool:
        """Whether `text`, whose syntax tree is `tree`, has a function or class that is too like an item."""
        return self.file_match(text, tree) is not None

    def file_match(self, text: str, tree: ast.Module) -> Match | None:
        """The item that `text` is too like, or else the first of its functions and classes is.

        `tree` is the syntax tree of `text`.
        """
        # A chunk that reaches the threshold shares that much of the item, and so does the file around it.
        # This spares nearly every file the comparison chunk by chunk, and changes no verdict.
        mine = grams(text)
        shared = self._shared(mine)
        if not any(n + _SEAM >= self._threshold * self._sizes[item] for item, n in shared.items()):
            return None
        if whole := self._best(len(mine), shared):
            return whole
        return next((found for chunk in _chunks(text, tree) if (found := self.match(chunk))), None)

    def _best(self, size: int, shared: Counter[int]) -> Match | None:
        best: Match | None = None
        for item, n in shared.items():
            union = size + self._sizes[item] - n
            if n >= self._threshold * union and (best is None or n / union > best.similarity):
                best = Match(self._numbers[item], n / union)
        return best

    def _shared(self, mine: frozenset[tuple[str, ...]]) -> Counter[int]:
        return Counter(item for gram in mine & self._holders.keys() for item in self._holders[gram])


def _chunks(text: str, tree: ast.Module) -> Iterator[str]:
    """The source of each function and class, whole and without docstrings if there are any in it."""
    lines = text.split("\n")
    for node in ast.walk(tree):
        if isinstance(node, _DEFINITIONS):
            chunk = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            yield chunk
            # Without one to cut, the tokens would be the same again, for another parse.
            bare = without_docstring(chunk) if _documented(node) else None
            if bare is not None:
                yield bare


def _main_function(item: str) -> Iterator[str]:
    """The function of an item that is at least half of it, where it has others beside it."""
    tree = parsed(item)
    functions = [node for node in tree.body if isinstance(node, _DEFINITIONS)] if tree else []
    if len(functions) > 1:
        lines = item.split("\n")
        for node in functions:
            chunk = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            if 2 * len(chunk) >= len(item):
                yield chunk


def _documented(node: ast.AST) -> bool:
    return any(
        isinstance(inner, _DEFINITIONS) and ast.get_docstring(inner, clean=False) is not None
        for inner in ast.walk(node)
    )
