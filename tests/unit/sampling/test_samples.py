"""Samples are drawn once, each from its own seed, and a killed run ends with the same file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from linewise.engines import Request, Sampling, Segment, Token
from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.errors import LinewiseError
from linewise_training.sampling import Ask, JsonlFile, draw, generate, sample_seed

PROMPTS = {"one": (Segment("def area(radius):\n"),), "two": (Segment("for index, line in "),)}
ASKS = [
    Ask(
        task,
        "docstring",
        number,
        Request(prompt, Sampling(1.0, 0.95, seed=sample_seed(7, task, "", number), max_tokens=12)),
    )
    for task, prompt in PROMPTS.items()
    for number in range(5)
]


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path) -> Iterator[LlamaCppEngine]:
    engine = LlamaCppEngine(tiny_gguf, threads=1)
    yield engine
    engine.close()


class Alone:
    """The engine without batches, as any other engine may be."""

    def __init__(self, engine: LlamaCppEngine) -> None:
        self.engine, self.info = engine, engine.info

    def tokenize(self, segments: Sequence[Segment]) -> tuple[int, ...]:
        return self.engine.tokenize(segments)

    def stream(self, request: Request, cancel: object = None) -> Iterator[Token]:
        return self.engine.stream(request)

    def close(self) -> None: ...


def test_the_file_does_not_depend_on_how_many_are_drawn_at_once(engine, tmp_path) -> None:
    drawn = draw(engine, ASKS, tmp_path / "a.jsonl", lanes=16)
    draw(engine, ASKS, tmp_path / "b.jsonl", lanes=2)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert len({sample.text for sample in drawn}) > 5
    assert [(sample.task, sample.sample) for sample in drawn] == [(ask.task, ask.sample) for ask in ASKS]
    assert all(sample.tokens <= 12 and sample.logprob < 0 for sample in drawn)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.35, 0.9, 1.0])
def test_a_killed_run_goes_on_and_ends_the_same(engine, tmp_path, share) -> None:
    drawn = draw(engine, ASKS, tmp_path / "whole.jsonl")
    whole = (tmp_path / "whole.jsonl").read_bytes()
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(whole[: int(len(whole) * share)])
    steps: list[int] = []
    assert draw(engine, ASKS, cut, advance=steps.append) == drawn
    assert cut.read_bytes() == whole
    assert sum(steps) == len(ASKS)


def test_an_engine_without_batches_samples_too(engine, tmp_path) -> None:
    alone = draw(Alone(engine), ASKS, tmp_path / "a.jsonl")
    assert len({sample.text for sample in alone}) > 5
    assert [s.text for s in draw(Alone(engine), ASKS, tmp_path / "b.jsonl")] == [s.text for s in alone]


@pytest.mark.parametrize("batched", [True, False])
def test_a_sample_ends_when_its_text_is_whole(engine, batched) -> None:
    requests = [ask.request for ask in ASKS[:3]]
    used = engine if batched else Alone(engine)
    for number, one in enumerate(generate(used, requests, lambda number, text: len(text) > 3 * number)):
        assert one.ended == "stop text"
        assert len("".join(token.text for token in one.tokens[:-1])) <= 3 * number < len(one.text)


def test_a_prompt_that_does_not_fit_is_a_sample_that_never_began(engine, tmp_path) -> None:
    long = Ask("long", "docstring", 0, Request((Segment("x = y\n" * 400),), Sampling(max_tokens=4)))
    first, second = draw(engine, [long, ASKS[0]], tmp_path / "a.jsonl")
    assert (first.ended, first.text, first.tokens) == ("prompt too long", "", 0)
    assert second.tokens > 0


def test_samples_of_another_run_are_refused(engine, tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    draw(engine, ASKS, path)
    with pytest.raises(LinewiseError, match="has 10 samples where 9 are wanted"):
        draw(engine, ASKS[:-1], path)
    with pytest.raises(LinewiseError, match="line 1: sample 0 of one stands where sample 1 of one belongs"):
        draw(engine, [*ASKS[1:], ASKS[0]], path)
    path.write_text('{"task": "one"}\n')
    with pytest.raises(LinewiseError, match="line 1: not a sample"):
        draw(engine, ASKS, path)


def test_seeds_differ_in_every_part_of_the_name() -> None:
    names = [(0, "a", "s", 0), (1, "a", "s", 0), (0, "b", "s", 0), (0, "a", "t", 0), (0, "a", "s", 1)]
    seeds = {sample_seed(*name) for name in names}
    assert len(seeds) == len(names)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_torn_line_is_cut_and_a_broken_one_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2')
    with JsonlFile(path) as file:
        assert file.rows == [{"a": 1}]
        file.append({"a": "ü"})
    assert path.read_text(encoding="utf-8") == '{"a": 1}\n{"a": "ü"}\n'
    path.write_text('{"a": 1}\nnonsense\n{"a": 2}\n')
    with pytest.raises(LinewiseError, match="line 2"):
        JsonlFile(path)


def test_two_runs_never_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with JsonlFile(path) as file:
        file.append({"a": 1})
        with pytest.raises(LinewiseError, match="another run is writing"):
            JsonlFile(path)
    with JsonlFile(path) as file:
        assert file.rows == [{"a": 1}]
