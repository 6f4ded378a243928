"""What it costs llama.cpp to go from one document to another: `llama_decode` alone, one thread.

    python tests/benchmarks/serving/turns.py [--model FILE] [--cached 700] [--tokens 512]

Eight documents, each in a stream of its own, are read one by one, in one batch, and by turns of 1, 4, 16 and
64 tokens; then by the same turns with a llama.cpp context for each document, which has nothing to plan anew.
The figures are medians of milliseconds a token; of turns the mean, too, in which the first steps count.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from linewise.engines import llama_library
from linewise.engines.cores import Threads
from linewise.engines.llama_library import api
from linewise.models import embedded_model_path

_DOCUMENTS = 8
_CHUNK = 64
Place = tuple[int, int]
"""A context and a stream in it, by their numbers."""


class Reader:
    """Contexts of one model, and the time that each step in them takes."""

    def __init__(self, model: int, contexts: int, streams: int, limit: int) -> None:
        """`contexts` of `streams` each, of `limit` tokens each."""
        self._batch: Any = api.llama_batch_init(_CHUNK, 0, 1)
        self._size = api.llama_vocab_n_tokens(api.llama_model_get_vocab(model))
        self._contexts = [
            llama_library.open_context(
                model,
                tokens=limit * streams,
                chunk=_CHUNK,
                threads=Threads(1, 1),
                sequences=streams,
                flash_attention=not llama_library.is_small(model),
            )
            for _ in range(contexts)
        ]
        self._ends: dict[Place, int] = {}

    def fill(self, place: Place, tokens: int) -> None:
        """Read a text of so many tokens."""
        for start in range(0, tokens, _CHUNK):
            self._read(place[0], [(place[1], start + row) for row in range(min(_CHUNK, tokens - start))])
        self._ends[place] = tokens

    def step(self, places: Sequence[Place]) -> float:
        """Milliseconds to read one token more at each of `places`, all of one context."""
        rows = [(stream, self._ends[context, stream]) for context, stream in places]
        milliseconds = self._read(places[0][0], rows)
        for place in places:
            self._ends[place] += 1
        return milliseconds

    def close(self) -> None:
        """Free the contexts."""
        api.llama_batch_free(self._batch)
        for context in self._contexts:
            api.llama_free(context)

    def _read(self, context: int, rows: Sequence[tuple[int, int]]) -> float:
        for row, (stream, position) in enumerate(rows):
            self._batch.token[row] = 16 + position * 37 % (self._size - 32)
            self._batch.pos[row] = position
            self._batch.n_seq_id[row], self._batch.seq_id[row][0] = 1, stream
            self._batch.logits[row] = row + 1 == len(rows) or len(rows) <= _DOCUMENTS
        self._batch.n_tokens = len(rows)
        began = time.perf_counter()
        llama_library.decode(self._contexts[context], self._batch)
        return 1000 * (time.perf_counter() - began)


@contextmanager
def opened(model: int, places: Sequence[Place], cached: int, limit: int) -> Iterator[Reader]:
    """A reader with `cached` tokens at each of `places`."""
    contexts, streams = (1 + max(place[side] for place in places) for side in range(2))
    reader = Reader(model, contexts, streams, limit)
    try:
        for place in places:
            reader.fill(place, cached)
        yield reader
    finally:
        reader.close()


@click.command()
@click.option("--model", "path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--cached", default=700, show_default=True, help="Tokens in each document's cache.")
@click.option("--tokens", default=512, show_default=True, help="Tokens of each figure, of all documents.")
def main(path: Path | None, cached: int, tokens: int) -> None:
    """Measure, and print the figures."""
    model = llama_library.load_model(path or embedded_model_path())
    limit = -(-(cached + tokens) // 256) * 256
    streams = [(0, stream) for stream in range(_DOCUMENTS)]
    with opened(model, streams, cached, limit) as reader:
        alone = [reader.step(streams[3:4]) for _ in range(tokens // _DOCUMENTS)]
        click.echo(f"one document: {statistics.median(alone[1:]):.3f}")
        batches = [reader.step(streams) / _DOCUMENTS for _ in range(tokens // _DOCUMENTS)]
        click.echo(f"eight in one batch: {statistics.median(batches[1:]):.3f}")
    for places, what in ((streams, ""), ([(n, 0) for n in range(_DOCUMENTS)], ", a context for each")):
        for turn in (1, 4, 16, 64):
            with opened(model, places, cached, limit) as reader:
                rounds = range(max(1, tokens // _DOCUMENTS // turn))
                turns = [[reader.step([one]) for _ in range(turn)] for _ in rounds for one in places][1:]
            every = [step for steps in turns for step in steps]
            first = statistics.median(steps[0] for steps in turns)
            click.echo(
                f"turns of {turn}{what}: {statistics.median(every):.3f}, mean {statistics.mean(every):.3f}, "
                f"the first of each {first:.3f}"
            )
    api.llama_model_free(model)


if __name__ == "__main__":
    main()
