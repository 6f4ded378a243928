"""Document: who changed what since when."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewise.assistant import Document, NoVerifier, StaleError, complete, write
from linewise.edits import Hunk, apply_hunk, hunk_to_range, join_lines, split_lines
from linewise.errors import ConflictError, EditError
from linewise.formats import Cursor, EditLogFormat

LINES = st.lists(st.sampled_from(["", "a", "b", "  c", "d\r", "é𝄞"]), max_size=8)
TEXT = LINES.map("\n".join)


def text_of(document: Document) -> str:
    return join_lines(document.snapshot().lines)


def typed(document: Document, line: int, column: int, text: str) -> None:
    before = join_lines(document.snapshot().lines[:line])
    offset = len(before) + (line > 0) + column
    document.change(offset, offset, text)


def test_typing_on_a_line_is_one_hunk_in_progress():
    document = Document("a.py", "one\ntwo\n")
    for column, character in enumerate("three"):
        typed(document, 2, column, character)
    log = document.snapshot().log
    assert text_of(document) == "one\ntwo\nthree"
    assert log.edits == ()
    assert log.pending is not None
    assert document.revision == 5


def test_closing_makes_typing_an_edit_and_leaves_the_text():
    document = Document("a.py", "one\n")
    typed(document, 0, 3, "!")
    document.close_pending()
    state = document.snapshot()
    assert state.log.edits == (Hunk(0, ("one",), ("one!",)),)
    assert state.log.pending is None
    assert state.revision == 1


def test_a_landed_hunk_is_logged_with_its_run_up_and_returned_without():
    document = Document("a.py", "one\ntwo")
    given_hunk = Hunk(0, ("one",), ("one", "and a half"))
    assert document.land(given_hunk, 0) == Hunk(1, (), ("and a half",))
    assert text_of(document) == "one\nand a half\ntwo"
    assert document.snapshot().log.edits == (given_hunk,)


def test_a_hunk_moves_with_the_lines_typed_above_it():
    document = Document("a.py", "one\ntwo")
    document.change(0, 0, "zero\n")
    assert document.land(Hunk(1, ("two",), ("TWO",)), 0) == Hunk(2, ("two",), ("TWO",))
    assert text_of(document) == "zero\none\nTWO"


def test_a_hunk_that_overlaps_the_users_change_is_a_conflict():
    document = Document("a.py", "one\ntwo")
    document.change(4, 7, "deux")
    with pytest.raises(ConflictError):
        document.land(Hunk(1, ("two",), ("TWO",)), 0)
    assert text_of(document) == "one\ndeux"


def test_a_hunk_that_never_fitted_is_an_edit_error():
    document = Document("a.py", "one")
    with pytest.raises(EditError):
        document.rebase(Hunk(0, ("uno",), ("two",)), 0)


@pytest.mark.parametrize("revision", [-1, 5])
def test_an_unknown_revision_is_a_conflict(revision: int):
    with pytest.raises(ConflictError, match="no longer known"):
        Document("a.py", "one").rebase(Hunk(0, (), ("zero",)), revision)


def test_a_landing_made_before_the_last_change_is_stale():
    document = Document("a.py", "one")
    landing = document.rebase(Hunk(1, (), ("two",)), 0)
    document.change(0, 0, "#")
    with pytest.raises(StaleError):
        document.commit(landing)
    with pytest.raises(StaleError):
        document.expect(landing)
    assert text_of(document) == "#one"


def test_an_expected_change_is_the_assistants_when_it_comes_back():
    document = Document("a.py", "one\ntwo")
    hunk = Hunk(0, ("one",), ("one", "1.5"))
    landing = document.rebase(hunk, 0)
    document.expect(landing)
    document.change(*hunk_to_range(landing.before, landing.hunk))
    log = document.snapshot().log
    assert log.edits == (hunk,)
    assert log.pending is None


def test_an_expected_change_that_comes_in_pieces_is_recognised_as_one():
    document = Document("a.py", "one\ntwo")
    hunk = Hunk(0, ("one", "two"), ("eins", "zwei"))
    document.expect(document.rebase(hunk, 0))
    document.changes([(0, 3, "eins"), (5, 8, "zwei")])
    assert document.snapshot().log.edits == (hunk,)
    assert document.revision == 1


def test_what_the_user_types_before_an_expected_change_stays_the_users():
    document = Document("a.py", "one\ntwo\n")
    landing = document.rebase(Hunk(0, ("one",), ("ONE",)), 0)
    document.expect(landing)
    typed(document, 2, 0, "three")
    document.change(0, 3, "ONE")
    log = document.snapshot().log
    assert text_of(document) == "ONE\ntwo\nthree"
    assert log.edits == (Hunk(2, ("",), ("three",)), Hunk(0, ("one",), ("ONE",)))


def test_a_refused_change_is_expected_no_longer():
    document = Document("a.py", "one")
    document.expect(document.rebase(Hunk(0, ("one",), ("two",)), 0))
    document.forget_expected()
    document.change(0, 3, "two")
    assert document.snapshot().log.pending == Hunk(0, ("one",), ("two",))


def test_replacing_the_text_starts_the_log_again():
    document = Document("a.py", "one")
    document.change(0, 0, "#")
    document.replace("other")
    state = document.snapshot()
    assert (state.log.snapshot, state.log.edits, state.revision) == (("other",), (), 2)
    document.replace("other")
    assert document.revision == 2


def test_a_bad_range_changes_nothing():
    document = Document("a.py", "one")
    with pytest.raises(EditError):
        document.changes([(0, 0, "x"), (99, 99, "y")])
    assert (text_of(document), document.revision) == ("one", 0)


def test_a_long_log_is_folded_by_half_at_a_time():
    document = Document("a.py", "")
    folds = 0
    for number in range(600):
        snapshot = document.snapshot().log.snapshot
        document.land(Hunk(len(document.snapshot().lines), (), (f"line {number}",)), document.revision)
        folds += document.snapshot().log.snapshot != snapshot
    assert folds == 1
    assert len(document.snapshot().lines) == 600


@settings(deadline=None)
@given(TEXT, st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), TEXT), max_size=5))
def test_changes_are_those_of_the_text(text: str, changes: list[tuple[float, float, str]]):
    document = Document("a.py", text)
    for first, second, new in changes:
        start, end = sorted((int(first * len(text)), int(second * len(text))))
        document.change(start, end, new)
        text = text[:start] + new + text[end:]
        assert text_of(document) == text


@settings(deadline=None)
@given(LINES, st.data())
def test_a_hunk_lands_the_same_whether_committed_or_echoed_by_an_editor(
    lines: list[str], data: st.DataObject
):
    text = "\n".join(lines)
    before = split_lines(text)
    start = data.draw(st.integers(0, len(before)))
    end = data.draw(st.integers(start, len(before)))
    added = tuple(data.draw(LINES))
    hunk = Hunk(start, before[start:end], added)
    committed, echoed = Document("a.py", text), Document("a.py", text)
    landing = committed.rebase(hunk, 0)
    echoed.expect(echoed.rebase(hunk, 0))
    echoed.change(*hunk_to_range(before, landing.hunk))
    assert landing.changes_nothing == (join_lines(landing.after) == text)
    if not landing.changes_nothing:
        committed.commit(landing)
        assert committed.snapshot().lines == apply_hunk(before, hunk)
    assert committed.snapshot() == echoed.snapshot()


def test_two_threads_lose_no_change():
    document = Document("a.py", "")

    def add(word: str) -> None:
        for _ in range(200):
            document.change(0, 0, f"{word}\n")

    threads = [threading.Thread(target=add, args=(word,)) for word in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(split_lines(text_of(document))) == sorted(["", *["left"] * 200, *["right"] * 200])
    assert document.revision == 400


def test_requests_tell_their_document_and_how_urgent_they_are(scripted):
    engine, documents = scripted(["x\n", "@1,0\ny\n"]), [Document("a.py", "a\n"), Document("a.py", "a\n")]
    for document in documents:
        complete(document, Cursor(0, 1), engine=engine, format=EditLogFormat())
        list(write(document, "y", engine=engine, format=EditLogFormat(), verifier=NoVerifier()))
    told = [(request.slot, request.priority) for request in engine.requests]
    assert set(told) == {(one.key, priority) for one in documents for priority in ("inline", "write")}
    assert documents[0].key != documents[1].key
