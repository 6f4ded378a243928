"""Keep benchmark problems out of training text: token 5-gram Jaccard similarity, as in design and paper.

A text is contaminated when the Jaccard similarity of its set of token 5-grams with that of a benchmark item
is at least 0.7. An item is indexed whole (prompt and solution) and without its docstring; a file is compared
function by function, each of them whole and without its docstring, and class by class.
Not covered: paraphrases, renamed variables, other programming languages' versions of an item.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from linewise_training.corpus.functions import without_docstring

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


class Decontaminator:
    """Benchmark items, ready to be compared with."""

    def __init__(self, items: Iterable[str], threshold: float = THRESHOLD) -> None:
        self._threshold = threshold
        self._sizes: list[int] = []
        self._holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for item in items:
            for variant in {item, without_docstring(item) or item}:
                self._add(grams(variant))

    def _add(self, item: frozenset[tuple[str, ...]]) -> None:
        if item:
            for gram in item:
                self._holders[gram].append(len(self._sizes))
            self._sizes.append(len(item))

    def __len__(self) -> int:
        return len(self._sizes)

    def contaminated(self, text: str) -> bool:
        """Whether `text` as a whole is too like an item."""
        mine = grams(text)
        return self._too_like(len(mine), self._shared(mine))

    def file_contaminated(self, text: str, tree: ast.Module) -> bool:
        """Whether `text`, whose syntax tree is `tree`, has a function or class that is too like an item."""
        # A chunk that reaches the threshold shares that much of the item, and so does the file around it.
        # This spares nearly every file the comparison chunk by chunk, and changes no verdict.
        mine = grams(text)
        shared = self._shared(mine)
        if not any(n + _SEAM >= self._threshold * self._sizes[item] for item, n in shared.items()):
            return False
        if self._too_like(len(mine), shared):
            return True
        return any(self.contaminated(chunk) for chunk in _chunks(text, tree))

    def _too_like(self, size: int, shared: Counter[int]) -> bool:
        return any(n >= self._threshold * (size + self._sizes[item] - n) for item, n in shared.items())

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


def _documented(node: ast.AST) -> bool:
    return any(
        isinstance(inner, _DEFINITIONS) and ast.get_docstring(inner, clean=False) is not None
        for inner in ast.walk(node)
    )
