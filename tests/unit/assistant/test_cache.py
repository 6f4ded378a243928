"""With a real engine: what was read once is not read again."""

from __future__ import annotations

import pytest

from linewise.assistant import Document, NoVerifier, WriteOptions, complete, write
from linewise.engines import load_engine
from linewise.formats import Cursor, EditLogFormat

TEXT = "".join(f"n{number} = {number}\n" for number in range(12))


class Watched:
    """The engine, and what each of its calls had to read."""

    def __init__(self, engine):
        self.engine, self.calls = engine, []

    @property
    def info(self):
        return self.engine.info

    def tokenize(self, segments):
        return self.engine.tokenize(segments)

    def stream(self, request, cancel=None):
        try:
            yield from self.engine.stream(request, cancel)
        finally:
            if not request.forbidden:  # text of noise, cut anywhere, has other tokens than were generated
                self.calls.append(self.engine.last_call)


@pytest.fixture(scope="module")
def engine(tiny_gguf):
    engine = load_engine(tiny_gguf)
    yield engine
    engine.close()


def test_a_step_back_to_the_hunks_start_reads_almost_nothing(engine):
    steps_back = 0
    for seed in range(8):  # noise is no hunk, but not all of it comes to the end of a line
        watched = Watched(engine)
        options = WriteOptions(temperature=1.0, seed=seed, max_tokens=600, max_tries=20, max_failures=20)
        events = write(
            Document("a.py", TEXT),
            "go on",
            engine=watched,
            format=EditLogFormat(),
            verifier=NoVerifier(),
            options=options,
        )
        for _ in events:
            pass
        steps_back += len(watched.calls) - 1
        for call in watched.calls[1:]:
            assert call.prompt_tokens - call.reused_tokens <= 2
    assert steps_back > 8


def test_typing_in_the_middle_reads_the_run_up_once_and_then_only_what_was_typed(engine):
    document, watched = Document("a.py", TEXT), Watched(engine)
    start = TEXT.index("n8")
    document.change(start, start, "\n")
    for count, character in enumerate("total = n1 + n2"):
        document.change(start + count, start + count, character)
        complete(document, Cursor(8, count + 1), engine=watched, format=EditLogFormat())
    first, *later = (call.prompt_tokens - call.reused_tokens for call in watched.calls)
    assert first > 50
    assert max(later) <= 8
