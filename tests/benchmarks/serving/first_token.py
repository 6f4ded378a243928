"""A keystroke in the middle of a file, to the first token: 200 lines, 5,000 lines, and prefix-suffix-middle.

    python tests/benchmarks/serving/first_token.py [--keys 100]

One model server answers all three, in turns, so that whatever else the machine does hits all alike. "typed"
is `complete` of a document in which one character has been typed. Prefix-suffix-middle, on the larger file,
has as much text as the context takes, half before the cursor and half behind; what stands before the cursor
is in the cache. The figures are medians; ratios are medians of each turn's.
"""

from __future__ import annotations

import time
from statistics import median

import click
from running import Typist, real_lines, served

from linewise.assistant import InlineOptions, complete
from linewise.engines.protocol import Engine, Request, Sampling, Segment
from linewise.formats import Cursor, get_format

_LEFT = 16  # tokens of the context that prefix-suffix-middle leaves for what is generated


def typed(typist: Typist, engine: Engine) -> float:
    """Milliseconds from a key to the first token."""
    began = time.perf_counter()
    complete(
        typist.document, typist.key(), engine=engine, format=get_format(engine.info.format or ""),
        options=InlineOptions(max_tokens=1),
    )  # fmt: skip
    return 1000 * (time.perf_counter() - began)


class PrefixSuffixMiddle:
    """Asks with the text before the cursor, the text behind it, then for what is in between."""

    def __init__(self, lines: list[str], engine: Engine) -> None:
        middle = len(lines) // 2
        self._engine = engine
        room = engine.info.context_length - _LEFT
        before = after = 1
        while self._tokens(lines[middle - before - 1 : middle + after]) < room // 2:
            before += 1
        while self._tokens(lines[middle - before : middle + after + 1]) < room:
            after += 1
        self._prefix = "".join(f"{line}\n" for line in lines[middle - before : middle])
        self._suffix = "".join(f"{line}\n" for line in lines[middle : middle + after])

    def _tokens(self, lines: list[str]) -> int:
        return len(self._engine.tokenize([Segment("".join(f"{line}\n" for line in lines))])) + 64

    def first_token(self, typist: Typist, cursor: Cursor) -> float:
        """Milliseconds to the first token at a cursor."""
        line = typist.document.snapshot().lines[cursor.line][: cursor.column]
        mark = Segment("<|diff|>", special=True)
        prompt = (mark, Segment(self._prefix), Segment(line), mark, Segment(self._suffix), mark)
        request = Request(prompt, Sampling(max_tokens=1), slot="psm", priority="inline")
        began = time.perf_counter()
        for _ in self._engine.stream(request):
            pass
        return 1000 * (time.perf_counter() - began)


@click.command()
@click.option("--keys", default=100, show_default=True)
def main(keys: int) -> None:
    """Measure, and print the figures."""
    with served(speculation="off") as engine:
        short, long = (Typist(real_lines(count)) for count in (200, 5000))
        whole = PrefixSuffixMiddle(real_lines(5000), engine)
        found = []
        for number in range(-10, keys):  # the first ones open the documents
            turn = typed(short, engine), typed(long, engine), whole.first_token(long, long.key())
            if number >= 0:
                found.append(turn)
    names = "200 lines, typed", "5,000 lines, typed", "5,000 lines, prefix-suffix-middle"
    for at, name in enumerate(names):
        times = sorted(turn[at] for turn in found)
        click.echo(f"{name}: {median(times):.2f} ms (90 in 100: {times[len(times) * 9 // 10]:.2f})")
    click.echo(f"5,000 lines against 200: {median(t[1] / t[0] for t in found):.2f} times (at most 1.2)")
    click.echo(f"prefix-suffix-middle against typed: {median(t[2] / t[1] for t in found):.1f} (at least 20)")


if __name__ == "__main__":
    main()
