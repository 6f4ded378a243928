"""What a keystroke costs in the middle of a file: the edit log against reading the file again.

`make bench` prints the table. "warm" types one character in the middle and asks for the first token; "cold"
asks the same of an engine that has read something else meanwhile, and must read the whole prompt again.
"""

from __future__ import annotations

import textwrap

import pytest

from linewise.assistant import Document, InlineOptions, complete
from linewise.engines import load_engine
from linewise.formats import Cursor, get_format
from linewise.models import default_model_path

FIRST_TOKEN = InlineOptions(max_tokens=1)


@pytest.fixture(scope="module")
def engine():
    engine = load_engine(default_model_path())
    yield engine
    engine.close()


@pytest.fixture
def typing():
    """A document of 60 lines and the line in its middle at which somebody types."""
    lines = textwrap.dedent(textwrap.__doc__ or "").splitlines()
    lines += [f"def function_{i}(value):\n    return value + {i}\n" for i in range(20)]
    document = Document("typed.py", "\n".join(lines) + "\n")
    return document, 30


def keystroke(document, line, count):
    """Type one character on a new line in the middle; every 20 the line begins again."""
    lines = document.snapshot().lines
    offset = sum(len(text) + 1 for text in lines[:line])
    if count % 20 == 0:
        end = offset + len(lines[line]) if count else offset
        document.change(offset, end, "" if count else "\n")
        return 0
    column = len(document.snapshot().lines[line])
    document.change(offset + column, offset + column, "result = function_1(val"[column])
    return column + 1


@pytest.mark.parametrize("cache", ["warm", "cold"])
def test_first_token_after_a_keystroke(benchmark, engine, typing, cache):
    document, line = typing
    count = iter(range(10_000))

    def type_one():
        if cache == "cold":
            complete(Document("other.py", "x\n"), Cursor(0, 0), engine=engine,
                     format=get_format(engine.info.format), options=FIRST_TOKEN)  # fmt: skip
        return (Cursor(line, keystroke(document, line, next(count))),), {}

    def first_token(cursor):
        complete(document, cursor, engine=engine, format=get_format(engine.info.format), options=FIRST_TOKEN)

    benchmark.pedantic(first_token, setup=type_one, rounds=60, warmup_rounds=5)
    benchmark.extra_info["prompt_tokens"] = engine.last_call.prompt_tokens
    benchmark.extra_info["reused_tokens"] = engine.last_call.reused_tokens
