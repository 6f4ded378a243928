"""A model with a running state, a Mamba: it cannot go back, and must still be right."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from linewise.engines import Request, Sampling, Segment
from linewise.engines.llama_cpp import LlamaCppEngine
from linewise.serving.scheduler import Scheduler
from tiny_mamba import write_mamba

TEXT = "    total = total + values[index]\n" * 8


@pytest.fixture(scope="module")
def mamba(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mamba(tiny_gguf, tmp_path_factory.mktemp("mamba") / "mamba.gguf")


@pytest.fixture(scope="module")
def engine(mamba: Path) -> Iterator[LlamaCppEngine]:
    engine = LlamaCppEngine(mamba, threads=1)
    yield engine
    engine.close()


@pytest.fixture
def scheduler(mamba: Path) -> Iterator[Scheduler]:
    scheduler = Scheduler(mamba, threads=1, lanes=3, slots=4, speculation="on")
    yield scheduler
    scheduler.close()


def request(text: str, slot: str = "") -> Request:
    return Request((Segment(text),), Sampling(max_tokens=12), slot=slot)


def alone(engine: LlamaCppEngine, text: str) -> list[int]:
    """What the model says to `text`, with nothing in its cache."""
    list(engine.stream(request("import os\n")))
    return [token.id for token in engine.stream(request(text))]


def test_going_back_on_and_aside_says_what_a_fresh_reading_says(
    scheduler: Scheduler, engine: LlamaCppEngine
) -> None:
    answers = set()
    for slot, tail in (
        ("a", "    x = 1\n"),
        ("a", "    x = 1\n    y = 2\n"),
        ("a", "    x = 3\n"),
        ("b", "    x = 3\n"),
        ("b", "    x = 3\n"),
        ("", "    z\n"),
        ("a", ""),
    ):
        found = [token.id for token in scheduler.stream(request(TEXT + tail, slot))]
        assert found == alone(engine, TEXT + tail)
        answers.add(tuple(found))
    assert len(answers) > 3
    assert scheduler.statistics().drafted_tokens == 0  # a draft could not be taken back


def test_documents_side_by_side_keep_their_states(scheduler: Scheduler, engine: LlamaCppEngine) -> None:
    texts = [f"    value_{number} = {number}\n" * (1 + number % 3) for number in range(6)]
    found: dict[str, list[int]] = {}

    def work(text: str) -> None:
        found[text] = [token.id for token in scheduler.stream(request(text, slot=text))]

    threads = [threading.Thread(target=work, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {text: alone(engine, text) for text in texts}
