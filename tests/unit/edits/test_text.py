"""Edits as the paper's text: written as difflib writes them, read back strictly or as its resolver does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewise.edits import (
    Edit,
    EditSequence,
    Hunk,
    format_sequence,
    join_lines,
    parse_sequence,
    resolve,
)
from linewise.errors import EditError

CHECK = settings.get_profile("edits")

AREA = EditSequence(
    (
        Edit((Hunk(0, (), ("def area(r):", "    return r * r", "")),)),
        Edit((Hunk(1, (), ("    # of a square",)),)),
    )
)
AREA_TEXT = """\
<|diff|>@@ -0,0 +1,3 @@
+def area(r):
+    return r * r
+
<|diff|>@@ -1,0 +2 @@
+    # of a square"""


def lenient(text):
    return join_lines(resolve(parse_sequence(text, lenient=True)))


def test_a_sequence_is_written_as_models_of_the_paper_know_it():
    assert format_sequence(AREA) == AREA_TEXT


def test_the_first_diff_token_may_be_missing():
    assert parse_sequence(AREA_TEXT.removeprefix("<|diff|>")) == AREA


def test_the_text_may_end_in_a_newline():
    assert parse_sequence(AREA_TEXT + "\n") == AREA


@CHECK
@given(st.data())
def test_a_written_sequence_reads_back(sources, data):
    sequence = data.draw(sources.sequences())
    assert parse_sequence(format_sequence(sequence)) == sequence


@pytest.mark.parametrize(("edits", "text"), [((), ""), ((Edit(()),), "<|diff|>")])
def test_no_edit_and_an_edit_without_hunks_are_told_apart(edits, text):
    assert format_sequence(EditSequence(edits)) == text
    assert parse_sequence(text) == EditSequence(edits)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("hello", "line 1 .*expected a header.*'hello'"),
        ("@@ -0,0 +1 @", "line 1 .*expected a header"),
        ("@@ -0,0 +1 @@ def f():\n+a", "line 1 .*expected a header"),
        ("@@ -0 +0,0 @@\n-a", "line 1 .*expected a header"),
        ("@@ -0,0 +\u0661 @@\n+a", "line 1 .*expected a header"),
        ("<|diff|>\n@@ -0,0 +1 @@\n+a", "line 2 .*must follow the diff token"),
        ("@@ -0,0 +1,2 @@\n+a", "line 2 .*announces 0 removed, then 2 added.*after 0 and 1"),
        ("@@ -0,0 +1,2 @@\n+a\n<|diff|>", "line 3 .*announces"),
        ("@@ -0,0 +1 @@\n+a\n+b", "line 3 .*expected a header.*'\\+b'"),
        ("@@ -1,2 +0,0 @@\n-a\n+b", "line 3 .*announces 2 removed"),
        ("@@ -1 +1,2 @@\n-a\n+b\n-c", "line 4 .*announces"),
        ("@@ -0,0 +1,2 @@\n+a\nb", "line 3 .*begins with '\\+' or '-', found 'b'"),
        ("@@ -0,0 +1 @@\n+a\n\n", "line 3 .*expected a header.*''"),
        ("@@ -3 +2,0 @@\n-a\n@@ -1 +0,0 @@\n-b", "line 3 .*overlaps the one before it or is out of order"),
        ("@@ -1,2 +0,0 @@\n-a\n-b\n@@ -2 +0,0 @@\n-b", "line 4 .*overlaps"),
        ("@@ -1,0 +5 @@\n+a", "line 1 .*at line 5 afterwards, but it stands at line 2"),
        (AREA_TEXT + "<|endoftext|>\nmore", "line 7 .*expected a header"),
    ],
)
def test_strict_reading_names_line_and_fault(text, fault):
    with pytest.raises(EditError, match=fault):
        parse_sequence(text)


@CHECK
@given(st.data())
def test_well_formed_insertions_read_leniently_as_they_do_strictly(sources, data):
    # The paper's resolver reads code: it knows no line with a sign of its own or with '@@'.
    line = st.sampled_from(["a", "b()", "    return x", "", "z\r"])
    state, edits = 0, []
    for _ in range(data.draw(st.integers(0, 4))):
        starts = sorted(data.draw(st.sets(st.integers(0, state), min_size=1, max_size=3)))
        hunks = tuple(Hunk(s, (), ("v", *data.draw(st.lists(line, max_size=2)), "w")) for s in starts)
        edits.append(Edit(hunks))
        state += sum(hunk.growth for hunk in hunks)
    sequence = EditSequence(tuple(edits))
    assert parse_sequence(format_sequence(sequence), lenient=True) == sequence


# What `resolve_edit_path` of the paper's reference implementation returns for each text.
@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("", ""),
        ("no edit here", ""),
        ("INSTRUCTION\n" + AREA_TEXT + ".", "def area(r):\n    # of a square.\n    return r * r\n"),
        # The end token goes, as a set of characters: letters of it at the very end go, too.
        ("@@ -0,0 +1 @@\n+a b<|endoftext|>", "a b"),
        ("@@ -0,0 +1 @@\n+    append", "    app"),
        ("@@ -0,0 +1 @@\n+a\n<|diff|>", "a\n<|di"),
        # Counts and the range before play no part; a place beyond the end is the end.
        ("@@ -9,9 +1,7 @@\n+a", "a"),
        ("@@ junk +40 @@\n+a\n<|diff|>@@ -0 +40 @@\n+b", "a\nb"),
        # Hunks of one diff apply one after another, in any order.
        ("@@ -0,0 +1 @@\n+a\n@@ -0,0 +1 @@\n+b", "b\na"),
        ("@@ -0,0 +1,2 @@\n+a\n+b\n@@ -0,0 +2 @@\n+c", "a\nc\nb"),
        # A place before the top counts back from the end.
        ("@@ -0,0 +1,2 @@\n+a\n+b\n@@ -0,0 +0 @@\n+c", "a\nc\nb"),
        ("@@ -0,0 +1,2 @@\n+a\n+b\n@@ -0,0 +-9 @@\n+c", "c\na\nb"),
        # Removed lines come in as well; every leading '-', then every leading '+' goes.
        ("@@ -0,0 +1 @@\n-a\n+b", "a\nb"),
        ("@@ -0,0 +1 @@\n--+ +a\n+-b\nc", " +a\n-b\nc"),
        # White space before the body goes, over several lines; a body may begin behind the header.
        ("@@ -0,0 +1 @@  \n\n \t+a\n+b", "a\nb"),
        ("@@ -0,0 +1 @@+a", "a"),
        ("@@ -0,0 +1 @@\n+a\n@@ -0,0 +2 @@", "a\n"),
        # A newline before the next token is a line.
        ("@@ -0,0 +1 @@\n+a\n\n<|diff|>@@ -0,0 +2 @@\n+b", "a\nb\n"),
        # Exactly two '@@' make a hunk: one in the body loses it, but not its neighbours.
        ("@@ -0,0 +1 @@\n+a\n+b @@ c\n@@ -0,0 +1 @@\n+c", "c"),
        ("@@ -0,0 +1\n+a\n<|diff|>@@ -0,0 +1 @@\n+b", "b"),
        ("x @@ -0,0 +1 @@\n+a", "a"),
        ("x\ny@@ -0,0\n+1 @@\n+a", ""),
        ("x\ny@@ -0,0 \n+1 @@\n+a", "a"),
        # Two ranges, single-spaced, the second a number as Python reads one.
        ("@@ -0,0  +1 @@\n+a", ""),
        ("@@ +1 @@\n+a", ""),
        ("@@ -0,0 +x @@\n+a", ""),
        ("@@ -0,0 ++1_0,x @@\n+a", "a"),
        ("@@ -0,0 +" + "9" * 5000 + " @@\n+a\n<|diff|>@@ -0,0 +1 @@\n+b", "b"),
    ],
)
def test_lenient_reading_gives_the_program_of_the_papers_resolver(text, program):
    assert lenient(text) == program


def test_hunks_in_order_stay_one_edit_when_read_leniently():
    text = "@@ -0,0 +1,2 @@\n+a\n+b\n<|diff|>@@ -0,0 +1 @@\n+x\n@@ -2,0 +4 @@\n+y"
    (_, edit) = parse_sequence(text, lenient=True).edits
    assert edit == Edit((Hunk(0, (), ("x",)), Hunk(2, (), ("y",))))
