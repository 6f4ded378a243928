"""Many requests to one engine: side by side where it can, one after another where it cannot."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Protocol, runtime_checkable

from linewise.engines.generation import FinishedOf, Generation
from linewise.engines.protocol import Engine, Request, Token

DEFAULT_LANES = 16


class Batch(Protocol):
    """Generates for several requests at once, such as `linewise.engines.llama_batch.LlamaBatch`."""

    def generate(
        self, requests: Iterable[Request], finished: FinishedOf | None = None
    ) -> Iterator[Generation]:
        """The generations of `requests`, in their order."""
        ...

    def close(self) -> None:
        """Free its memory."""
        ...


@runtime_checkable
class Batching(Protocol):
    """An engine that has batches."""

    def batch(self, lanes: int = ..., context_length: int | None = ...) -> Batch:
        """A batch for up to `lanes` generations of up to `context_length` tokens each."""
        ...


def generate(
    engine: Engine,
    requests: Iterable[Request],
    finished: FinishedOf | None = None,
    *,
    lanes: int = DEFAULT_LANES,
    context_length: int | None = None,
) -> Iterator[Generation]:
    """The generations of `requests`, in their order; requests of one prompt should stand together.

    Each depends on its own prompt and seed alone, whatever `lanes` is. `finished` ends a generation early;
    `context_length` bounds prompt and text together, in tokens. Raises EngineError.
    """
    if isinstance(engine, Batching):
        with closing(engine.batch(lanes, context_length)) as batch:
            yield from batch.generate(requests, finished)
        return
    for number, request in enumerate(requests):
        yield _one(engine, request, number, finished)


def _one(engine: Engine, request: Request, number: int, finished: FinishedOf | None) -> Generation:
    tokens: list[Token] = []
    text = ""
    stream = engine.stream(request)
    try:
        for token in stream:
            tokens.append(token)
            text += token.text
            if finished is not None and finished(number, text):
                break
    finally:
        if isinstance(stream, Generator):
            stream.close()  # or the engine's turn would not be given back
    prompt_tokens = len(engine.tokenize(request.prompt))
    if finished is not None and finished(number, text):
        return Generation(tuple(tokens), prompt_tokens, "stop text")
    # An engine does not say which of the two it was that ended it, when it was not the limit.
    limited = len(tokens) == request.sampling.max_tokens
    return Generation(tuple(tokens), prompt_tokens, "token limit" if limited else "end of sequence")
