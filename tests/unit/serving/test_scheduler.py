"""What the scheduler promises: each generation is what it would be alone, whatever runs beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from linewise.engines import Request, Sampling, Segment, Token
from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.errors import EngineError
from linewise.serving.scheduler import Scheduler

DIFF = Segment("<|diff|>", special=True)
FILE = Segment("<|file|>", special=True)
HEAD = (FILE, Segment("geometry.py\n"), DIFF, Segment("@1,0\nimport math\n\n\ndef area(radius):\n"))


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path) -> Iterator[LlamaCppEngine]:
    engine = LlamaCppEngine(tiny_gguf, threads=1)
    yield engine
    engine.close()


@pytest.fixture
def scheduler(tiny_gguf: Path) -> Iterator[Scheduler]:
    scheduler = Scheduler(tiny_gguf, threads=1, lanes=4, slots=6)
    yield scheduler
    scheduler.close()


def prompt(text: str) -> tuple[Segment, ...]:
    return (*HEAD, Segment(text))


def ids(tokens: list[Token]) -> list[int]:
    return [token.id for token in tokens]


def together(scheduler: Scheduler, requests: list[Request]) -> list[list[Token]]:
    """The tokens of `requests`, all asked for at once, each from a thread of its own."""
    found: list[list[Token] | EngineError] = [[] for _ in requests]

    def work(place: int) -> None:
        try:
            found[place] = list(scheduler.stream(requests[place]))
        except EngineError as error:
            found[place] = error

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not [one for one in found if isinstance(one, EngineError)]
    return [one for one in found if not isinstance(one, EngineError)]


def test_generations_side_by_side_are_what_each_is_alone(
    scheduler: Scheduler, engine: LlamaCppEngine
) -> None:
    requests = [
        Request(
            prompt(f"    value_{place} = {place * 37}\n" * (1 + 5 * (place % 3))),
            Sampling(max_tokens=20 + 3 * place),  # a draw may fall on either side of a rounding error
            slot=f"{place}.py",
        )
        for place in range(12)
    ]
    found = together(scheduler, requests)
    for request, tokens in zip(requests, found, strict=True):
        alone = list(engine.stream(request))
        assert ids(tokens) == ids(alone)
        assert [token.text for token in tokens] == [token.text for token in alone]
        assert [t.logprob for t in tokens] == pytest.approx([t.logprob for t in alone], abs=0.02)
    assert len({tuple(ids(tokens)) for tokens in found}) == len(found)
