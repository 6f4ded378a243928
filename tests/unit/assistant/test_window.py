"""Documents too long for the model: what is shown, where it maps back to, how rarely it moves."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewise.assistant import Document, NoVerifier, complete, write
from linewise.assistant.document import DocumentState
from linewise.assistant.window import restrict, window
from linewise.edits import EditLog, Hunk, apply_hunk, join_lines
from linewise.errors import EngineError
from linewise.formats import Cursor, EditLogFormat

BIG = "".join(f"line_{number} = {number}\n" for number in range(100_000))


def state_of(log: EditLog) -> DocumentState:
    return DocumentState(0, log, log.lines)


@st.composite
def logs(draw: st.DrawFn) -> EditLog:
    words = st.sampled_from(["a", "b", "c", ""])
    log = EditLog.open(draw(st.lists(words, min_size=1, max_size=30)))
    for _ in range(draw(st.integers(0, 8))):
        start = draw(st.integers(0, len(log.lines)))
        end = draw(st.integers(start, min(len(log.lines), start + 3)))
        hunk = Hunk(start, log.lines[start:end], tuple(draw(st.lists(words, max_size=3))))
        log = log.typed(hunk) if draw(st.booleans()) else log.record(hunk)
    return log


@settings(deadline=None)
@given(logs(), st.integers(0, 30), st.integers(0, 10))
def test_a_window_shows_the_documents_own_lines_at_its_offset(log: EditLog, first: int, length: int):
    view = restrict(state_of(log), first, first + length)
    shown = view.log.lines
    if first + length < len(log.snapshot):
        assert shown[-1] == ""
        shown = shown[:-1]
    assert log.lines[view.offset : view.offset + len(shown)] == shown


@settings(deadline=None)
@given(logs(), st.integers(0, 30), st.integers(0, 10), st.data())
def test_a_hunk_of_the_window_does_outside_what_it_does_inside(
    log: EditLog, first: int, length: int, data: st.DataObject
):
    view = restrict(state_of(log), first, first + length)
    ends_before = first + length < len(log.snapshot)
    shown = len(view.log.lines) - ends_before
    start = data.draw(st.integers(0, shown))
    end = data.draw(st.integers(start, shown))
    hunk = Hunk(start, view.log.lines[start:end], ("new",))
    whole = apply_hunk(log.lines, view.outward(hunk))
    inside = apply_hunk(view.log.lines, hunk)
    inside = inside[:-1] if ends_before else inside
    assert whole[view.offset : view.offset + len(inside)] == inside
    assert len(whole) == len(log.lines) + hunk.growth


def test_an_edit_outside_moves_the_window_and_an_edit_inside_is_shown_as_an_edit():
    log = EditLog.open([f"{n}" for n in range(40)])
    before = window(state_of(log), 20, 4).log
    log = log.record(Hunk(0, (), ("new", "lines"))).record(Hunk(22, ("20",), ("twenty",)))
    view = window(state_of(log), 22, 4)
    assert view.log.snapshot == before.snapshot
    assert view.log.first_line == before.first_line
    assert [hunk.added for hunk in view.log.edits] == [("twenty",)]
    assert log.lines[view.offset] == view.log.lines[0] == "16"


def test_the_window_stays_while_the_place_stays_in_its_block():
    log = EditLog.open([f"{n}" for n in range(400)])
    windows = [window(state_of(log), line, 16).log.first_line for line in range(400)]
    moves = sum(a != b for a, b in itertools.pairwise(windows))
    assert moves == 400 // 16 - 2
    assert all(first <= line < first + 48 for line, first in enumerate(windows))


def test_a_completion_in_a_hundred_thousand_lines_shows_a_window_that_fits(scripted):
    document, engine = Document("big.py", BIG), scripted(["e_70000\n"], context_length=2048)
    place = BIG.index("line_70000 =")
    document.change(place, place, "lin\n")
    result = complete(document, Cursor(70_000, 3), engine=engine, format=EditLogFormat())
    assert result is None or result.line == 70_000
    prompt = engine.prompts()[0]
    assert len(engine.tokenize(engine.requests[0].prompt)) <= 2048
    assert "line_69999 = 69999\n" in prompt and "line_70000 = 70000\n" in prompt
    assert "line_10 =" not in prompt


def test_a_write_into_a_hundred_thousand_lines_lands_at_the_true_line(scripted):
    document, engine = Document("big.py", BIG), scripted([], context_length=2048)
    from linewise.assistant import WriteOptions

    def answer(request):
        return "@50001,1\nline_50000 = 50000\nadded = True\n"

    engine.next_script = answer
    events = write(
        document,
        "add it",
        engine=engine,
        format=EditLogFormat(),
        verifier=NoVerifier(),
        options=WriteOptions(line=50_000, max_edits=1),
    )
    assert [event.hunk for event in events if hasattr(event, "hunk")] == [Hunk(50_001, (), ("added = True",))]
    assert join_lines(document.snapshot().lines) == BIG.replace("50000\n", "50000\nadded = True\n", 1)


def test_edits_that_fill_the_context_are_folded_by_half_once_for_many(scripted):
    document, engine = Document("a.py", "x\n"), scripted(context_length=1024)
    snapshots = []
    for number in range(120):
        document.land(Hunk(number, (), (f"value_{number} = {number}",)), document.revision)
        complete(document, Cursor(number, 0), engine=engine, format=EditLogFormat())
        snapshots.append(document.snapshot().log.snapshot)
    folds = sum(a != b for a, b in itertools.pairwise(snapshots))
    assert 1 <= folds <= 120 // 8


def test_a_line_longer_than_the_context_is_one_clear_error(scripted):
    document = Document("a.py", "x" * 100_000)
    with pytest.raises(EngineError, match=r"line 1 of a\.py are too long"):
        complete(document, Cursor(0, 0), engine=scripted(context_length=512), format=EditLogFormat())
