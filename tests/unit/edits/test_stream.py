"""The streaming parser yields the same events however the text is cut, and keeps to the document."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewise.edits import (
    DiffParser,
    Edit,
    EditCompleted,
    Hunk,
    HunkCompleted,
    HunkStarted,
    LineAdded,
    Malformed,
    StreamingParser,
    apply_edit,
    format_sequence,
    parse_sequence,
    resolve,
)

CHECK = settings.get_profile("edits")
LINES = ("a", "b", "c")


def events_of(parser: StreamingParser, pieces):
    events = [event for piece in pieces for event in parser.feed(piece)]
    return [*events, *parser.finish()]


def read(text, lines=LINES, lenient=False):
    return events_of(DiffParser(lines, lenient), [text])


def cut(text, places):
    edges = [0, *sorted(places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


FRAGMENT = st.sampled_from(
    [
        "<|diff|>",
        "\n<|diff|>",
        "@@ -0,0 +1 @@\n",
        "@@ -1 +1,2 @@\n-a",
        "\n@@ -3,0 +4 @@",
        "\n+",
        "\n-",
        "\n",
        "a",
        "@@",
        "@",
        "end",
        "|>",
        "<|endoftext|>",
        " ",
        "\r",
        "😀",
    ]
)


@CHECK
@given(st.data(), st.booleans())
def test_events_do_not_depend_on_the_split(sources, data, lenient):
    text = "".join(data.draw(st.lists(FRAGMENT, max_size=12)))
    if data.draw(st.booleans()):
        text = format_sequence(data.draw(sources.sequences())) + text
    pieces = cut(text, data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    whole = events_of(DiffParser(LINES, lenient), [text])
    assert events_of(DiffParser(LINES, lenient), pieces) == whole
    assert events_of(DiffParser(LINES, lenient), text) == whole


@CHECK
@given(st.data())
def test_the_stream_spells_the_sequence_that_was_written(sources, data):
    sequence = data.draw(sources.sequences())
    events = read(format_sequence(sequence), lines=())
    assert tuple(event.edit for event in events if isinstance(event, EditCompleted)) == sequence.edits
    assert not any(isinstance(event, Malformed) for event in events)


@CHECK
@given(st.lists(FRAGMENT, max_size=12).map("".join))
def test_a_lenient_stream_spells_what_lenient_parsing_reads(text):
    edits = [event.edit for event in read(text, (), lenient=True) if isinstance(event, EditCompleted)]
    assert tuple(edits) == parse_sequence(text, lenient=True).edits


@CHECK
@given(st.lists(FRAGMENT, max_size=12).map("".join), st.booleans())
def test_completed_edits_apply_to_the_document_whatever_the_text(text, lenient):
    state = LINES
    hunks = []
    for event in read(text, lenient=lenient):
        if isinstance(event, HunkCompleted):
            hunks.append(event.hunk)
        elif isinstance(event, EditCompleted):
            assert event.edit.hunks == tuple(hunks)
            state = apply_edit(state, event.edit)
            hunks = []
    assert hunks == []


def test_events_come_as_soon_as_a_line_is_whole():
    parser = DiffParser(LINES)
    hunk = Hunk(1, ("b",), ("x", "y"))
    assert parser.feed("<|diff|>@@ -2 +2,2 @@") == []
    assert parser.feed("\n") == [HunkStarted(1, 1)]
    assert parser.feed("-b\n+x\n+y") == [LineAdded("x")]
    assert parser.feed("\n") == [LineAdded("y"), HunkCompleted(hunk)]
    assert parser.finish() == [EditCompleted(Edit((hunk,)))]


def test_the_end_of_the_text_ends_the_last_line_the_hunk_and_the_edit():
    hunk = Hunk(3, (), ("x",))
    assert read("@@ -3,0 +4 @@\n+x") == [
        HunkStarted(3, 0),
        LineAdded("x"),
        HunkCompleted(hunk),
        EditCompleted(Edit((hunk,))),
    ]


def test_each_edit_is_checked_against_the_state_the_last_one_left():
    text = "@@ -1 +1 @@\n-a\n+x\n<|diff|>@@ -1 +0,0 @@\n-x"
    edits = [event.edit for event in read(text) if isinstance(event, EditCompleted)]
    assert edits == [Edit((Hunk(0, ("a",), ("x",)),)), Edit((Hunk(0, ("x",), ()),))]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("@@ -2 +2 @@\n-z\n+x", "line 2 .*removes 'z', but line 2 is 'b'"),
        ("@@ -4 +4 @@\n-z\n+x", "line 1 .*removes 1 lines, but the text has only 3"),
        ("@@ -4,0 +5 @@\n+x", "line 1 .*the text has only 3"),
        ("@@ -2 +2 @@\n-b\nx", "line 3 .*begins with"),
        ("@@ -2 +2 @@\n-b", "line 2 .*announces 1 removed, then 1 added"),
    ],
)
def test_a_hunk_that_does_not_fit_is_malformed_and_not_completed(text, fault):
    events = read(text)
    assert not any(isinstance(event, HunkCompleted | EditCompleted) for event in events)
    assert isinstance(events[-1], Malformed)
    assert re.search(fault, events[-1].reason)


def test_after_a_fault_everything_up_to_the_next_token_is_skipped():
    events = read("@@ -9,0 +10 @@\n+x\n@@ -1,0 +2 @@\n+y\n<|diff|>@@ -3,0 +4 @@\n+z")
    assert [type(event) for event in events] == [
        Malformed,
        HunkStarted,
        LineAdded,
        HunkCompleted,
        EditCompleted,
    ]
    assert events[-1] == EditCompleted(Edit((Hunk(3, (), ("z",)),)))


def test_hunks_before_a_fault_stand():
    first, later = Hunk(0, (), ("x",)), Hunk(0, ("x",), ())
    events = read("@@ -0,0 +1 @@\n+x\nnonsense\n<|diff|>@@ -1 +0,0 @@\n-x")
    completed = [event for event in events if isinstance(event, EditCompleted | Malformed)]
    assert completed[0] == EditCompleted(Edit((first,)))
    assert isinstance(completed[1], Malformed)
    assert completed[2:] == [EditCompleted(Edit((later,)))]


def test_text_that_never_came_has_no_events():
    parser = DiffParser(LINES)
    assert [*parser.feed(""), *parser.finish()] == []


def test_a_lenient_stream_inserts_into_the_document_it_was_given():
    events = read("@@ -0,0 +2 @@\n+y<|endoftext|>", lenient=True)
    assert events[-1] == EditCompleted(Edit((Hunk(1, (), ("y",)),)))


def test_a_lenient_stream_names_what_it_leaves_out():
    events = read("@@ -0,0 +1 @@\n+x @@\n@@ -0,0 +4 @@\n+y", lenient=True)
    assert events[:2] == [HunkStarted(0, 0), Malformed("line 2 of the diff: '@@' stands in the body")]
    assert events[-1] == EditCompleted(Edit((Hunk(3, (), ("y",)),)))


def test_a_resolved_stream_is_the_resolved_sequence():
    text = "@@ -0,0 +1,2 @@\n+a\n+c\n<|diff|>@@ -1,0 +2 @@\n+b"
    assert resolve(parse_sequence(text)) == LINES
