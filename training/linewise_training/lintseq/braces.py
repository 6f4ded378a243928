"""Which lines go with a deleted one where brackets make blocks: the counterpart of indented blocks.

Brackets of every kind count, and comments and strings of several lines count as brackets do. Three rules:

- A line that opens goes with all up to where that closes, and if something opens there (`} else {`), on.
- A line that closes and opens the same brackets (`} else {` drawn itself) goes with its own part; the line
  that ends it then ends the part before.
- Another line that closes goes with its whole block, from the line that opened it: it cannot go alone.

Not covered: bodies without brackets (`if (x)` and its statement are two lines of their own), `case` labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from linewise.edits import Lines, join_lines
from linewise.verify.syntax import Span, SyntaxVerifier


def bracketed_blocks(lines: Lines, language: str) -> tuple[range, ...]:
    """For each of `lines` the lines that go with it, which may begin before it and include it.

    `language` is one of linewise.verify.syntax.LANGUAGES. Raises LinewiseError where its grammar is missing.
    """
    return blocks_of(len(lines), _verifier(language).spans(join_lines(lines)))


def blocks_of(count: int, spans: Iterable[Span]) -> tuple[range, ...]:
    """For each of `count` lines the lines that go with it, given what begins and ends where."""
    opens: list[list[Span]] = [[] for _ in range(count)]
    closes: list[list[Span]] = [[] for _ in range(count)]
    for span in spans:
        if span.first < span.last:
            opens[span.first].append(span)
            closes[span.last].append(span)
    return tuple(_block(line, opens, closes) for line in range(count))


def _block(line: int, opens: Sequence[Sequence[Span]], closes: Sequence[Sequence[Span]]) -> range:
    if closes[line] and _kinds(opens[line]) == _kinds(closes[line]):
        return range(line + 1, max(span.last for span in opens[line]))
    first = line
    while closes[first]:
        first = min(span.first for span in closes[first])
    last = line
    for start in (first, line):
        end = start
        while opens[end]:
            end = max(span.last for span in opens[end])
        last = max(last, end)
    return range(first, last + 1)


def _kinds(spans: Iterable[Span]) -> list[str]:
    return sorted(span.kind for span in spans)


@lru_cache(maxsize=8)
def _verifier(language: str) -> SyntaxVerifier:
    return SyntaxVerifier(language)
