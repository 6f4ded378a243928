"""A hunk moves over a concurrent edit, or says that it cannot."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from linewise.edits import Edit, Hunk, apply_edit, apply_hunk, rebase, rebase_edit, trim
from linewise.errors import ConflictError

CHECK = settings.get_profile("edits")
LINES = ("a", "b", "c", "d", "e")


@CHECK
@given(st.data(), st.booleans())
def test_rebasing_either_way_round_converges(sources, data, ours_last):
    lines, ours, theirs = data.draw(sources.states_and_edits(2))
    try:
        ours_moved = rebase_edit(ours, theirs, after_ties=ours_last)
    except ConflictError:
        with pytest.raises(ConflictError):
            rebase_edit(theirs, ours)
        return
    theirs_moved = rebase_edit(theirs, ours, after_ties=not ours_last)
    theirs_first = apply_edit(apply_edit(lines, theirs), ours_moved)
    assert theirs_first == apply_edit(apply_edit(lines, ours), theirs_moved)


@CHECK
@given(st.data(), st.booleans())
def test_a_run_up_changes_nothing_about_what_a_rebased_hunk_does(sources, data, after_ties):
    lines, ours, theirs = data.draw(sources.states_and_edits(2))
    assume(ours.hunks)
    hunk, state = ours.hunks[0], apply_edit(lines, theirs)
    try:
        moved = rebase(hunk, theirs, after_ties=after_ties)
    except ConflictError:
        with pytest.raises(ConflictError):
            rebase(trim(hunk), theirs)
        return
    bare = rebase(trim(hunk), theirs, after_ties=after_ties)
    assert apply_hunk(state, moved) == apply_hunk(state, bare)


@pytest.mark.parametrize(
    ("hunk", "other", "moved"),
    [
        (Hunk(3, ("d",), ("x",)), Hunk(0, (), ("1", "2")), Hunk(5, ("d",), ("x",))),
        (Hunk(3, ("d",), ("x",)), Hunk(0, ("a",), ()), Hunk(2, ("d",), ("x",))),
        (Hunk(1, ("b",), ("x",)), Hunk(3, ("d",), ()), Hunk(1, ("b",), ("x",))),
        (Hunk(1, ("b",), ("x",)), Hunk(0, ("a",), ("1", "2")), Hunk(2, ("b",), ("x",))),
        (Hunk(1, ("b",), ("x",)), Hunk(2, ("c",), ("1", "2")), Hunk(1, ("b",), ("x",))),
        (Hunk(1, (), ("x",)), Hunk(1, ("b",), ("1", "2")), Hunk(1, (), ("x",))),
        (Hunk(2, (), ("x",)), Hunk(1, ("b",), ("1", "2")), Hunk(3, (), ("x",))),
        (Hunk(1, ("b",), ("x",)), Hunk(1, (), ("1",)), Hunk(2, ("b",), ("x",))),
        (Hunk(1, ("b",), ("x",)), Hunk(2, (), ("1",)), Hunk(1, ("b",), ("x",))),
        (Hunk(1, ("b",), ("x",)), Hunk(1, ("b",), ("b",)), Hunk(1, ("b",), ("x",))),
    ],
    ids=[
        "below insertion",
        "below deletion",
        "above",
        "just below",
        "just above",
        "insertion above",
        "insertion below",
        "below an insertion",
        "above an insertion",
        "no change",
    ],
)
def test_changes_apart_or_adjoining_do_not_conflict(hunk, other, moved):
    assert rebase(hunk, Edit((other,))) == moved


@pytest.mark.parametrize(
    ("hunk", "other"),
    [
        (Hunk(1, ("b", "c"), ("x",)), Hunk(2, ("c", "d"), ("y",))),
        (Hunk(1, ("b",), ("x",)), Hunk(1, ("b",), ("x",))),
        (Hunk(2, (), ("x",)), Hunk(1, ("b", "c"), ())),
        (Hunk(1, ("b", "c"), ()), Hunk(2, (), ("x",))),
    ],
    ids=["overlap", "same change", "insertion into a deletion", "deletion around an insertion"],
)
def test_changes_of_the_same_lines_conflict(hunk, other):
    with pytest.raises(ConflictError, match="at the same time"):
        rebase(hunk, Edit((other,)))


@pytest.mark.parametrize(("after_ties", "start"), [(True, 3), (False, 2)])
def test_the_caller_orders_two_insertions_at_the_same_place(after_ties, start):
    moved = rebase(Hunk(2, (), ("x",)), Edit((Hunk(2, (), ("y",)),)), after_ties=after_ties)
    assert moved == Hunk(start, (), ("x",))


def test_a_run_up_that_did_not_change_stays():
    hunk = Hunk(1, ("b", "c"), ("b", "c", "x"))
    assert rebase(hunk, Edit((Hunk(0, ("a",), ()),))) == Hunk(0, ("b", "c"), ("b", "c", "x"))


def test_a_run_up_that_changed_is_taken_from_the_new_state():
    hunk = Hunk(0, ("a", "b", "c"), ("a", "b", "c", "x"))
    moved = rebase(hunk, Edit((Hunk(1, ("b",), ("B1", "B2")),)))
    assert moved == Hunk(0, ("a", "B1", "B2", "c"), ("a", "B1", "B2", "c", "x"))


def test_lines_inserted_at_the_outer_edge_of_a_run_up_stay_outside():
    hunk = Hunk(1, ("b", "c", "d"), ("b", "x", "d"))
    over = Edit((Hunk(1, (), ("1",)), Hunk(4, (), ("2",))))
    assert rebase(hunk, over) == Hunk(2, ("b", "c", "d"), ("b", "x", "d"))


def test_a_hunk_that_changes_nothing_conflicts_with_nothing():
    hunk = Hunk(1, ("b", "c"), ("x",))
    assert rebase(hunk, Edit((Hunk(1, ("b",), ("b",)),))) == hunk


def test_a_run_up_is_cut_where_a_change_crosses_its_beginning():
    hunk = Hunk(1, ("b", "c"), ("b", "c", "x"))
    moved = rebase(hunk, Edit((Hunk(0, ("a", "b"), ("1", "2", "3")),)))
    assert moved == Hunk(3, ("c",), ("c", "x"))


def test_a_change_of_the_run_up_is_no_conflict_even_for_a_hunk_with_a_common_tail():
    hunk = Hunk(1, ("b", "c", "d"), ("b", "x", "d"))
    over = Edit((Hunk(1, ("b",), ("B",)), Hunk(3, ("d", "e"), ("E",))))
    assert rebase(hunk, over) == Hunk(1, ("B", "c"), ("B", "x"))
    assert apply_hunk(apply_edit(LINES, over), rebase(hunk, over)) == ("a", "B", "x", "E")
