"""The baseline: a 5-gram model with stupid back-off over lexical tokens.

The score of a token after up to four others is its relative frequency there, or 0.4 times its score after
one token fewer (Brants et al., "Large Language Models in Machine Translation", 2007, equation 5). A token
is a word, a digit, a mark, a run of blanks, or a newline. A completion is the likeliest token each time, to
the end of the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linewise.errors import LinewiseError
from linewise.formats.edit_log_parser import bare

ORDER = 5
BACK_OFF = 0.4
LONGEST = 60  # tokens of a completion
_TOKEN = re.compile(r"\n|[^\S\n]+|[^\W\d]\w*|\d|[^\w\s]|_")
_PARTIAL = re.compile(r"(?:[^\W\d]\w*|[^\S\n]+)\Z")


@dataclass(frozen=True, slots=True)
class _Table:
    """Continuations of the contexts of one length: sorted by `contexts` (hashes), parallel arrays."""

    contexts: NDArray[np.uint64]
    tokens: NDArray[np.int32]
    counts: NDArray[np.int32]


class NgramModel:
    """Counts of 1-grams to 5-grams; made by `train`."""

    def __init__(self, words: list[str], tables: list[_Table]) -> None:
        self._words = words
        self._ids = {word: id_ for id_, word in enumerate(words)}
        self._tables = tables
        self._newline = self._ids.get("\n", -1)

    @property
    def vocabulary(self) -> int:
        """How many different tokens it has seen."""
        return len(self._words)

    def complete(self, prefix: str) -> tuple[str, int]:
        """The likeliest rest of the line that `prefix` ends in, and how many tokens that took."""
        partial = _PARTIAL.search(prefix)
        begun = partial[0] if partial else ""
        context = [self._ids.get(token, -1) for token in _TOKEN.findall(prefix[: len(prefix) - len(begun)])]
        written, count = "", 0
        allowed = self._beginning_with(begun) if begun else None
        while count < LONGEST:
            token = self._next(context[-(ORDER - 1) :], allowed)
            if token is None or token == self._newline:
                break
            context.append(token)
            written += self._words[token]
            count += 1
            allowed = None
        return written[len(begun) :], count

    def _beginning_with(self, text: str) -> NDArray[np.int32]:
        found = [id_ for id_, word in enumerate(self._words) if word.startswith(text)]
        return np.array(found, dtype=np.int32)

    def _next(self, context: list[int], allowed: NDArray[np.int32] | None) -> int | None:
        """The token of the highest score after `context`, of `allowed` ones if given."""
        best, best_score, weight = None, 0.0, 1.0
        seen: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        for length in range(min(len(context), ORDER - 1), -1, -1):
            if best is not None and weight <= best_score:
                break  # no score further back can be higher
            tokens, counts = self._continuations(context[len(context) - length :])
            if len(tokens) == 0:
                continue  # never seen: the score is that of the shorter context, not reduced
            free = ~np.isin(tokens, seen)
            if allowed is not None:
                free &= np.isin(tokens, allowed)
            if free.any():
                chosen = int(np.argmax(np.where(free, counts, 0)))
                score = weight * float(counts[chosen]) / float(counts.sum())
                if score > best_score:
                    best, best_score = int(tokens[chosen]), score
            seen = tokens
            weight *= BACK_OFF
        return best

    def _continuations(self, context: list[int]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        table = self._tables[len(context)]
        if -1 in context:
            return table.tokens[:0], table.counts[:0]
        key = _hash([np.array([id_]) for id_ in context])[0]
        first, last = (
            np.searchsorted(table.contexts, key, "left"),
            np.searchsorted(table.contexts, key, "right"),
        )
        return table.tokens[first:last], table.counts[first:last]


def train(texts: Iterable[str], characters: int) -> NgramModel:
    """Count the n-grams of about `characters` of `texts`. Raises LinewiseError where there are none."""
    ids: dict[str, int] = {}
    stream: list[NDArray[np.int32]] = []
    used = 0
    for text in texts:
        found = _TOKEN.findall("\n" * (ORDER - 1) + "\n".join(map(bare, text.split("\n"))))
        stream.append(np.array([ids.setdefault(token, len(ids)) for token in found], dtype=np.int32))
        used += len(text)
        if used >= characters:
            break
    if not stream:
        raise LinewiseError("the baseline has no text to learn from: name a files.jsonl of a corpus")
    tokens = np.concatenate(stream)
    return NgramModel(list(ids), [_table(tokens, length) for length in range(ORDER)])


def _table(stream: NDArray[np.int32], length: int) -> _Table:
    """Continuations of all contexts of `length` tokens."""
    nexts = stream[length:]
    contexts = _hash([stream[at : len(stream) - length + at] for at in range(length)], len(nexts))
    order = np.lexsort((nexts, contexts))
    contexts, nexts = contexts[order], nexts[order]
    begins = np.ones(len(nexts), dtype=np.bool_)
    begins[1:] = (contexts[1:] != contexts[:-1]) | (nexts[1:] != nexts[:-1])
    starts = np.flatnonzero(begins)
    counts = np.diff(np.append(starts, len(nexts))).astype(np.int32)
    return _Table(contexts[starts], nexts[starts], counts)


def _hash(columns: list[NDArray[np.integer]], size: int = 1) -> NDArray[np.uint64]:
    """64-bit hashes of rows of token ids (FNV-1a, an id at a time): two contexts in 10^12 may share one."""
    hashes = np.full(len(columns[0]) if columns else size, 14695981039346656037, dtype=np.uint64)
    for column in columns:
        hashes = (hashes ^ column.astype(np.uint64)) * np.uint64(1099511628211)
    return hashes
