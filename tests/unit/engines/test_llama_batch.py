"""Many generations at once: each is what it would be alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from linewise.engines import Request, Sampling, Segment
from linewise.engines.generation import Generation
from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.errors import EngineError

DIFF = Segment("<|diff|>", special=True)
SHORT = (DIFF, Segment("@1,0\nimport math\n"))
LONG = (DIFF, Segment("@1,0\n" + "for index, line in enumerate(lines):\n    print(index)\n" * 6))


def sampled(prompt: tuple[Segment, ...], seed: int, max_tokens: int = 24, **options: object) -> Request:
    return Request(prompt, Sampling(temperature=1.0, seed=seed, max_tokens=max_tokens), **options)


# Lengths differ, so that lanes become free at different times and are taken over by later requests.
REQUESTS = [sampled(SHORT if seed < 5 else LONG, seed, max_tokens=6 + 7 * (seed % 4)) for seed in range(11)]


@pytest.fixture(scope="module", params=["f32", "q4_k_m", "q8_0"])
def quantized(request: pytest.FixtureRequest, tiny_checkpoint: Path) -> Iterator[LlamaCppEngine]:
    """The types whose arithmetic differs most between one row and many."""
    from linewise_training.export import export

    out = tiny_checkpoint.parent / f"batch-{request.param}.gguf"
    export(tiny_checkpoint, out, quantization=request.param, metadata={"linewise.format": "edit-log/1"})
    engine = LlamaCppEngine(out, threads=1)
    yield engine
    engine.close()


def generate(engine: LlamaCppEngine, lanes: int, requests: list[Request] = REQUESTS) -> list[Generation]:
    batch = engine.batch(lanes)
    try:
        return list(batch.generate(requests))
    finally:
        batch.close()


def test_the_number_of_lanes_changes_no_bit(quantized: LlamaCppEngine) -> None:
    alone = generate(quantized, 1)
    assert len({one.text for one in alone}) > len(alone) / 2  # seeds differ, so samples do
    for lanes in (3, 16, 17):
        assert generate(quantized, lanes) == alone


def test_a_generation_does_not_depend_on_those_before_it(engine: LlamaCppEngine) -> None:
    assert generate(engine, 4, REQUESTS[3:]) == generate(engine, 4)[3:]


def test_it_generates_what_the_engine_streams(engine: LlamaCppEngine) -> None:
    requests = [Request(prompt, Sampling(max_tokens=20)) for prompt in (SHORT, LONG)]
    for request, one in zip(requests, generate(engine, 2, requests), strict=True):
        streamed = list(engine.stream(request))
        assert [token.id for token in one.tokens] == [token.id for token in streamed]
        assert one.prompt_tokens == len(engine.tokenize(request.prompt))
        assert [t.logprob for t in one.tokens] == pytest.approx([t.logprob for t in streamed], abs=0.02)
        assert one.logprob == pytest.approx(sum(token.logprob for token in one.tokens))
        assert one.ended == "token limit"


def test_a_shared_prompt_is_read_once(engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = engine.batch(4)
    read: list[int] = []
    original = batch._decode
    monkeypatch.setattr(batch, "_decode", lambda rows: (read.append(rows), original(rows)))
    prompt_tokens = len(engine.tokenize(LONG))
    assert prompt_tokens > 64
    list(batch.generate([sampled(LONG, seed, max_tokens=3) for seed in range(4)]))
    batch.close()
    assert sum(read) == prompt_tokens + 2 * 16  # of three tokens each, the last is never read


def test_healed_text_is_spelled(engine: LlamaCppEngine) -> None:
    texts = [one.text for one in generate(engine, 3, [sampled(SHORT, s, healed="retu") for s in range(3)])]
    assert all(text.startswith("retu") for text in texts)


def test_it_ends_where_the_text_is_whole(engine: LlamaCppEngine) -> None:
    batch = engine.batch(4)
    requests = [sampled(LONG, seed, max_tokens=40) for seed in range(4)]
    for number, one in enumerate(
        batch.generate(requests, finished=lambda number, text: len(text) >= 10 + number)
    ):
        assert one.ended == "stop text"
        assert len(one.text) >= 10 + number
        assert sum(len(token.text) for token in one.tokens[:-1]) < 10 + number
    batch.close()


def test_it_ends_where_the_context_is_full(engine: LlamaCppEngine) -> None:
    batch = engine.batch(4, context_length=32)
    (one,) = batch.generate([sampled(SHORT, 0, max_tokens=200)])
    batch.close()
    assert one.ended in ("context full", "end of sequence")
    assert one.prompt_tokens + len(one.tokens) <= 33


def test_a_prompt_that_does_not_fit_is_named(engine: LlamaCppEngine) -> None:
    batch = engine.batch(4, context_length=16)
    with pytest.raises(EngineError, match="the context holds 16"):
        list(batch.generate([sampled(LONG, 0)]))
    batch.close()


def test_it_stops_when_cancelled(engine: LlamaCppEngine) -> None:
    batch, cancel = engine.batch(2), threading.Event()
    generations = batch.generate((sampled(SHORT, seed) for seed in range(10**6)), cancel=cancel)
    next(generations)
    cancel.set()
    assert len(list(generations)) <= 2
    batch.close()


@pytest.mark.parametrize("lanes", [0, 100_000])
def test_lanes_that_cannot_be_had(engine: LlamaCppEngine, lanes: int) -> None:
    with pytest.raises(EngineError, match="generations at once"):
        engine.batch(lanes)


def test_a_closed_batch_says_so(engine: LlamaCppEngine) -> None:
    batch = engine.batch(1)
    batch.close()
    with pytest.raises(EngineError, match="closed"):
        list(batch.generate([sampled(SHORT, 0)]))
