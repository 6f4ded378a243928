"""Hunks apply only where they fit, and what they did can be undone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewise.edits import (
    Edit,
    EditSequence,
    Hunk,
    apply_edit,
    apply_hunk,
    invert,
    invert_hunk,
    resolve,
    sequential,
)
from linewise.errors import EditError

CHECK = settings.get_profile("edits")
LINES = ("a", "b", "c")


@pytest.mark.parametrize(
    ("lines", "hunk", "after"),
    [
        ((), Hunk(0, (), ("x",)), ("x",)),
        (("",), Hunk(1, (), ("x",)), ("", "x")),
        (LINES, Hunk(0, (), ("x",)), ("x", "a", "b", "c")),
        (LINES, Hunk(3, (), ("x",)), ("a", "b", "c", "x")),
        (LINES, Hunk(1, ("b",), ()), ("a", "c")),
        (LINES, Hunk(0, LINES, ()), ()),
        (LINES, Hunk(1, ("b", "c"), ("b", "x", "c")), ("a", "b", "x", "c")),
    ],
)
def test_a_hunk_replaces_exactly_its_lines(lines, hunk, after):
    assert apply_hunk(lines, hunk) == after


def test_a_hunk_that_does_not_match_names_line_expected_and_found():
    with pytest.raises(EditError, match=r"line 3 should be 'x'.*but is 'c'"):
        apply_hunk(LINES, Hunk(1, ("b", "x"), ()))


@pytest.mark.parametrize("hunk", [Hunk(4, (), ("x",)), Hunk(2, ("c", "d"), ()), Hunk(-1, (), ("x",))])
def test_a_hunk_outside_the_text_is_an_error(hunk):
    with pytest.raises(EditError, match="has only 3"):
        apply_hunk(LINES, hunk)


def test_the_hunks_of_an_edit_count_lines_in_the_state_before_it():
    edit = Edit((Hunk(0, (), ("x", "y")), Hunk(1, ("b",), ()), Hunk(3, (), ("z",))))
    assert apply_edit(LINES, edit) == ("x", "y", "a", "c", "z")


@pytest.mark.parametrize(
    "hunks",
    [
        (Hunk(2, ("c",), ()), Hunk(0, ("a",), ())),
        (Hunk(0, ("a", "b"), ()), Hunk(1, ("b",), ("x",))),
    ],
    ids=["out of order", "overlapping"],
)
def test_hunks_out_of_order_or_overlapping_are_an_error(hunks):
    with pytest.raises(EditError, match="order the hunks"):
        apply_edit(LINES, Edit(hunks))


def test_adjoining_hunks_apply():
    edit = Edit((Hunk(0, ("a",), ("x",)), Hunk(1, ("b",), ()), Hunk(2, (), ("y",)), Hunk(2, (), ("z",))))
    assert apply_edit(LINES, edit) == ("x", "y", "z", "c")


def test_each_edit_of_a_sequence_applies_to_the_state_the_last_one_left():
    sequence = EditSequence((Edit((Hunk(0, (), ("a", "b")),)), Edit((Hunk(1, ("b",), ("c",)),))))
    assert resolve(sequence) == ("a", "c")
    assert resolve(sequence, ("z",)) == ("a", "c", "z")


@CHECK
@given(st.data())
def test_an_inverted_edit_undoes_the_edit(sources, data):
    lines, edit = data.draw(sources.states_and_edits())
    assert apply_edit(apply_edit(lines, edit), invert(edit)) == lines


@CHECK
@given(st.data())
def test_inverting_twice_gives_the_edit_back(sources, data):
    _, edit = data.draw(sources.states_and_edits())
    assert invert(invert(edit)) == edit


@CHECK
@given(st.data())
def test_hunks_put_in_sequence_apply_and_undo_one_by_one(sources, data):
    lines, edit = data.draw(sources.states_and_edits())
    states = [lines]
    for hunk in sequential(edit):
        states.append(apply_hunk(states[-1], hunk))
        assert apply_hunk(states[-1], invert_hunk(hunk)) == states[-2]
    assert states[-1] == apply_edit(lines, edit)
