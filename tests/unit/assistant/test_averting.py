"""A hunk is led away from what it could only be dropped for, while it is written."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial

import pytest
import writes
from writes import of, text_of

from linewise.assistant import (
    Document,
    HunkDropped,
    HunkLanded,
    HunkProgress,
    HunkTurned,
    NoVerifier,
)
from linewise.assistant.steering import MOST_AVERTED, MOST_THERE, PATIENCE, Steering, Turn
from linewise.engines.protocol import Token
from linewise.formats import LintSeqFormat
from linewise.verify import FastVerifier
from linewise.verify.protocol import EarlyProblem

# The scripted engine makes a token of every four characters, counted from 0.
WRONG = "@1,1\nx = 1\ny = )\n"  # the bracket ends the fourth token
BEGUN = "@1,1\nx = 1\ny"


run = partial(writes.run, verifier=FastVerifier())


def test_a_hunk_goes_on_from_its_first_wrong_token_with_another_one(scripted):
    engine, document = scripted([WRONG + "z = 3\n", " = 2\n"]), Document("a.py", "x = 1\n")
    events, done = run(document, engine)
    assert text_of(document) == "x = 1\ny = 2\n"
    assert engine.prompts()[1] == engine.prompts()[0] + BEGUN
    assert [request.forbidden for request in engine.requests] == [(), (3,)]
    assert engine.yielded == 5 + 2  # known at the end of the line
    assert (done.edits, done.averted, done.turned, done.reason, done.tokens) == (1, 1, 0, "complete", 7)
    assert not of(HunkDropped, events)


def test_it_is_told_why_and_lines_come_again(scripted):
    events, _ = run(Document("a.py", "x = 1\n"), scripted([WRONG, " = 2\n"]))
    (turned,) = of(HunkTurned, events)
    assert turned.reason == "unmatched ')' (syntax-error)"
    place = events.index(turned)
    assert [event.line for event in of(HunkProgress, events[:place])] == ["x = 1", "y = )"]
    assert [event.line for event in of(HunkProgress, events[place:])] == ["x = 1", "y = 2"]


def test_a_name_that_nobody_defines_is_not_begun(scripted):
    engine, document = scripted(["@1,1\nx = 1\nzz = nobody\n", "x\n"]), Document("a.py", "x = 1\n")
    events, _ = run(document, engine)
    assert engine.prompts()[1].endswith("x = 1\nzz = ")
    assert text_of(document) == "x = 1\nzz = x\n"
    assert of(HunkTurned, events)[0].reason == "undefined name 'nobody' (undefined-name)"


def test_a_hunk_does_not_end_before_its_block(scripted):
    engine = scripted(["@1,1\nx = 1\nif x:\n", "    x = 2\n"])
    document = Document("a.py", "x = 1\n")
    events, done = run(document, engine)
    assert text_of(document) == "x = 1\nif x:\n    x = 2\n"
    assert engine.requests[1].forbidden == (0,)  # what the scripted engine calls every special token
    assert [event.reason for event in of(HunkTurned, events)] == [
        "the hunk ends before the block that it begins"
    ]
    assert done.averted == 1


def test_nor_is_a_further_hunk_begun_there(scripted):
    engine = scripted(["@1,1\nx = 1\nif x:\n<|diff|>@1,0\n", "    x = 2\n"])
    document = Document("a.py", "x = 1\n")
    run(document, engine)
    assert text_of(document) == "x = 1\nif x:\n    x = 2\n"
    assert engine.prompts()[1].endswith("if x:\n")


def test_a_docstring_that_the_hunk_would_leave_open_is_closed(scripted):
    first = '@1,1\nx = 1\ndef f():\n    """Text.\n'
    engine, document = scripted([first, "    return x\n"]), Document("a.py", "x = 1\n")
    _, done = run(document, engine)
    assert engine.prompts()[1] == engine.prompts()[0] + first + '    """\n'
    assert text_of(document) == 'x = 1\ndef f():\n    """Text.\n    """\n    return x\n'
    assert (done.edits, done.averted) == (1, 1)


def test_a_docstring_that_goes_round_again_and_again_is_closed(scripted):
    head = '@1,1\nx = 1\ndef f():\n    """\n'
    scripts = [head + "    aaa\n" * 3, *(f"    {letter * 3}\n" * 3 for letter in "bcd"[: PATIENCE - 1])]
    engine, document = scripted([*scripts, "    return x\n"]), Document("a.py", "x = 1\n")
    events, done = run(document, engine)
    assert done.turned == PATIENCE
    assert text_of(document).endswith('    """\n    return x\n')
    assert not of(HunkDropped, events)


def test_a_hunk_that_ends_the_string_that_it_stands_in_is_begun_behind_that(scripted):
    text = 'def f():\n    """One.\n\n    Two.\n    """\n    return 1\n\n\nx = 1\n'
    engine = scripted(['@2,1\n    """One.\n    """\n    y = 2\n', "\n\ny = 2\n"])
    document = Document("a.py", text)
    events, _ = run(document, engine)
    assert engine.prompts()[1].endswith("<|diff|>@6,1\n    return 1\n")
    assert "    return 1\n\n\ny = 2\n" in text_of(document)
    assert [event.reason for event in of(HunkTurned, events)] == [
        "the hunk ends a string that goes on below it"
    ]


class Stubborn:
    """Finds ever new tokens for the same fault."""

    def __init__(self, scripted):
        class Engine(scripted):
            def next_script(self, request):
                return " = )\n" if request.forbidden else WRONG

            def stream(self, request, cancel=None):
                for token in super().stream(request, cancel):
                    yield replace(token, id=100 * len(self.requests) + token.id)

        self.engine = Engine()


def test_the_ways_that_are_tried_at_one_token_are_bounded(scripted):
    engine, document = Stubborn(scripted).engine, Document("a.py", "x = 1\n")
    events, done = run(document, engine, options={"max_tries": 1})
    (dropped,) = of(HunkDropped, events)
    assert dropped.problems and "unmatched ')'" in dropped.reason
    assert (done.averted, len(engine.requests), text_of(document)) == (MOST_THERE, MOST_THERE + 1, "x = 1\n")


def test_the_ways_that_are_tried_in_one_hunk_are_bounded():
    steering, problem = Steering(), EarlyProblem("line", 0, 0, "")
    steering.read(Token(0, "@1,0\n", -0.5))
    for count in range(MOST_AVERTED + 1):
        for id_, text in enumerate((f"{count}", "\n"), 10 * (count + 1)):
            steering.read(Token(id_, text, -0.5))
        problem = EarlyProblem("line", count, 0, "")
        added = [f"{number}" for number in range(count)] + [f"{count}"]
        turn = steering.avert(problem, added, (), "")
        assert (turn is None) == (count == MOST_AVERTED)
        steering.read(Token(-1, f"{count}\n", -0.5))


@pytest.mark.parametrize("id_", [-1, 7])
def test_where_nothing_keeps_the_engine_from_it_the_hunk_is_dropped(scripted, id_):
    class Deaf(scripted):
        """Tells no ids, or the same one whatever was forbidden."""

        def stream(self, request, cancel=None):
            for token in super().stream(request, cancel):
                yield replace(token, id=id_)

    scripts = [WRONG] if id_ < 0 else [WRONG, " = )\n"]
    engine, document = Deaf([*scripts, "@1,1\nx = 1\ny = 2\n"]), Document("a.py", "x = 1\n")
    events, done = run(document, engine)
    assert [event.problems != () for event in of(HunkDropped, events)] == [True]
    assert (text_of(document), done.averted) == ("x = 1\ny = 2\n", int(id_ >= 0))


@pytest.mark.parametrize(
    ("verifier", "options"), [(NoVerifier(), {}), (FastVerifier(), {"check_early": False})]
)
def test_without_a_verifier_that_foresees_or_where_it_is_not_wanted_a_hunk_is_written_whole(
    scripted, verifier, options
):
    engine, document = scripted([WRONG, "@1,1\nx = 1\ny = 2\n"]), Document("a.py", "x = 1\n")
    events, done = run(document, engine, verifier=verifier, options=options)
    assert done.averted == 0 and not of(HunkTurned, events)
    assert len(of(HunkDropped, events)) == bool(options)


def test_a_cancel_while_a_hunk_is_led_away_leaves_the_document_alone(scripted):
    cancel = threading.Event()
    engine = scripted([WRONG, " = 2\n"], before_token=lambda count: cancel.set() if count == 5 else None)
    document = Document("a.py", "x = 1\n")
    _, done = run(document, engine, cancel=cancel)
    assert (done.reason, text_of(document)) == ("cancelled", "x = 1\n")


def test_after_typing_the_hunk_is_written_from_the_new_text(scripted):
    document = Document("a.py", "x = 1\n")
    engine = scripted(
        [WRONG, "@2,1\nx = 1\ny = 2\n"],
        before_token=lambda count: document.change(0, 0, "w = 0\n") if count == 2 else None,
    )
    run(document, engine)
    assert text_of(document) == "w = 0\nx = 1\ny = 2\n"
    assert engine.requests[1].forbidden == ()


def test_a_wrong_character_of_several_tokens_is_forbidden_by_its_first():
    steering = Steering()
    for id_, piece in enumerate(["@1,0\n", "x", " =", "", "…", "\n"]):
        steering.read(Token(id_, piece, -0.5))
    assert steering.avert(EarlyProblem("line", 0, 3, ""), ["x =…"], (), "") == Turn("@1,0\nx =", (3,))


def test_a_hunk_with_a_control_token_within_a_line_is_dropped(scripted):
    engine, document = scripted(["@1,1\nx = 1\ny<|diff|>@1,1\nz = 1\n"]), Document("a.py", "x = 1\n")
    events, done = run(document, engine, options={"max_tries": 1})
    assert [event.problems != () for event in of(HunkDropped, events)] == [True]
    assert (text_of(document), done.reason) == ("x = 1\n", "failures")


def test_lines_with_signs_are_led_away_at_the_same_place(scripted):
    wrong = "@@ -1,0 +2,2 @@\n+y = )\n+z = 1\n"
    engine, document = scripted([wrong, " 2\n+z = 1"]), Document("a.py", "x = 1\n")
    events, done = run(document, engine, format=LintSeqFormat())
    assert done.averted == 1
    assert wrong.startswith(engine.prompts()[1].removeprefix(engine.prompts()[0]))
    assert text_of(document).startswith("x = 1\n") and not of(HunkDropped, events)


def test_a_document_with_carriage_returns_keeps_them(scripted):
    engine, document = scripted([WRONG, " = 2\n"]), Document("a.py", "x = 1\r\n")
    run(document, engine)
    assert text_of(document) == "x = 1\r\ny = 2\r\n"


def test_hunks_that_landed_stay_and_the_next_one_is_free(scripted):
    engine = scripted(["@1,1\nx = 1\na = 1\n<|diff|>" + WRONG, " = 2\n<|diff|>@1,1\nx = 1\nb = 1\n"])
    document = Document("a.py", "x = 1\n")
    events, done = run(document, engine)
    assert (done.edits, done.averted) == (3, 1)
    assert len(of(HunkLanded, events)) == 3
    assert text_of(document) == "x = 1\nb = 1\ny = 2\na = 1\n"


def test_an_unknown_line_in_a_broken_file_is_written_as_ever(scripted):
    engine, document = scripted(["@1,1\ndef f(:\ny = )\n"]), Document("a.py", "def f(:\n")
    _, done = run(document, engine, options={"max_tries": 1})
    assert done.averted == 0
