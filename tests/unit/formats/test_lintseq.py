"""The Format lintseq: the paper's text in and out."""

from __future__ import annotations

import pytest

from linewise.edits import EditLog, Hunk, HunkCompleted, apply_hunk, join_lines, split_lines
from linewise.errors import EditError
from linewise.formats import Cursor, LintSeqFormat

FORMAT = LintSeqFormat()


def text_of(prompt):
    return "".join(segment.text for segment in prompt.segments)


def test_a_new_program_is_asked_for_as_in_the_paper():
    assert (
        text_of(FORMAT.write_prompt(EditLog.open(""), "x.py", "square a number"))
        == "square a number\n<|diff|>"
    )


def test_a_document_is_shown_as_one_insertion_and_its_edits_as_diffs():
    log = EditLog.open("def area(r):\n    return r * r").record(Hunk(1, (), ("    # of a square",)))
    assert text_of(FORMAT.write_prompt(log, "x.py", "go on")) == (
        "go on\n"
        "<|diff|>@@ -0,0 +1,2 @@\n+def area(r):\n+    return r * r\n"
        "<|diff|>@@ -1,0 +2 @@\n+    # of a square\n"
        "<|diff|>"
    )


def test_its_text_applies_edit_by_edit():
    parser = FORMAT.parser(())
    text = "@@ -0,0 +1,2 @@\n+def area(r):\n+    return r * r\n<|diff|>@@ -1,0 +2 @@\n+    # of a square"
    lines = ()
    for event in [*parser.feed(text), *parser.finish()]:
        if isinstance(event, HunkCompleted):
            lines = apply_hunk(lines, event.hunk)
    assert join_lines(lines) == "def area(r):\n    # of a square\n    return r * r"


def test_at_a_cursor_the_header_and_the_typed_part_are_given():
    prompt = FORMAT.inline_prompt(EditLog.open("a = 1\nret"), "x.py", Cursor(1, 3))
    assert prompt.given + prompt.healed == "@@ -2 +2 @@\n-ret\n+ret"
    parser = FORMAT.parser(split_lines("a = 1\nret"))
    events = [*parser.feed(prompt.given + prompt.healed + "urn a"), *parser.finish()]
    assert [e.hunk for e in events if isinstance(e, HunkCompleted)] == [Hunk(1, ("ret",), ("return a",))]


def test_a_line_being_typed_is_the_hunk_in_progress_not_part_of_the_document():
    log = EditLog.open("a = 1\nb = 2").typed(Hunk(1, (), ("x = ",)))
    prompt = FORMAT.inline_prompt(log, "x.py", Cursor(1, 4))
    assert prompt.given + prompt.healed == "@@ -1,0 +2 @@\n+x = "
    assert "x" not in text_of(prompt).split("<|diff|>")[1]


def test_a_window_of_a_file_is_refused():
    with pytest.raises(EditError, match="window"):
        FORMAT.parser(("a",), 7)
