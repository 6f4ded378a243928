"""Inline completion: only what is missing at the cursor, and nothing of the user's taken away."""

from __future__ import annotations

import itertools
import threading

import pytest

from linewise.assistant import Document, InlineOptions, complete
from linewise.errors import EditError
from linewise.formats import Cursor, EditLogFormat


def at(marked: str) -> tuple[Document, Cursor]:
    """A document and the cursor in it, from text with a bar where the cursor is."""
    before, _, after = marked.partition("|")
    line = before.count("\n")
    return Document("a.py", before + after), Cursor(line, len(before.rsplit("\n", 1)[-1]))


def completion(scripted, marked, answer, **options):
    document, cursor = at(marked)
    return complete(
        document, cursor, engine=scripted([answer]), format=EditLogFormat(), options=InlineOptions(**options)
    )


def healed(scripted, marked) -> str:
    """What the engine is to spell first at this cursor; a script begins with it, as an engine's text does."""
    document, cursor = at(marked)
    engine = scripted([""])
    complete(document, cursor, engine=engine, format=EditLogFormat())
    return engine.requests[0].healed


def completed(scripted, marked, answer, **options):
    """The document after the completion was accepted, or None where there was none."""
    result = completion(scripted, marked, healed(scripted, marked) + answer, **options)
    if result is None:
        return None
    document, cursor = at(marked)
    lines = list(document.snapshot().lines or ("",))
    assert (result.line, result.start) == (cursor.line, cursor.column)
    line = lines[cursor.line]
    lines[cursor.line] = line[: result.start] + result.text + line[result.end :]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("marked", "answer", "after"),
    [
        ("|", "import os\n", "import os"),
        ("import o|", "s\n", "import os"),
        ("import o|\nx = 1\n", "s\n<|diff|>@1,1\n", "import os\nx = 1\n"),
        ("def f():\n|", "    return 1\n", "def f():\n    return 1"),
        ("def f():|\n", "\n    return 1\n", "def f():\n    return 1\n"),
        # the rest of the line is written again, as whole lines are
        ("print(|)\n", '"hi")\n', 'print("hi")\n'),
        ("x = f(|, b)\n", "a, b)\n", "x = f(a, b)\n"),
        ("foo(|)\n", "a) + b\n", "foo(a) + b\n"),
        ("foo(|)\n", "a\n", "foo(a)\n"),
        # what comes out otherwise ends where it begins like the text behind the cursor, longest run first
        ("    await run_|rocess(TRUE)\n", "process(\n", "    await run_process(TRUE)\n"),
        ("def|_simple_7():\n", " test_simple_8():\n", "def test_simple_7():\n"),
        ("x = |, b)  # c\n", "f(a, b) + g(a, d)\n", "x = f(a, b)  # c\n"),
        # one line where text follows the cursor
        ("foo(|)\n", "a)\nbar()\n", "foo(a)\n"),
        # what stands below is not written again
        ("def f(x):\n    |\n    return y\n", "y = x\n    return y\n", "def f(x):\n    y = x\n    return y\n"),
        ("call(\n    |\n)\n", "a,\n)\n", "call(\n    a,\n)\n"),
        # a block ends where its indentation does, and at a blank line
        ("def f():\n    |", "a = 1\n    return a\nb = 2\n", "def f():\n    a = 1\n    return a"),
        ("def f():\n    |", "return 1\n\ndef g():\n    pass\n", "def f():\n    return 1"),
        ("if x:\n    |", "if y:\n        a()\n    b()\n", "if x:\n    if y:\n        a()\n    b()"),
    ],
)
def test_what_is_accepted_is_what_was_missing(scripted, marked, answer, after):
    assert completed(scripted, marked, answer) == after


@pytest.mark.parametrize(
    ("marked", "answer"),
    [
        ("x = 1|\n", "\n"),
        ("x = 1|\n", ""),
        ("x = 1|\n", "   \n"),
        ("x = 1\n|\nreturn x\n", "return x\n"),  # the next line again
        ("x = |a + b\n", "c\n"),  # it would take away text after the cursor
        ("x = |/ z\n", "y/2\n"),  # one character in common says little
    ],
)
def test_nothing_is_offered_where_there_is_nothing_to_add(scripted, marked, answer):
    assert completed(scripted, marked, answer) is None


def test_a_loop_is_cut_to_its_first_round(scripted):
    assert completed(scripted, "|", "a = 1\nb()\n" + "c()\n" * 20) == "a = 1\nb()\nc()"


def test_a_line_that_goes_round_is_not_offered(scripted):
    around = "f(" + "value, " * 10
    assert completed(scripted, "x = 1\n|", f"y = 2\nz = {around}", max_tokens=30) == "x = 1\ny = 2"
    assert completed(scripted, "z = |", around, max_tokens=16) is None
    typed = "z = " + "value, " * 10
    assert completed(scripted, f"{typed}|", "last\n") == f"{typed}last"


def test_max_lines_bounds_a_block(scripted):
    answer = "".join(f"x{n} = {n}\n" for n in range(20))
    assert completed(scripted, "|", answer, max_lines=3) == "x0 = 0\nx1 = 1\nx2 = 2"


def test_a_line_cut_off_at_the_token_limit_counts_only_where_it_is_all_there_is(scripted):
    assert completed(scripted, "|", "a = 1\nbbbbbbbb\n", max_tokens=3) == "a = 1"
    assert completed(scripted, "|", "aaaaaaaaaaaaaaaaaaaa\n", max_tokens=3) == "a" * 12


def test_generation_stops_as_soon_as_the_answer_is_whole(scripted):
    document, cursor = at("print(|)\n")
    engine = scripted([healed(scripted, "print(|)\n") + "a)\n" + "never read\n" * 50])
    complete(document, cursor, engine=engine, format=EditLogFormat())
    assert engine.yielded < 5


def test_times_and_probability_are_those_of_the_generation(scripted):
    result = completion(scripted, "|", "import os\n")
    assert 0 < result.first_token_seconds <= result.total_seconds
    assert result.mean_logprob == -0.5
    assert result.tokens == 3


def test_a_cancelled_completion_is_none(scripted):
    cancel = threading.Event()
    cancel.set()
    document, cursor = at("import o|")
    engine = scripted(["os\n"])
    assert complete(document, cursor, engine=engine, format=EditLogFormat(), cancel=cancel) is None
    assert engine.yielded == 0


@pytest.mark.parametrize("cursor", [Cursor(3, 0), Cursor(-1, 0), Cursor(0, 4), Cursor(1, -1)])
def test_a_cursor_outside_the_document_is_named(scripted, cursor):
    with pytest.raises(EditError, match="outside"):
        complete(Document("a.py", "one\ntwo\n"), cursor, engine=scripted(), format=EditLogFormat())


def test_an_empty_document_has_one_place_for_a_cursor(scripted):
    with pytest.raises(EditError, match="outside"):
        complete(Document("a.py"), Cursor(0, 1), engine=scripted(), format=EditLogFormat())


def test_a_cursor_before_the_carriage_return_completes_its_line(scripted):
    document = Document("a.py", "import o\r\nx\r\n")
    engine = scripted([" os\n"])
    result = complete(document, Cursor(0, 8), engine=engine, format=EditLogFormat())
    assert (result.text, result.end) == ("s", 8)
    with pytest.raises(EditError):
        complete(document, Cursor(0, 9), engine=engine, format=EditLogFormat())


def test_as_the_user_types_on_the_log_before_the_hunk_in_progress_only_grows(scripted):
    document, engine = Document("a.py", "import os\n\nx = 1\n"), scripted()
    text = "def f(a):\n    return a"
    for count, character in enumerate(text):
        document.change(10 + count, 10 + count, character)
        lines = document.snapshot().lines
        line = 1 + text[: count + 1].count("\n")
        column = len(text[: count + 1].rsplit("\n", 1)[-1])
        assert lines[line][:column] == text[: count + 1].rsplit("\n", 1)[-1]
        complete(document, Cursor(line, column), engine=engine, format=EditLogFormat())
    prompts = engine.prompts()
    heads = [prompt[: prompt.rindex("@")] for prompt in prompts]
    assert all(after.startswith(before) for before, after in itertools.pairwise(heads))
    assert len(set(heads)) <= 2
    assert "def f(a):\n" in prompts[-1]


def test_when_the_cursor_leaves_what_was_typed_it_becomes_an_edit(scripted):
    document = Document("a.py", "a\nb\nc\n")
    document.change(1, 1, "!")
    complete(document, Cursor(2, 1), engine=scripted(), format=EditLogFormat())
    assert document.snapshot().log.pending is None
    assert len(document.snapshot().log.edits) == 1
