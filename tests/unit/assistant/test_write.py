"""Write by instruction: what lands is clean, what is not clean is sampled again, and all of it is bounded."""

from __future__ import annotations

import itertools
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from writes import of, run, text_of

from linewise.assistant import (
    Document,
    HunkDropped,
    HunkLanded,
    HunkProgress,
    NoVerifier,
    StaleError,
    WriteDone,
    verifier_for,
    write,
)
from linewise.edits import Hunk, apply_hunk, join_lines, split_lines
from linewise.errors import ConflictError, EditError, EngineError
from linewise.formats import EditLogFormat, LintSeqFormat
from linewise.verify import FastVerifier, new_problems

CLEAN = "@1,0\ndef f():\n    return 1\n<|diff|>@2,1\n    return 1\n    # one\n"
TWO_LINES = "def f():\n    return 1\n    # one\n"


def test_hunks_land_one_after_another_from_one_stream(scripted):
    engine, document = scripted([CLEAN]), Document("a.py")
    events, done = run(document, engine)
    assert text_of(document) == TWO_LINES
    assert [landed.hunk for landed in of(HunkLanded, events)] == [
        Hunk(0, (), ("def f():", "    return 1", "")),
        Hunk(2, (), ("    # one",)),
    ]
    assert (done.edits, done.reason, done.tokens) == (2, "complete", engine.yielded)
    assert len(engine.requests) == 1


def test_each_line_is_reported_before_its_hunk_lands(scripted):
    events, _ = run(Document("a.py"), scripted([CLEAN]))
    kinds = [type(event) for event in events]
    assert kinds == [HunkProgress] * 2 + [HunkLanded] + [HunkProgress] * 2 + [HunkLanded, WriteDone]
    assert events[0] == HunkProgress(0, "def f():")


def test_events_of_landed_hunks_replay_to_the_document(scripted):
    document = Document("a.py", "import os\n")
    events, _ = run(document, scripted(["@1,1\nimport os\nimport sys\n<|diff|>@2,1\nimport sys\nprint()\n"]))
    lines = split_lines("import os\n")
    for landed in of(HunkLanded, events):
        lines = apply_hunk(lines, landed.hunk)
    assert lines == document.snapshot().lines


def test_a_hunk_with_a_new_problem_is_dropped_and_sampled_again_from_its_start(scripted, words):
    engine = scripted(
        ["@1,0\ngood\n<|diff|>@1,1\ngood\nBAD\n<|diff|>@1,1\ngood\nnever read\n", "@1,1\ngood\nbetter\n"]
    )
    document = Document("a.py")
    events, done = run(document, engine, verifier=words)
    assert text_of(document) == "good\nbetter\n"
    (dropped,) = of(HunkDropped, events)
    assert "line 2" in dropped.reason and dropped.problems[0].code == "bad"
    first, second = engine.prompts()
    assert second == first + "@1,0\ngood\n<|diff|>"
    assert engine.requests[1].sampling.temperature > engine.requests[0].sampling.temperature
    assert engine.requests[1].sampling.seed != engine.requests[0].sampling.seed
    assert done.reason == "complete"


def test_after_a_warm_sample_lands_the_next_hunk_is_sampled_cool_again(scripted, words):
    engine = scripted(["@1,0\nBAD\n", "@1,0\na\n<|diff|>@1,1\na\nwild\n", "@1,1\na\nb\n"])
    document = Document("a.py")
    run(document, engine, verifier=words)
    assert text_of(document) == "a\nb\n"
    assert [request.sampling.temperature for request in engine.requests] == [0.0, 0.25, 0.0]


def test_a_problem_that_stood_before_does_not_stop_a_hunk(scripted, words):
    document = Document("a.py", "BAD\nx\n")
    _, done = run(document, scripted(["@2,1\nx\ny\n"]), verifier=words)
    assert (text_of(document), done.edits) == ("BAD\nx\ny\n", 1)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("@1,1\nx = 1\n<|diff|>", "changes nothing"),
        ("gibberish\n<|diff|>", "header"),
    ],
)
def test_what_is_no_use_is_dropped_with_its_reason(scripted, script, reason):
    document = Document("a.py", "x = 1\n")
    events, done = run(document, scripted([script, "@1,1\nx = 1\nz = 3\n"]))
    assert reason in of(HunkDropped, events)[0].reason
    assert (text_of(document), done.edits) == ("x = 1\nz = 3\n", 1)


def test_a_hunk_that_stands_nowhere_is_begun_again_where_it_nearly_stands(scripted):
    engine = scripted(
        ["@1,0\na = 1\nb = 2\n<|diff|>@2,1\nb=2\nc = 3\n", "d = 4\n<|diff|>@1,1\na = 1\nA = 1\n"]
    )
    document = Document("a.py")
    events, done = run(document, engine)
    assert text_of(document) == "a = 1\nA = 1\nb = 2\nd = 4\n"
    assert engine.prompts()[1] == engine.prompts()[0] + "@1,0\na = 1\nb = 2\n<|diff|>@2,1\nb = 2\n"
    assert (done.reason, done.mended, of(HunkDropped, events)) == ("complete", 1, [])


def test_a_mended_hunk_that_is_no_use_is_sampled_again_from_its_own_start(scripted, words):
    engine = scripted(["@2,1\nb=2\nc\n", "BAD\n", "@1,1\na = 1\nc = 3\n"])
    document = Document("a.py", "a = 1\nb = 2\n")
    events, done = run(document, engine, verifier=words)
    assert text_of(document) == "a = 1\nc = 3\nb = 2\n"
    assert engine.prompts()[2] == engine.prompts()[0]
    assert [request.sampling.temperature for request in engine.requests] == [0, 0, 0.25]
    assert (done.mended, len(of(HunkDropped, events))) == (1, 1)


def test_header_and_run_up_of_one_hunk_can_both_be_mended(scripted):
    engine = scripted(["@9,5\nx\n", "bb = 2\nx\n", "c = 3\n"])
    document = Document("a.py", "a = 1\nb = 2\n")
    _, done = run(document, engine)
    assert text_of(document) == "a = 1\nb = 2\nc = 3\n"
    assert [prompt.rpartition("<|diff|>")[2] for prompt in engine.prompts()] == [
        "",
        "@3,0\n",
        "@2,1\nb = 2\n",
    ]
    assert done.mended == 2


def test_a_hunk_that_repeats_the_lines_around_its_place_is_dropped(scripted):
    document = Document("a.py", "def f(s):\n    if not s:\n        return s\n")
    again = "@1,1\ndef f(s):\n    if not s:\n        return s\n<|diff|>"
    below = "@3,1\n        return s\n    if not s:\n        return s\n<|diff|>"
    events, _done = run(document, scripted([again, below, "@3,1\n        return s\n    return 1\n"]))
    assert [event.reason for event in of(HunkDropped, events)] == [
        "the hunk repeats the lines that stand there"
    ] * 2
    assert text_of(document).endswith("        return s\n    return 1\n")


def test_a_block_that_this_write_has_written_before_is_dropped_wherever_it_is_put(scripted):
    document = Document("a.py", "a = 1\nb = 2\nc = 3\n")
    block = "if a:\n    b = 1\n"
    script = f"@1,1\na = 1\n{block}<|diff|>@5,1\nc = 3\n{block}<|diff|>"
    events, _done = run(document, scripted([script, "@5,1\nc = 3\nd = 4\n"]))
    assert [event.reason for event in of(HunkDropped, events)] == [
        "the hunk repeats an earlier one of this write"
    ]
    assert text_of(document) == "a = 1\nif a:\n    b = 1\nb = 2\nc = 3\nd = 4\n"


@pytest.mark.parametrize(
    ("chances", "temperature", "written"),
    [
        ((0.1, 0.9), 0.0, 2),  # 0.9 of not having ended is left, then 0.09
        ((0.3, 0.3), 0.5, 2),
        ((0.6,), 0.0, 1),
        ((0.2, 0.2), 0.0, 3),
        ((0.9, 0.9), 1.0, 3),  # sampling at temperature 1 ends by itself as often as it should
    ],
)
def test_a_write_ends_where_the_model_would_have_ended_more_likely_than_not(
    scripted, chances, temperature, written
):
    script = "@1,0\na = 0\n<|diff|>@1,1\na = 0\nb = 1\n<|diff|>@2,1\nb = 1\nc = 2\n"
    engine = scripted([script], end_chances=chances)
    _events, done = run(Document("a.py"), engine, options={"temperature": temperature})
    assert (done.edits, done.reason) == (written, "complete")


def test_a_loop_of_one_line_hunks_is_seen(scripted):
    document = Document("a.py", "x = 0\n")
    hunks = ["@1,1\nx = 0\nx = 1\n"]
    for line in range(2, 9):
        last, new = line % 2, (line + 1) % 2
        hunks.append(f"@{line},1\nx = {1 - last}\nx = {1 - new}\n")
    events, done = run(document, scripted(["<|diff|>".join(hunks)]))
    assert "hunk after hunk" in of(HunkDropped, events)[0].reason
    assert done.edits == 6


def test_a_loop_of_one_line_hunks_above_each_other_is_seen(scripted):
    document = Document("a.js", "f(\n)\n")
    events, _ = run(document, scripted(["<|diff|>".join(["@1,1\nf(\n0,\n"] * 9)]))
    assert text_of(document) == "f(\n" + "0,\n" * 3 + ")\n"
    assert "hunk after hunk" in of(HunkDropped, events)[0].reason


def test_closing_brackets_may_stand_in_a_row(scripted):
    document = Document("a.py", "x = [\n    [\n    1\n    ],\n")
    run(document, scripted(["@4,1\n    ],\n    ],\n"]))
    assert text_of(document).count("],") == 2


def test_a_hunk_that_takes_back_an_earlier_one_is_dropped(scripted):
    document = Document("a.py", "x\ny\n")
    script = "@1,1\nx\nnew\n<|diff|>@3,1\ny\nlast\n<|diff|>@1,2\nx\n<|diff|>"
    events, _done = run(document, scripted([script]))
    assert text_of(document) == "x\nnew\ny\nlast\n"
    assert "takes back" in of(HunkDropped, events)[0].reason


def test_the_write_ends_when_one_hunk_is_never_clean(scripted, words):
    engine, document = scripted(["@1,0\nBAD\n"] * 50), Document("a.py")
    _events, done = run(document, engine, verifier=words, options={"max_tries": 3})
    assert (done.reason, done.edits, len(engine.requests)) == ("failures", 0, 3)
    assert text_of(document) == ""


def test_max_edits_ends_the_write(scripted):
    document = Document("a.py")
    _, done = run(document, scripted([CLEAN]), options={"max_edits": 1})
    assert (done.reason, done.edits, text_of(document)) == ("max_edits", 1, "def f():\n    return 1\n")


@pytest.mark.parametrize("limit", range(0, 25, 3))
def test_max_tokens_bounds_all_tokens_and_leaves_whole_hunks_only(scripted, limit):
    engine, document = scripted([CLEAN]), Document("a.py")
    _, done = run(document, engine, options={"max_tokens": limit})
    assert done.tokens <= limit
    assert text_of(document) in ("", "def f():\n    return 1\n", TWO_LINES)
    assert done.reason == ("complete" if text_of(document) == TWO_LINES else "max_tokens")


@pytest.mark.parametrize("stop_at", range(0, 14, 3))
def test_cancel_leaves_whole_hunks_only_and_stops_within_a_token(scripted, stop_at):
    cancel = threading.Event()
    engine = scripted([CLEAN], before_token=lambda count: cancel.set() if count == stop_at else None)
    document = Document("a.py")
    _, done = run(document, engine, cancel=cancel)
    assert (done.reason, engine.yielded) == ("cancelled", stop_at)
    assert text_of(document) in ("", "def f():\n    return 1\n")


def test_closing_the_iterator_closes_the_engines_stream(scripted):
    engine, document = scripted([CLEAN]), Document("a.py")
    events = write(document, "do it", engine=engine, format=EditLogFormat(), verifier=NoVerifier())
    next(events)
    seen = engine.yielded
    events.close()
    assert engine.yielded == seen
    assert text_of(document) == ""


def test_a_hunk_is_rebased_over_typing_and_the_stream_begins_again_from_the_new_log(scripted):
    document = Document("a.py", "one\ntwo\n")
    engine = scripted(
        ["@2,1\ntwo\nthree\n<|diff|>@1,1\nnever used\n", ""],
        before_token=lambda count: document.change(0, 0, "zero\n") if count == 2 else None,
    )
    events, done = run(document, engine)
    assert text_of(document) == "zero\none\ntwo\nthree\n"
    assert of(HunkLanded, events)[0].hunk == Hunk(3, (), ("three",))
    assert "zero" in engine.prompts()[1] and "three" in engine.prompts()[1]
    assert (done.edits, done.reason) == (1, "complete")


def test_a_rebased_hunk_is_checked_on_the_users_text(scripted, words):
    class NoMixing(type(words)):
        def problems(self, sources):
            return super().problems([s.replace("user", "BAD") if "model" in s else "" for s in sources])

    document = Document("a.py", "one\ntwo\n")
    engine = scripted(
        ["@2,1\ntwo\nmodel\n"],
        before_token=lambda count: document.change(0, 0, "user\n") if count == 2 else None,
    )
    events, _ = run(document, engine, verifier=NoMixing())
    assert text_of(document) == "user\none\ntwo\n"
    assert of(HunkDropped, events)[0].problems


def test_a_hunk_that_overlaps_typing_is_dropped_and_typing_kept(scripted):
    document = Document("a.py", "one\ntwo\n")
    engine = scripted(
        ["@1,2\none\nTWO\n", "@1,1\none\nand a half\n"],
        before_token=lambda count: document.change(4, 7, "deux") if count == 2 else None,
    )
    events, _done = run(document, engine)
    assert text_of(document) == "one\nand a half\ndeux\n"
    assert len(of(HunkDropped, events)) == 1
    assert engine.requests[1].sampling.temperature == 0.0


def test_an_edge_that_finds_the_document_changed_is_asked_again_with_a_new_landing(scripted):
    document = Document("a.py", "one\n")
    asked = []

    def land(landing):
        asked.append(landing)
        if len(asked) == 1:
            document.change(0, 0, "zero\n")
            raise StaleError("typed meanwhile")
        return document.commit(landing)

    run(document, scripted(["@1,1\none\ntwo\n"]), land=land)
    assert text_of(document) == "zero\none\ntwo\n"
    assert [landing.revision for landing in asked] == [0, 1]


def test_an_edge_that_always_refuses_ends_the_write(scripted):
    def land(landing):
        raise ConflictError("the editor refused")

    engine, document = scripted(["@1,0\nx\n"] * 99), Document("a.py")
    events, done = run(document, engine, land=land, options={"max_failures": 4})
    assert (done.reason, len(of(HunkDropped, events)), text_of(document)) == ("failures", 4, "")


@pytest.mark.parametrize("instruction", ["", "  \n"])
def test_an_empty_instruction_is_refused_at_once(scripted, instruction):
    with pytest.raises(EditError, match="instruction is empty"):
        write(Document("a.py"), instruction, engine=scripted(), format=EditLogFormat(), verifier=NoVerifier())


def test_an_engine_error_reaches_the_caller_with_the_hunks_before_it_kept(scripted):
    def fail(count):
        if count == 12:
            raise EngineError("out of memory")

    document = Document("a.py")
    with pytest.raises(EngineError, match="out of memory"):
        run(document, scripted([CLEAN], before_token=fail))
    assert text_of(document) == "def f():\n    return 1\n"


def test_carriage_returns_are_kept_and_never_shown_to_the_model(scripted):
    engine, document = scripted(["@1,1\none\n1.5\n"]), Document("a.py", "one\r\ntwo\r\n")
    run(document, engine)
    assert text_of(document) == "one\r\n1.5\r\ntwo\r\n"
    assert "\r" not in engine.prompts()[0]


def test_the_hunks_of_one_lintseq_diff_land_one_by_one(scripted):
    document = Document("a.py")
    script = (
        "@@ -0,0 +1,2 @@\n+a\n+d\n<|diff|>@@ -1,0 +2 @@\n+b\n@@ -2,0 +4 @@\n+e\n<|diff|>@@ -2,0 +3 @@\n+c\n"
    )
    _events, done = run(document, scripted([script]), format=LintSeqFormat())
    assert document.snapshot().lines == ("a", "b", "c", "d", "e")
    assert done.edits == 4


def test_a_dropped_second_hunk_of_a_lintseq_diff_leaves_the_first(scripted, words):
    document = Document("a.py", "a\nb")
    engine = scripted(["@@ -0,0 +1 @@\n+0\n@@ -2,0 +4 @@\n+BAD\n", "@@ -3,0 +4 @@\n+c\n"])
    run(document, engine, format=LintSeqFormat(), verifier=words)
    assert document.snapshot().lines == ("0", "a", "b", "c")
    assert "+0" in engine.prompts()[1]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["", "x = 1\n", "def g():\n    pass\n", "y = (\n", "z\n"]))
def test_no_state_that_the_user_sees_has_a_new_static_error(random_engine, seed, text):
    verifier, states = FastVerifier(), [split_lines(text)]
    document = Document("a.py", text)

    def land(landing):
        landed = document.commit(landing)
        states.append(document.snapshot().lines)
        return landed

    _, done = run(
        document,
        random_engine(),
        verifier=verifier,
        land=land,
        options={"seed": seed, "max_tokens": 400, "max_tries": 3},
    )
    assert done.tokens <= 400
    for before, after in itertools.pairwise(states):
        old, new = verifier.problems([join_lines(before), join_lines(after)])
        assert new_problems(before, after, old, new) == ()


def test_the_random_writes_of_the_property_do_land_and_do_drop_hunks(random_engine):
    events = []
    for seed in range(30):
        events += run(Document("a.py"), random_engine(), verifier=FastVerifier(), options={"seed": seed})[0]
    assert len(of(HunkLanded, events)) > 20
    assert sum(bool(dropped.problems) for dropped in of(HunkDropped, events)) > 5


def test_the_same_seed_repeats_the_same_write(random_engine):
    def outcome():
        document = Document("a.py", "x = 1\n")
        events, _ = run(document, random_engine(), verifier=FastVerifier(), options={"seed": 7})
        return [event for event in events if not isinstance(event, WriteDone)], text_of(document)

    assert outcome() == outcome()


def test_where_a_syntax_error_hides_other_problems_a_hunk_is_not_called_clean(scripted):
    document = Document("a.py", "def broken(:\n    pass\n")
    script = "@2,1\n    pass\nx = 1\n"
    events, _done = run(document, scripted([script]), verifier=FastVerifier())
    assert "syntax error at line 1 hides" in of(HunkLanded, events)[0].unchecked
    events, _done = run(
        Document("a.py", "y = 1\n"), scripted(["@1,1\ny = 1\nx = 1\n"]), verifier=FastVerifier()
    )
    assert of(HunkLanded, events)[0].unchecked == ""


@pytest.mark.parametrize(
    ("path", "name", "lines", "expected", "reason"),
    [
        ("a.py", "pylint", 10, "pylint", None),
        ("a.py", "pylint", 100_000, "fast", None),
        ("a.py", "fast", 100_000, "fast", None),
        ("a.md", "pylint", 10, "none", "only Python files are checked"),
        ("a.py", "none", 10, "none", "checking is switched off"),
    ],
)
def test_a_file_gets_the_verifier_that_can_check_it(path, name, lines, expected, reason):
    verifier = verifier_for(path, name, lines)
    assert verifier.name == expected
    assert getattr(verifier, "reason", None) == reason
