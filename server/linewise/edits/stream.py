r"""Reads `<|diff|>` text while it arrives: any pieces in, the same events out."""

from __future__ import annotations

from collections.abc import Sequence

from linewise.edits.events import Event
from linewise.edits.lenient import END_CHARACTERS, LenientReader
from linewise.edits.strict import StrictReader


class DiffParser:
    """The StreamingParser of `<|diff|>` text, which may or may not begin with the diff token.

    `lines` are the document before the first edit; each completed edit moves them on, so every hunk is
    given in the state before its own edit. Strict, removed lines must match that state; after a fault
    the text is skipped up to the next line that begins with the diff token, and hunks completed before
    the fault stand: they come as a completed edit just before the Malformed event. Lenient, the text is
    read as the LintSeq paper's resolver does (see `linewise.edits.lenient`).
    """

    def __init__(self, lines: Sequence[str], lenient: bool = False) -> None:
        self._reader = LenientReader(len(lines)) if lenient else StrictReader(lines)
        self._lenient = lenient
        self._line: list[str] = []  # pieces of the line in progress
        self._held = ""  # may be the end of the text, where a lenient reader does not want it

    def feed(self, text: str) -> list[Event]:
        """Read the next piece of text; return the events it completes."""
        if self._lenient:
            text = self._held + text
            kept = text.rstrip(END_CHARACTERS)
            self._held = text[len(kept) :]
            text = kept
        events: list[Event] = []
        *whole, last = text.split("\n")
        for piece in whole:
            events += self._reader.read("".join((*self._line, piece)))
            self._line.clear()
        self._line.append(last)
        return events

    def finish(self) -> list[Event]:
        """Say that the text has ended; return the last events. Nothing may be fed afterwards."""
        return self._reader.finish("".join(self._line))
