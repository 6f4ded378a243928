"""Loops: what is one, and the way out of it while a hunk is written."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from writes import of, run, text_of

from linewise.assistant import (
    Document,
    HunkDropped,
    HunkLanded,
    HunkProgress,
    HunkTurned,
)
from linewise.assistant.repetition import loop_in
from linewise.assistant.steering import MOST_TURNS, Steering, Turn
from linewise.engines.protocol import Token
from linewise.formats import LintSeqFormat

# The scripted engine makes a token of every four characters, counted from 0; here lines end where tokens do.
BEGUN = "@1,1\nxx\nabc\n"
LOOP = BEGUN + "abc\n" * 9


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("@1,0\na = 1\na = 1\na = 1\n", "@1,0\na = 1\n"),
        ("@1,0\n" + "if a:\n    b()\n" * 3, "@1,0\nif a:\n    b()\n"),
        ("@1,0\na = 1\n\na = 1\n\n\na = 1\n", "@1,0\na = 1\n"),  # blank lines are no way out
        ("@1,0\n" + "x\ny\nz\nu\nv\nw\n" * 3, "@1,0\nx\ny\nz\nu\nv\nw\n"),
        ("@1,0\nx = f" + ", value" * 6, "@1,0\nx = f, value"),
        ("@1,0\n" + "ab" * 20, "@1,0\nab"),
        ("@1,0\n# " + "-" * 120, "@1,0\n# -"),
    ],
)
def test_a_loop_is_seen_and_what_stands_before_its_first_repetition_is_kept(text, kept):
    assert loop_in(text) == len(kept)
    assert loop_in(text[:-1]) is None


def test_text_that_went_round_before_is_taken_for_a_loop_sooner():
    for text, kept in (
        ("@1,0\na = 1\na = 1\n", "@1,0\na = 1\n"),
        ("x" + ", value_of_it" * 4, "x, value_of_it"),
    ):
        assert loop_in(text) is None
        assert loop_in(text, again=True) == len(kept)
    assert loop_in("@1,0\na = 1\nb = 1\n", again=True) is None


@pytest.mark.parametrize(
    "text",
    [
        "@1,0\nnext(rows)\nnext(rows)\n",
        "@1,0\n" + "".join(f"x{n} = {n}\n" for n in range(50)),
        "@1,0\nassert f(1) == 1\nassert f(2) == 1\nassert f(3) == 1\n",
        "@1,0\nROW = [0, 0, 0, 0, 0, 0, 0, 0],\n",
        "@1,0\n" + ", ".join(map(str, range(100))),
        "@1,0\n# " + "-" * 100,
        "@1,0\na\n\n\n\n\n",
        "",
    ],
)
def test_what_people_write_is_no_loop(text):
    assert all(loop_in(text[:end]) is None for end in range(len(text) + 1))


def test_a_hunk_goes_on_from_where_its_loop_began_with_another_token(scripted):
    engine, document = scripted([LOOP, "def\n"]), Document("a.py", "xx\n")
    events, done = run(document, engine)
    assert text_of(document) == "xx\nabc\ndef\n"
    assert engine.prompts()[1] == engine.prompts()[0] + BEGUN
    assert [request.forbidden for request in engine.requests] == [(), (3,)]
    assert [request.sampling.temperature for request in engine.requests] == [0.0, 0.0]
    assert engine.yielded == 5 + 1  # the loop is seen at its third time
    assert (done.edits, done.turned, done.reason, done.tokens) == (1, 1, "complete", 6)
    assert not of(HunkDropped, events)


def test_lines_are_told_again_after_a_turn(scripted):
    events, _ = run(Document("a.py", "xx\n"), scripted([LOOP, "def\n"]))
    (turned,) = of(HunkTurned, events)
    place = events.index(turned)
    before, after = of(HunkProgress, events[:place]), of(HunkProgress, events[place:])
    assert [event.line for event in before] == ["xx", "abc", "abc", "abc"]
    assert [event.line for event in after] == ["xx", "abc", "def"]


def test_the_hunks_before_a_loop_stay_as_they_landed(scripted):
    first, begun = "@1,1\nxx\naa\n<|diff|>", "@2,1\naa\nbbb\n"
    engine = scripted([f"{first}{begun}bbb\nbbb\n", "ccc\n<|diff|>@1,1\nxx\nyy\n"])
    document = Document("a.py", "xx\n")
    events, done = run(document, engine)
    assert engine.prompts()[1] == engine.prompts()[0] + first + begun
    assert text_of(document) == "xx\nyy\naa\nbbb\nccc\n"
    assert (done.turned, len(of(HunkLanded, events))) == (1, 3)


def test_every_way_that_led_into_the_loop_is_forbidden_there(scripted):
    engine = scripted([LOOP, "abc\nabc\nabc\n", "def\n"])
    _, done = run(Document("a.py", "xx\n"), engine)
    assert [request.forbidden for request in engine.requests] == [(), (3,), (3, 0)]
    assert done.turned == 2


def test_a_later_hunk_is_free_of_what_was_forbidden_in_an_earlier_one(scripted):
    engine = scripted([LOOP, "def\n<|diff|>@1,1\nxx\nghi\nghi\nghi\n", "jkl\n"])
    document = Document("a.py", "xx\n")
    run(document, engine)
    assert text_of(document).startswith("xx\nghi\njkl\n")
    assert len(engine.requests[2].forbidden) == 1


@pytest.mark.parametrize("id_", [-1, 7])
def test_where_nothing_keeps_the_engine_from_a_loop_the_hunk_is_dropped(scripted, id_):
    class Deaf(scripted):
        """Tells no ids, or the same one whatever was forbidden."""

        def stream(self, request, cancel=None):
            for token in super().stream(request, cancel):
                yield replace(token, id=id_)

    scripts = [LOOP, "@1,1\nxx\nyy\n"] if id_ < 0 else [LOOP, "abc\nabc\n", "@1,1\nxx\nyy\n"]
    engine, document = Deaf(scripts), Document("a.py", "xx\n")
    events, done = run(document, engine)
    assert [event.reason for event in of(HunkDropped, events)] == ["the model repeats itself"]
    assert (text_of(document), done.turned) == ("xx\nyy\n", int(id_ >= 0))


def test_the_turns_of_a_hunk_are_bounded(scripted):
    class Stubborn(scripted):
        """Finds ever new tokens for the same loop."""

        def next_script(self, request):
            return "abc\nabc\nabc\n" if request.forbidden else LOOP

        def stream(self, request, cancel=None):
            for token in super().stream(request, cancel):
                yield replace(token, id=len(self.requests))

    engine, document = Stubborn(), Document("a.py", "xx\n")
    events, done = run(document, engine, options={"max_tries": 1})
    assert [event.reason for event in of(HunkDropped, events)] == ["the model repeats itself"]
    assert (done.turned, len(engine.requests), text_of(document)) == (MOST_TURNS, MOST_TURNS + 1, "xx\n")


def test_a_hunk_that_only_repeats_its_run_up_comes_to_nothing(scripted):
    document = Document("a.py", "abc\n")
    events, done = run(
        document, scripted(["@1,1\nabc\nabc\nabc\n", "", "@1,1\nabc\nd\n"]), options={"max_tries": 1}
    )
    assert [event.reason for event in of(HunkDropped, events)] == ["the hunk changes nothing"]
    assert (text_of(document), done.turned) == ("abc\n", 1)


def test_equal_lines_of_the_document_are_no_loop_where_a_hunk_says_them_again(scripted):
    document = Document("a.py", "0,\n" * 5)
    events, done = run(document, scripted(["@1,5\n" + "0,\n" * 5 + "1,\n"]))
    assert (done.turned, of(HunkDropped, events)) == (0, [])
    assert text_of(document) == "0,\n" * 5 + "1,\n"


def test_a_loop_within_a_line_that_stands_in_the_document_may_be_said_again(scripted):
    line = "x = " + "ab" * 30
    document = Document("a.py", f"{line}\n")
    _, done = run(document, scripted([f"@1,1\n{line}\ny\n"]))
    assert (text_of(document), done.turned) == (f"{line}\ny\n", 0)
    _, done = run(Document("a.py", f"{line}\n"), scripted([f"@1,1\n{line}\ny{line}\n", "z\n"]))
    assert done.turned == 1


def test_a_cancel_in_a_loop_leaves_the_document_alone(scripted):
    cancel = threading.Event()
    engine = scripted([LOOP, "def\n"], before_token=lambda count: cancel.set() if count == 5 else None)
    document = Document("a.py", "xx\n")
    _, done = run(document, engine, cancel=cancel)
    assert (done.reason, text_of(document), engine.yielded) == ("cancelled", "xx\n", 5)


def test_after_typing_a_hunk_in_a_loop_is_written_from_the_new_text(scripted):
    document = Document("a.py", "xx\n")
    engine = scripted(
        [LOOP, "@2,1\nxx\ndef\n"],
        before_token=lambda count: document.change(0, 0, "zero\n") if count == 2 else None,
    )
    run(document, engine)
    assert text_of(document) == "zero\nxx\ndef\n"
    assert "zero" in engine.prompts()[1] and engine.requests[1].forbidden == ()


def test_a_loop_in_a_later_hunk_of_one_diff_ends_that_diff(scripted):
    document = Document("a.py", "a\nb")
    engine = scripted(["@@ -0,0 +1 @@\n+0\n@@ -2,0 +4,9 @@\n" + "+c\n" * 4, "@@ -3,0 +4 @@\n+d\n"])
    events, _ = run(document, engine, format=LintSeqFormat())
    assert document.snapshot().lines == ("0", "a", "b", "d")
    assert [event.reason for event in of(HunkDropped, events)] == ["the model repeats itself"]


def test_max_tokens_counts_what_loops_cost(scripted):
    engine = scripted([LOOP] + ["abc\nabc\nabc\n"] * 50)
    _, done = run(Document("a.py", "xx\n"), engine, options={"max_tokens": 8})
    assert (done.reason, done.tokens) == ("max_tokens", 8)


def test_a_character_of_several_tokens_is_forbidden_by_its_first():
    steering = Steering()
    pieces = ["x\n"] + ["", "é", "\n"] * 3
    seen = [steering.read(Token(id_, piece, -0.5)) for id_, piece in enumerate(pieces)]
    assert seen == [False] * (len(pieces) - 1) + [True]
    assert steering.turn() == Turn("x\né\n", (4,))
