"""The edit between two states is difflib's; the true change in a hunk has no common head or tail."""

from __future__ import annotations

import difflib
import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from linewise.edits import (
    Edit,
    EditSequence,
    Hunk,
    apply_edit,
    apply_hunk,
    diff,
    format_edit,
    join_lines,
    resolve,
    split_lines,
    trim,
)

CHECK = settings.get_profile("edits")


def unified(before, after):
    return "\n".join(list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:])


@CHECK
@given(st.data())
def test_the_text_of_a_diff_is_what_difflib_writes(sources, data):
    before, after = data.draw(sources.lines), data.draw(sources.lines)
    assert format_edit(diff(before, after)) == unified(before, after)


def test_frequent_lines_are_treated_as_difflib_treats_them():
    # From 200 lines on difflib ignores lines that make up more than 1 % of the text ("autojunk").
    chance = random.Random(7)
    before = [chance.choice(["", "    pass", "    return x", f"v{n}"]) for n in range(600)]
    after = [line for line in before if chance.random() > 0.2]
    assert format_edit(diff(before, after)) == unified(before, after)
    plain = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    assert len([tag for tag, *_ in plain if tag != "equal"]) != len(diff(before, after).hunks)


@CHECK
@given(st.data())
def test_resolving_the_diffs_between_states_gives_the_last_state(sources, data):
    states = [(), *data.draw(st.lists(sources.lines, min_size=1, max_size=5))]
    edits = tuple(diff(before, after) for before, after in pairwise(states))
    assert resolve(EditSequence(edits)) == states[-1]


def test_equal_states_have_an_edit_without_hunks():
    assert diff(("a", "b"), ["a", "b"]) == Edit(())


@CHECK
@given(st.data())
def test_a_trimmed_hunk_makes_the_same_change_and_has_no_common_edge(sources, data):
    lines, edit = data.draw(sources.states_and_edits())
    for hunk in edit.hunks:
        core = trim(hunk)
        assert apply_hunk(lines, core) == apply_hunk(lines, hunk)
        assert core.removed[:1] != core.added[:1] or not core.removed
        assert core.removed[-1:] != core.added[-1:] or not core.removed


def test_trimming_takes_the_run_up_away():
    assert trim(Hunk(4, ("a", "b", "z"), ("a", "x", "y", "z"))) == Hunk(5, ("b",), ("x", "y"))


def test_an_insertion_among_equal_lines_is_the_last_of_them():
    assert trim(Hunk(0, ("", ""), ("", "", ""))) == Hunk(2, (), ("",))


def test_a_hunk_that_changes_nothing_trims_to_no_lines_at_its_end():
    assert trim(Hunk(3, ("a", "b"), ("a", "b"))) == Hunk(5, (), ())


@CHECK
@given(st.data())
def test_splitting_into_lines_loses_nothing(sources, data):
    text = data.draw(sources.text)
    assert join_lines(split_lines(text)) == text


def test_a_diff_tells_the_empty_text_from_an_empty_line_before_more():
    assert apply_edit((), diff((), ("", "a"))) == ("", "a")
    assert diff((), ("",)) == Edit((Hunk(0, (), ("",)),))
