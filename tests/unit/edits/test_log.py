"""The log of a document: what happened stays, states are known, typing is one hunk in progress."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewise.edits import EditLog, Hunk, apply_hunk, change_to_hunk, join_lines, split_lines
from linewise.errors import EditError

CHECK = settings.get_profile("edits")
LOG = EditLog.open("a\nb\nc\nd\ne")


def type_text(log, offset, text):
    """The log after a user typed `text`, key by key, at `offset`."""
    for place, key in enumerate(text, offset):
        log = log.typed(change_to_hunk(log.lines, place, place, key))
    return log


@CHECK
@given(st.data())
def test_the_log_follows_the_document_and_replays_to_it(sources, data):
    lines = data.draw(sources.lines)
    log = EditLog.open(lines)
    for _ in range(data.draw(st.integers(0, 8))):
        edit = data.draw(sources.edits_of(lines))
        if not edit.hunks:
            continue
        hunk = edit.hunks[0]
        lines = apply_hunk(lines, hunk)
        log = data.draw(st.sampled_from([log.record, log.typed]))(hunk)
        if data.draw(st.booleans()):
            log = log.fold(data.draw(st.integers(0, 3)))
        assert log.lines == lines
    again = EditLog(log.snapshot, log.first_line, log.edits, log.pending)
    assert (again.closed_lines, again.lines) == (log.closed_lines, log.lines)
    closed = log.close()
    assert (closed.closed_lines, closed.lines, closed.pending) == (lines, lines, None)


@CHECK
@given(st.data())
def test_typing_anywhere_keeps_the_text_of_the_editor(sources, data):
    text = data.draw(sources.text)
    log = EditLog.open(text)
    for _ in range(data.draw(st.integers(0, 8))):
        start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        new = data.draw(sources.text)
        log = log.typed(change_to_hunk(log.lines, start, end, new))
        text = text[:start] + new + text[end:]
        assert log.lines == split_lines(text)


def test_a_log_can_be_opened_from_text_or_lines_and_in_a_window():
    assert EditLog.open("a\n") == EditLog.open(["a", ""]) == EditLog(("a", ""))
    assert EditLog.open("", first_line=200) == EditLog((), first_line=200)


def test_recorded_hunks_stay_as_given_with_their_run_up():
    hunk = Hunk(1, ("b", "c"), ("b", "x"))
    log = LOG.record(hunk)
    assert log.edits == (hunk,)
    assert join_lines(log.lines) == "a\nb\nx\nd\ne"


def test_recording_closes_the_hunk_in_progress_first():
    log = type_text(LOG, 3, "x").record(Hunk(0, ("a",), ()))
    assert log.edits == (Hunk(1, ("b",), ("bx",)), Hunk(0, ("a",), ()))
    assert log.pending is None


def test_keystrokes_on_a_line_and_on_into_the_next_are_one_hunk():
    log = type_text(LOG, 3, " = 1\nif b:\n    c")
    assert log.edits == ()
    assert log.pending == Hunk(1, ("b",), ("b = 1", "if b:", "    c"))
    assert log.closed_lines == LOG.lines


def test_typing_in_another_place_closes_the_hunk_in_progress():
    log = type_text(type_text(LOG, 1, "x"), 10, "y")
    assert log.edits == (Hunk(0, ("a",), ("ax",)),)
    assert log.pending == Hunk(4, ("e",), ("ey",))


def test_typing_above_and_below_the_hunk_in_progress_extends_it():
    log = LOG.typed(Hunk(2, ("c",), ("c1", "c2"))).typed(Hunk(1, ("b",), ())).typed(Hunk(3, ("d",), ("D",)))
    assert log.pending == Hunk(1, ("b", "c", "d"), ("c1", "c2", "D"))


def test_typing_that_takes_itself_back_leaves_nothing():
    log = type_text(LOG, 3, "xy").typed(Hunk(1, ("bxy",), ("b",)))
    assert log == LOG
    assert log.close() == LOG


def test_a_change_of_nothing_elsewhere_does_not_close_the_hunk_in_progress():
    log = type_text(LOG, 3, "x")
    assert log.typed(Hunk(4, ("e",), ("e",))) == log


def test_a_hunk_in_progress_without_a_change_is_dropped_on_closing():
    assert EditLog(("a",), pending=Hunk(0, ("a",), ("a",))).close() == EditLog(("a",))


def test_folding_moves_old_edits_into_the_snapshot_and_keeps_the_rest():
    log = LOG.record(Hunk(0, ("a",), ())).record(Hunk(0, ("b",), ("B",))).record(Hunk(3, ("e",), ()))
    log = log.typed(Hunk(0, ("B",), ("BB",)))
    folded = log.fold(1)
    assert folded.snapshot == ("B", "c", "d", "e")
    assert folded.edits == (Hunk(3, ("e",), ()),)
    assert (folded.pending, folded.closed_lines, folded.lines) == (log.pending, log.closed_lines, log.lines)
    assert log.fold(3) is log
    with pytest.raises(ValueError, match="cannot keep -1"):
        log.fold(-1)


def test_replacing_the_document_begins_a_new_log():
    assert type_text(LOG, 3, "x").record(Hunk(0, ("a",), ())).replace("z\n") == EditLog(("z", ""))


def test_steps_show_each_edit_with_the_state_before_it():
    first, second = Hunk(0, ("a",), ()), Hunk(0, ("b", "c"), ("b", "x", "c"))
    log = LOG.record(first).record(second).typed(Hunk(0, ("b",), ()))
    assert list(log.steps()) == [(("a", "b", "c", "d", "e"), first), (("b", "c", "d", "e"), second)]


@pytest.mark.parametrize("change", ["record", "typed"])
def test_a_hunk_that_does_not_fit_is_an_error(change):
    with pytest.raises(EditError, match="line 1 should be 'z'"):
        getattr(LOG, change)(Hunk(0, ("z",), ()))


def test_a_log_made_of_edits_that_do_not_fit_is_an_error():
    with pytest.raises(EditError):
        EditLog(("a",), edits=(Hunk(5, (), ("x",)),))


def test_a_log_is_frozen_and_a_changed_copy_knows_its_own_states():
    with pytest.raises(FrozenInstanceError):
        LOG.snapshot = ()  # type: ignore[misc]
    assert replace(LOG, edits=(Hunk(0, ("a",), ()),)).lines == ("b", "c", "d", "e")


def test_a_keystroke_does_not_replay_the_log(monkeypatch):
    applied = []

    def counting(lines, hunk):
        applied.append(hunk)
        return apply_hunk(lines, hunk)

    log = LOG
    for number in range(50):
        log = log.record(Hunk(0, (), (str(number),)))
    monkeypatch.setattr("linewise.edits.log.apply_hunk", counting)
    monkeypatch.setattr("linewise.edits.log._replay", lambda *_: pytest.fail("replayed"))
    log = type_text(log, 0, "xyz")
    assert log.lines[0] == "xyz49"
    assert len(applied) == 3
