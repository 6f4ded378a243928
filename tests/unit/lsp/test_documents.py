"""An editor's changes, followed line by line or by the whole text: the same either way."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types

from linewise.edits import PositionEncoding, PositionMap
from linewise.errors import EditError
from linewise.lsp.documents import OpenDocument

PIECE = st.sampled_from(["a", "😀", "é", "\n", "\r\n", "\r", "\n\n", ""])
TEXT = st.lists(PIECE, max_size=12).map("".join)
LINE = st.integers(0, 6)
CHARACTER = st.integers(0, 4)


@st.composite
def changes(draw: st.DrawFn) -> list[types.TextDocumentContentChangeEvent]:
    """What one notification may bring."""
    found: list[types.TextDocumentContentChangeEvent] = []
    for _ in range(draw(st.integers(1, 3))):
        text = draw(TEXT)
        if draw(st.integers(0, 9)) == 0:
            found.append(types.TextDocumentContentChangeWholeDocument(text))
            continue
        start, end = sorted([(draw(LINE), draw(CHARACTER)), (draw(LINE), draw(CHARACTER))])
        between = types.Range(types.Position(*start), types.Position(*end))
        found.append(types.TextDocumentContentChangePartial(range=between, text=text))
    return found


def opened(text: str, encoding: PositionEncoding = PositionEncoding.UTF_16) -> OpenDocument:
    return OpenDocument(types.TextDocumentItem("file:///a.py", "python", 1, text), encoding)


def followed(
    text: str, notifications: list[list[types.TextDocumentContentChangeEvent]], encoding: PositionEncoding
) -> list[object]:
    """What the document is after each notification, and where its places are."""
    document, seen = opened(text, encoding), list[object]()
    for version, notification in enumerate(notifications, 2):
        try:
            document.change(notification, version)
        except EditError as error:
            seen.append(str(error))
        seen.append(document.document.snapshot().lines)
        for line in range(4):
            try:
                cursor = document.cursor(types.Position(line, 2))
            except EditError as error:
                seen.append(str(error))
            else:
                seen += [cursor, document.columns(cursor.line, 0, cursor.column)]
    return seen


@settings(deadline=None, max_examples=300)
@given(TEXT, st.lists(changes(), max_size=4), st.sampled_from(PositionEncoding))
def test_both_ways_give_the_same_document(
    text: str, notifications: list[list[types.TextDocumentContentChangeEvent]], encoding: PositionEncoding
) -> None:
    by_line = followed(text, notifications, encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenDocument, "_lines", lambda self: None)
        assert followed(text, notifications, encoding) == by_line


def test_a_keystroke_does_not_read_the_whole_text(monkeypatch: pytest.MonkeyPatch) -> None:
    document = opened("x = 1\r\n" * 5000)
    monkeypatch.setattr(PositionMap, "__init__", lambda self, text: pytest.fail("the whole text was read"))
    for column, typed in enumerate(["t", "o", "\r\n"]):
        place = types.Position(2500, column)
        change = types.TextDocumentContentChangePartial(range=types.Range(place, place), text=typed)
        document.change([change], 2 + column)
    assert document.document.snapshot().lines[2500:2502] == ("to\r", "x = 1\r")
    assert document.cursor(types.Position(2500, 9)).column == 2
    assert document.columns(2500, 1, 2).end == types.Position(2500, 2)
