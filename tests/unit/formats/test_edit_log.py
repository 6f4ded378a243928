"""The Format edit-log/1: what a model reads, and what its text means."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewise.edits import (
    EditLog,
    Hunk,
    HunkCompleted,
    HunkStarted,
    LineAdded,
    Malformed,
    apply_hunk,
    diff,
    join_lines,
    sequential,
    split_lines,
)
from linewise.errors import EditError, ModelError
from linewise.formats import Cursor, EditLogFormat, get_format
from linewise.formats.edit_log import hunk_text, shown, shown_hunk, split_partial

FORMAT = EditLogFormat()
GEOMETRY = "import math\n\ndef area(r):\n    return r * r\n"


def text_of(prompt):
    return "".join(segment.text for segment in prompt.segments)


def hunks_of(text, document, first_line=0):
    parser = FORMAT.parser(split_lines(document), first_line)
    events = [*parser.feed(text), *parser.finish()]
    return [e.hunk for e in events if isinstance(e, HunkCompleted)], events


def after(document, hunks):
    lines = split_lines(document)
    for hunk in hunks:
        lines = apply_hunk(lines, hunk)
    return join_lines(lines)


# What the model reads


def test_a_document_is_its_name_its_snapshot_and_its_edits_each_with_a_run_up():
    log = EditLog.open(GEOMETRY).record(Hunk(4, (), ("    # of a square",)))
    log = log.record(Hunk(3, ("    return r * r",), ("    return math.pi * r ** 2",)))
    assert text_of(FORMAT.write_prompt(log, "geometry.py", "")) == (
        "<|file|>geometry.py\n"
        "<|diff|>@1,0\nimport math\n\ndef area(r):\n    return r * r\n"
        "<|diff|>@4,1\n    return r * r\n    # of a square\n"
        "<|diff|>@3,2\ndef area(r):\n    return math.pi * r ** 2\n"
        "<|diff|>"
    )


@pytest.mark.parametrize("path", ["g.py", "/home/x/g.py", "src\\g.py", "C:\\src\\g.py"])
def test_a_model_sees_the_name_of_a_file_not_where_it_is_kept(path):
    assert text_of(FORMAT.write_prompt(EditLog.open(""), path, "")) == "<|file|>g.py\n<|diff|>"


def test_an_instruction_comes_after_the_log_so_that_the_log_stays_a_prefix():
    log = EditLog.open(GEOMETRY)
    plain = text_of(FORMAT.write_prompt(log, "g.py", "")).removesuffix("<|diff|>")
    asked = text_of(FORMAT.write_prompt(log, "g.py", "add  a\n docstring"))
    assert asked == plain + "<|instruction|>add a docstring\n<|diff|>"


def test_edits_made_since_follow_the_instruction():
    log = EditLog.open(GEOMETRY).record(Hunk(0, (), ("import sys",))).record(Hunk(5, (), ("x = 1",)))
    text = text_of(FORMAT.write_prompt(log, "g.py", "go", asked_after=1))
    assert text.endswith(
        "<|diff|>@1,0\nimport sys\n<|instruction|>go\n<|diff|>@5,1\n    return r * r\nx = 1\n<|diff|>"
    )


def test_a_prompt_grows_only_at_its_end_while_edits_are_recorded():
    log = EditLog.open(GEOMETRY)
    before = text_of(FORMAT.write_prompt(log, "g.py", ""))
    grown = text_of(FORMAT.write_prompt(log.record(Hunk(0, (), ("import sys",))), "g.py", ""))
    assert grown.startswith(before)


def test_a_hunk_recorded_with_its_run_up_is_written_back_verbatim():
    hunk = Hunk(2, ("def area(r):", "    return r * r"), ("def area(r):", "    return 2 * r"))
    text = text_of(FORMAT.write_prompt(EditLog.open(GEOMETRY).record(hunk), "g.py", ""))
    assert text.endswith("<|diff|>@3,2\ndef area(r):\n    return 2 * r\n<|diff|>")


def test_a_window_tells_its_true_line_numbers():
    log = EditLog.open("a\nb\n", first_line=200).record(Hunk(1, ("b",), ("c",)))
    text = text_of(FORMAT.write_prompt(log, "w.py", ""))
    assert "<|diff|>@201,0\na\nb\n<|diff|>@201,2\na\nc\n" in text


def test_text_of_a_document_cannot_forge_a_control_token():
    log = EditLog.open("x = '<|diff|>@1,0'\n")
    segments = FORMAT.write_prompt(log, "<|file|>", "<|endoftext|>").segments
    assert [s.text for s in segments if s.special] == ["<|file|>", "<|diff|>", "<|instruction|>", "<|diff|>"]


def test_a_model_sees_neither_carriage_returns_nor_a_final_newline():
    assert shown(split_lines("a\r\nb\r\n")) == ("a", "b")
    assert shown(split_lines("a\nb")) == ("a", "b")


# The hunk in progress at the cursor


def test_at_a_cursor_header_run_up_and_typed_part_are_given():
    prompt = FORMAT.inline_prompt(EditLog.open(GEOMETRY), "g.py", Cursor(3, 9))
    assert prompt.given == "@1,4\nimport math\n\ndef area(r):\n"
    assert prompt.healed == "    retur"
    assert text_of(prompt).endswith("<|diff|>" + prompt.given)


def test_lines_typed_one_after_another_are_one_growing_hunk():
    log = EditLog.open(GEOMETRY).typed(Hunk(4, (), ("def two():", "    ret")))
    prompt = FORMAT.inline_prompt(log, "g.py", Cursor(5, 7))
    assert prompt.given + prompt.healed == (
        "@1,4\nimport math\n\ndef area(r):\n    return r * r\ndef two():\n    ret"
    )


def test_typing_on_does_not_change_what_was_read():
    log = EditLog.open(GEOMETRY).typed(Hunk(4, (), ("x = (",)))
    longer = log.typed(Hunk(4, ("x = (",), ("x = (", "    1,")))
    first = FORMAT.inline_prompt(log, "g.py", Cursor(4, 5))
    second = FORMAT.inline_prompt(longer, "g.py", Cursor(5, 6))
    assert text_of(second).startswith(text_of(first))


def test_a_cursor_away_from_the_typed_lines_closes_them_into_the_log():
    log = EditLog.open(GEOMETRY).typed(Hunk(4, (), ("x = 1",)))
    prompt = FORMAT.inline_prompt(log, "g.py", Cursor(0, 0))
    assert "<|diff|>@4,1\n    return r * r\nx = 1\n<|diff|>" in text_of(prompt)
    assert prompt.given == "@1,1\n"


def test_at_the_end_of_a_file_the_new_line_removes_nothing():
    prompt = FORMAT.inline_prompt(EditLog.open("a = 1\n"), "g.py", Cursor(1, 0))
    assert prompt.given == "@1,1\na = 1\n"


def test_an_empty_document_has_a_first_line_to_write():
    assert FORMAT.inline_prompt(EditLog.open(""), "g.py", Cursor(0, 0)).given == "@1,0\n"


@pytest.mark.parametrize("cursor", [Cursor(5, 0), Cursor(-1, 0), Cursor(3, 17), Cursor(0, -1)])
def test_a_cursor_outside_the_document_is_an_error_that_says_so(cursor):
    with pytest.raises(EditError, match="outside"):
        FORMAT.inline_prompt(EditLog.open(GEOMETRY), "g.py", cursor)


@pytest.mark.parametrize(
    ("typed", "healed"),
    [("    retu", "    retu"), ("x = ", " "), ("self._fo", "._fo"), ("a[1", ""), ("foo(", "("), ("", "")],
)
def test_the_last_partial_token_is_healed(typed, healed):
    assert split_partial(typed)[1] == healed
    assert "".join(split_partial(typed)) == typed


# What its text means


def test_each_hunk_applies_to_what_the_last_one_left():
    hunks, _ = hunks_of("@1,1\nimport math\nimport sys\n<|diff|>@5,1\n    return r * r\n\n", GEOMETRY)
    assert after(GEOMETRY, hunks) == "import math\nimport sys\n\ndef area(r):\n    return r * r\n\n"


def test_events_come_as_the_text_does():
    parser = FORMAT.parser(split_lines(GEOMETRY))
    assert list(parser.feed("<|diff|>@4,1\n    return r")) == []
    assert list(parser.feed(" * r\n    # x")) == [HunkStarted(3, 1), LineAdded("    return r * r")]
    assert list(parser.feed("\n<|di")) == [LineAdded("    # x")]
    (completed, _) = parser.feed("ff|>")
    assert completed.hunk == Hunk(3, ("    return r * r",), ("    return r * r", "    # x"))


def test_a_run_up_moves_a_hunk_to_the_nearest_place_where_it_stands():
    hunks, _ = hunks_of("@2,1\n    return r * r\n    # x\n", GEOMETRY)
    assert hunks[0].start == 3


def test_a_run_up_that_stands_nowhere_is_malformed_and_the_next_hunk_is_read():
    hunks, events = hunks_of("@2,1\nnowhere\nx\n<|diff|>@4,1\n    return r * r\ny\n", GEOMETRY)
    assert isinstance(events[0], Malformed)
    assert "nowhere" in events[0].reason
    assert [h.start for h in hunks] == [3]


def test_a_run_up_at_two_equally_near_places_is_malformed():
    _, events = hunks_of("@3,1\nx\ny\n", "a\nx\nb\nx\n")
    assert [type(e) for e in events] == [Malformed]


@pytest.mark.parametrize(
    "text",
    ["@,1\nx\n", "1,1\nx\n", "@99,1\nx\n", "@4,2\nx\n", "@0,0\nx\n", "@2,0\nx\n", "@1,0\n", "@1,1 \nx\n"],
)
def test_a_bad_header_is_malformed_and_changes_nothing(text):
    hunks, events = hunks_of(text, GEOMETRY)
    assert hunks == []
    assert any(isinstance(e, Malformed) for e in events)


def test_a_hunk_in_a_window_counts_from_the_windows_start():
    hunks, _ = hunks_of("@202,1\nb\nc\n", "a\nb\n", first_line=200)
    assert hunks == [Hunk(1, ("b",), ("b", "c"))]


def test_a_new_file_ends_with_a_newline():
    hunks, _ = hunks_of("@1,0\nx = 1\n", "")
    assert after("", hunks) == "x = 1\n"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("a\r\nb\r\n", "a\r\nb\r\nc\r\n"),
        ("a\r\nb", "a\r\nb\r\nc"),
        ("a\nb", "a\nb\nc"),
        ("a\r\nb\n", "a\r\nb\nc\n"),
    ],
)
def test_line_endings_and_a_missing_final_newline_are_the_documents_own(document, expected):
    hunks, _ = hunks_of("@2,1\nb\nc\n", document)
    assert after(document, hunks) == expected


def test_a_format_is_found_by_the_name_in_a_model_file():
    assert get_format("edit-log/1").name == "edit-log/1"
    with pytest.raises(ModelError, match=r"linewise\.format"):
        get_format(None)
    with pytest.raises(ModelError, match="chatml"):
        get_format("chatml")


FILE = ["import math", "", "", "def f():", "    pass", "", "", "", "", "", "", "def g():", "    pass"]


@pytest.mark.parametrize(
    ("hunk", "text"),
    [
        (Hunk(3, (), ("X = 1", "")), "@1,3\nimport math\n\n\nX = 1\n\n"),
        (Hunk(1, ("",), ("", "X = 1")), "@1,2\nimport math\n\nX = 1\n"),  # its own run-up is blank
        (Hunk(4, ("    pass",), ("    return 1",)), "@4,2\ndef f():\n    return 1\n"),
        (Hunk(11, (), ("X = 1",)), "@11,1\n\nX = 1\n"),  # what is not blank is too far
        (Hunk(0, (), ("X = 1",)), "@1,0\nX = 1\n"),
    ],
)
def test_a_run_up_begins_with_a_line_that_is_not_blank(hunk, text):
    assert hunk_text(FILE, hunk) == text


def test_a_function_after_blank_lines_finds_its_place_from_a_wrong_line_number():
    document = "\n".join(FILE)
    text = hunk_text(FILE, Hunk(6, (), ("def h():", "    pass", "", "")))
    right, events = hunks_of(text, document)
    assert text.startswith("@5,2\n")
    wrong, events = hunks_of(text.replace("@5,", "@7,"), document)
    assert not [event for event in events if isinstance(event, Malformed)]
    assert after(document, wrong) == after(document, right)


# Properties

LINE = st.text(st.sampled_from("ab @,1\t𝄞"), max_size=6)
DOCUMENT = st.lists(LINE, max_size=8).map(lambda lines: "".join(f"{line}\n" for line in lines))


@given(DOCUMENT, DOCUMENT)
@settings(max_examples=150)
def test_reading_what_was_written_gives_the_same_document(before, after_text):
    lines, parts = split_lines(before), []
    for hunk in sequential(diff(lines, split_lines(after_text))):
        seen = shown_hunk(lines, hunk)
        if seen.removed != seen.added:
            parts.append(hunk_text(lines, seen))
        lines = apply_hunk(lines, hunk)
    hunks, events = hunks_of("<|diff|>".join(parts), before)
    assert not [e for e in events if isinstance(e, Malformed)]
    assert shown(split_lines(after(before, hunks))) == shown(split_lines(after_text))


@given(DOCUMENT, st.text(st.sampled_from("ab@,1\n"), max_size=30), st.lists(st.integers(1, 5), max_size=30))
@settings(max_examples=150)
def test_events_do_not_depend_on_how_the_text_was_split(document, text, sizes):
    text = "@1,1\n" + text + "\n<|diff|>@1,0\na\n<|diff|>@" + text
    parser = FORMAT.parser(split_lines(document))
    events, position = [], 0
    for size in sizes:
        events += parser.feed(text[position : position + size])
        position += size
    events += [*parser.feed(text[position:]), *parser.finish()]
    assert events == hunks_of(text, document)[1]


@given(DOCUMENT, st.data())
@settings(max_examples=150)
def test_what_is_given_at_a_cursor_completes_to_a_hunk_at_that_line(document, data):
    log = EditLog.open(document)
    line = data.draw(st.integers(0, max(0, len(log.lines) - 1)))
    column = data.draw(st.integers(0, len(log.lines[line]) if log.lines else 0))
    prompt = FORMAT.inline_prompt(log, "p.py", Cursor(line, column))
    tail = log.lines[line][column:] if log.lines else ""
    hunks, events = hunks_of(prompt.given + prompt.healed + "#" + tail + "\n", document)
    assert not [e for e in events if isinstance(e, Malformed)]
    expected = list(log.lines) or [""]
    expected[line] = expected[line][:column] + "#" + tail
    assert shown(split_lines(after(document, hunks))) == shown(tuple(expected))


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("@4,1\n    return r*r\n", "@4,1\n    return r * r\n"),  # nearly as it stands
        ("@2,1\n    return r * r.\n", "@4,1\n    return r * r\n"),  # the text says more than the number
        ("@4,1\nsomething else\n", "@4,1\n    return r * r\n"),  # the text says nothing: the number does
        ("@2,1\nsomething else\n", "@1,1\nimport math\n"),  # but no blank line proves a place
        ("@3,2\n    return r * r!\n", "@4,1\n    return r * r\n"),  # no more lines than there are
        ("@3,0\nx = 1\n", "@3,1\ndef area(r):\n"),
        ("@9,1\n", "@5,0\n"),
        ("@3,7\n", "@3,1\n"),  # what was not shown to be known stays
        ("3,1\n", ""),
    ],
)
def test_a_malformed_hunk_tells_how_it_could_have_begun(text, mended):
    _, events = hunks_of(text, GEOMETRY)
    assert [event.mended for event in events] == [mended]


def test_lines_go_only_where_a_run_up_proves_the_place():
    hunks, (malformed,) = hunks_of("@3,2\n", GEOMETRY)
    assert hunks == [] and malformed.mended == "@3,1\ndef area(r):\n"
    hunks, (malformed,) = hunks_of("@201,2\n", GEOMETRY, first_line=200)
    assert hunks == [] and malformed.mended == "@201,2\nimport math\n"
    assert after(GEOMETRY, hunks_of("@1,3\n", GEOMETRY)[0]) == "    return r * r\n"


def test_the_first_line_of_a_window_goes_only_for_one_that_is_like_it():
    document = "value = 1\nreturn y\nb\n"
    hunks, (malformed, *_) = hunks_of("@201,2\nreturn x\n\n", document, first_line=200)
    assert hunks == [] and malformed.mended == "@202,1\nreturn y\n"
    assert hunks_of("@201,1\nvalue = 12\n", document, first_line=200)[0] == [
        Hunk(0, ("value = 1",), ("value = 12",))
    ]
    assert hunks_of("@1,2\nreturn x\n\n", document)[0] == [
        Hunk(0, ("value = 1", "return y"), ("return x", ""))
    ]


def test_a_mended_hunk_removes_no_text_that_was_not_shown_to_be_known():
    document = "def f():\n    return x\n\n\ndef g():\n    pass\n"
    _, (malformed, *_) = hunks_of("@2,5\n    return x.\n", document)
    assert malformed.mended == "@2,3\n    return x\n"


def test_a_mended_beginning_stands_in_the_window_that_the_model_sees():
    parser = EditLogFormat().parser(split_lines("a\nlonger line\nb\n"), 200)
    (malformed,) = parser.feed("@202,1\nlongerline\n")
    assert malformed.mended == "@202,1\nlonger line\n"
    again = EditLogFormat().parser(split_lines("a\nlonger line\nb\n"), 200)
    assert list(again.feed(malformed.mended)) == [HunkStarted(1, 1), LineAdded("longer line")]
