"""How a running write is shown: in colour for people, as one JSON object a line for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

import click
from rich.console import Console
from rich.text import Text

from linewise.assistant import HunkDropped, HunkLanded, HunkProgress, HunkTurned, WriteDone, WriteEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDINGS: Mapping[str, str] = {
    "complete": "",
    "max_edits": "stopped at the limit of edits",
    "max_tokens": "stopped at the limit of tokens",
    "failures": "stopped: the model found no clean edit to go on with",
    "cancelled": "interrupted; whole edits were kept",
}


class Rendering(Protocol):
    """Shows the events of one write."""

    def show(self, event: WriteEvent) -> None:
        """Show one event; events that the rendering has no form for are passed over."""
        ...


class JsonRendering:
    """One JSON object a line, each written out at once."""

    def show(self, event: WriteEvent) -> None:
        """Print `hunk`, `turned`, `dropped` and `done` events; lines of unfinished hunks are not told."""
        if isinstance(event, HunkLanded):
            hunk = event.hunk
            # null: nobody knows, for the reason that follows.
            verdict = {"clean": None, "unchecked": event.unchecked} if event.unchecked else {"clean": True}
            removed, added = list(hunk.removed), list(hunk.added)
            self._print(event="hunk", start=hunk.start, removed=removed, added=added, **verdict)
        elif isinstance(event, HunkTurned | HunkDropped):
            name = "dropped" if isinstance(event, HunkDropped) else "turned"
            self._print(event=name, reason=event.reason)
        elif isinstance(event, WriteDone):
            seconds = round(event.seconds, 3)
            self._print(
                event="done", edits=event.edits, tokens=event.tokens, seconds=seconds, reason=event.reason
            )

    def _print(self, **fields: object) -> None:
        click.echo(json.dumps(fields, ensure_ascii=True))


class ColourRendering:
    """Hunks as they land, removed lines red and added lines green, then one line of summary."""

    def __init__(self, path: str, console: Console | None = None) -> None:
        self._path = path
        self._unchecked = ""
        self._turned = ""  # why the hunk in progress was last led another way
        self._console = console or Console(highlight=False, soft_wrap=True)

    def show(self, event: WriteEvent) -> None:
        """Print what landed, what was dropped or led another way and why, and the end.

        A hunk may be led another way many times for one reason: that is told once.
        """
        if isinstance(event, HunkTurned):
            if event.reason != self._turned:
                self._line(f"  led another way: {event.reason}", "dim")
            self._turned = event.reason
        elif not isinstance(event, HunkProgress):
            self._turned = ""
        if isinstance(event, HunkLanded):
            hunk = event.hunk
            if event.unchecked != self._unchecked:
                self._unchecked = event.unchecked
                self._line(f"not checked in full: {event.unchecked}", "yellow")
            self._line(f"line {hunk.start + 1}", "bold cyan")
            for line in hunk.removed:
                self._line(f"- {line}", "red")
            for line in hunk.added:
                self._line(f"+ {line}", "green")
        elif isinstance(event, HunkDropped):
            self._line(f"  dropped: {event.reason}", "dim")
        elif isinstance(event, WriteDone):
            speed = event.tokens / event.seconds if event.seconds else 0.0
            edits = f"{event.edits} edit{'' if event.edits == 1 else 's'}"
            ending = ENDINGS[event.reason]
            summary = (
                f"{self._path}: {edits}, {event.tokens} tokens, {event.seconds:.1f} s ({speed:.0f} tokens/s)"
            )
            self._line(f"{summary}{'; ' if ending else ''}{ending}", "bold")

    def _line(self, text: str, style: str) -> None:
        # Generated text must not move the terminal's cursor or change its state.
        shown = "".join(c if c.isprintable() or c == "\t" else "�" for c in text.removesuffix("\r"))
        self._console.print(Text(shown, style=style))
