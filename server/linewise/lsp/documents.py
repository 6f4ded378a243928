"""The open documents: what the editor says of their text becomes changes of assistant Documents.

Used on the event loop's thread only; the `Document` inside is what other threads may use.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import PurePath
from urllib.parse import unquote, urlsplit

from lsprotocol import types
from pygls.uris import to_fs_path

from linewise.assistant.document import Document, Landing
from linewise.edits import (
    Hunk,
    LinePositions,
    Lines,
    Place,
    PositionEncoding,
    PositionMap,
    hunk_to_range,
    join_lines,
    replacement,
)
from linewise.errors import LinewiseError
from linewise.formats.protocol import Cursor
from linewise.lsp.generation import Cancel

logger = logging.getLogger(__name__)


class UnknownDocumentError(LinewiseError):
    """A request names a document that the editor has not opened."""


BLANK = "\n"
"""What some editors call an empty file, Neovim among them. To the assistant it is the empty text: otherwise
whatever it writes there would be followed by a blank line that nobody wrote."""


class OpenDocument:
    """One document that the editor has open, at the version that it last told."""

    def __init__(self, item: types.TextDocumentItem, encoding: PositionEncoding) -> None:
        self.uri = item.uri
        self.version = item.version
        self.is_open = True
        self._is_blank = item.text == BLANK
        self.document = Document(_name_of(item), "" if self._is_blank else item.text)
        self.running: set[Cancel] = set()
        """What generates for this document; all of it ends when the document closes."""
        self._encoding = encoding
        self._positions: tuple[int, bool, str, PositionMap] | None = None
        self._by_lines: tuple[int, bool] | None = None
        """Whether LSP's lines are ours, at a revision."""
        self._changed = asyncio.Event()

    def change(self, changes: Sequence[types.TextDocumentContentChangeEvent], version: int) -> None:
        """The editor's text changed. Raises EditError when it cannot be the text that is known here."""
        by_lines = self._by_lines_only(changes)
        if by_lines is not None:
            self.document.edited(partial(self._hunk, change) for change in by_lines)
            self._by_lines = (self.document.revision, True)
        else:
            self._change_text(changes)
        self.version = version
        self._wake()

    def _by_lines_only(
        self, changes: Sequence[types.TextDocumentContentChangeEvent]
    ) -> list[types.TextDocumentContentChangePartial] | None:
        """The changes, if they keep LSP's lines ours and leave so much that the file is not blank."""
        if self._lines() is None:
            return None
        found, removed = [], 0
        for change in changes:
            if not isinstance(change, types.TextDocumentContentChangePartial):
                return None
            if "\r" in change.text.replace("\r\n", ""):
                return None
            found.append(change)
            removed += change.range.end.line - change.range.start.line
        return found if removed + 2 < len(self.document.snapshot().lines) else None

    def _hunk(self, change: types.TextDocumentContentChangePartial, lines: Lines) -> Hunk:
        positions = LinePositions(lines)
        start, end = (
            positions.place(one.line, one.character, self._encoding)
            for one in (change.range.start, change.range.end)
        )
        return replacement(lines, start, end, change.text)

    def _change_text(self, changes: Sequence[types.TextDocumentContentChangeEvent]) -> None:
        """The same for every text and change, at the cost of reading the whole text."""
        text, positions = self._text(), self._map()
        offsets: list[tuple[int, int, str]] = []
        for index, change in enumerate(changes):
            if index > 0:  # each counts in the text that the one before left
                positions = PositionMap(text)
            if isinstance(change, types.TextDocumentContentChangePartial):
                start = self._offset(positions, change.range.start)
                end = self._offset(positions, change.range.end)
            else:
                start, end = 0, len(text)
            offsets.append((start, end, change.text))
            text = text[:start] + change.text + text[end:]
        was_blank, becomes_blank = self._is_blank, text == BLANK
        if was_blank or becomes_blank:
            length = 0 if was_blank else len(self._text())
            offsets = [(0, length, "" if becomes_blank else text)]
        self.document.changes(offsets)
        self._is_blank = becomes_blank

    def close(self) -> None:
        """The editor closed the document: end whatever runs for it."""
        self.is_open = False
        for cancel in self.running:
            cancel.set()
        self._wake()

    async def newer_than(self, version: int, seconds: float) -> bool:
        """Wait until the editor told of a version after `version`; false when it did not in time."""

        async def wait() -> None:
            while self.is_open and self.version <= version:
                await self._changed.wait()

        try:
            await asyncio.wait_for(wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True

    def cursor(self, position: types.Position) -> Cursor:
        """An LSP position as a line and column of the assistant. Raises EditError outside the text."""
        lines = self._lines()
        if lines is not None:
            return Cursor(*lines.place(position.line, position.character, self._encoding))
        text, positions = self._text(), self._map()
        offset = self._offset(positions, position)
        if self._is_blank:
            return Cursor(0, 0)
        line_start = text.rfind("\n", 0, offset) + 1
        return Cursor(text.count("\n", 0, offset), offset - line_start)

    def columns(self, line: int, start: int, end: int) -> types.Range:
        """The LSP range of columns `start` to `end` (code points) of the assistant's `line`."""
        positions = self._lines()
        if positions is not None:
            first, last = (positions.position(Place(line, at), self._encoding) for at in (start, end))
            return types.Range(types.Position(*first), types.Position(*last))
        lines = self.document.snapshot().lines
        line_offset = sum(map(len, lines[:line])) + line
        return self._range(line_offset + start, line_offset + end)

    def text_edit(self, landing: Landing) -> types.TextEdit:
        """The change of the editor's text that `landing` means; it must be fresh."""
        change = hunk_to_range(landing.before, landing.hunk)
        end = len(BLANK) if self._is_blank else change.end
        return types.TextEdit(range=self._range(change.start, end), new_text=change.text)

    def _range(self, start: int, end: int) -> types.Range:
        positions = self._map()
        first, last = (positions.position(offset, self._encoding) for offset in (start, end))
        return types.Range(types.Position(*first), types.Position(*last))

    def _offset(self, positions: PositionMap, position: types.Position) -> int:
        return positions.offset(position.line, position.character, self._encoding)

    def _lines(self) -> LinePositions | None:
        """The text's positions by line; None where its lines are not those that LSP counts."""
        state = self.document.snapshot()
        if self._by_lines is None or self._by_lines[0] != state.revision:
            self._by_lines = (state.revision, LinePositions.is_possible(state.lines))
        return LinePositions(state.lines) if self._by_lines[1] and not self._is_blank else None

    def _text(self) -> str:
        """The editor's text."""
        return self._indexed()[2]

    def _map(self) -> PositionMap:
        return self._indexed()[3]

    def _indexed(self) -> tuple[int, bool, str, PositionMap]:
        state = self.document.snapshot()
        if self._positions is None or self._positions[:2] != (state.revision, self._is_blank):
            text = BLANK if self._is_blank else join_lines(state.lines)
            self._positions = (state.revision, self._is_blank, text, PositionMap(text))
        return self._positions

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class OpenDocuments:
    """All documents that the editor has open, by URI."""

    def __init__(self, closed: Callable[[str], None] | None = None) -> None:
        """`closed` is told the key of each document that the editor has closed."""
        self.encoding = PositionEncoding.UTF_16
        self._closed = closed
        self._documents: dict[str, OpenDocument] = {}

    def open(self, item: types.TextDocumentItem) -> OpenDocument:
        """The editor opened a document; one that it had open already starts again."""
        self.close(item.uri)
        document = self._documents[unquote(item.uri)] = OpenDocument(item, self.encoding)
        return document

    def close(self, uri: str) -> None:
        """The editor closed a document."""
        document = self._documents.pop(unquote(uri), None)
        if document is not None:
            document.close()
            if self._closed is not None:
                self._closed(document.document.key)

    def get(self, uri: str) -> OpenDocument:
        """The open document at `uri`. Raises UnknownDocumentError."""
        document = self._documents.get(unquote(uri))
        if document is None:
            raise UnknownDocumentError(f"{uri} is not open; open the document in the editor first.")
        return document

    def __iter__(self) -> Iterator[OpenDocument]:
        return iter(tuple(self._documents.values()))


def _name_of(item: types.TextDocumentItem) -> str:
    """The name that the model sees and the verifier goes by: no folder, which is nobody's business.

    A document without a suffix, such as one that was never saved, gets the one of its language.
    """
    path = to_fs_path(item.uri) or unquote(urlsplit(item.uri).path)
    name = PurePath(path).name or "untitled"
    return f"{name}.py" if item.language_id == "python" and not PurePath(name).suffix else name
