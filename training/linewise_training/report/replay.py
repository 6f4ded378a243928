"""Replays one edit sequence in the terminal: each edit as a coloured diff, then the program so far.

Covers programs of any kind: characters that would move the cursor or change the terminal are shown as "�".
Does not judge the states; what a linter thinks of them is for the verifier to say.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from linewise.edits import Edit, Lines, apply_edit, format_edit, split_lines
from linewise.errors import EditError
from linewise_training.report.printable import printable
from linewise_training.report.sequences import WrittenSequence

_DIFF_STYLES = {"@": "cyan", "+": "green", "-": "red"}


def replay(written: WrittenSequence, console: Console) -> Iterator[int]:
    """Print `written` on `console`, edit by edit; yields the number of each edit, from 1, once it is shown.

    Raises EditError, after what could be shown, where the edits do not fit or do not write the program.
    """
    _title(written, console)
    state: Lines = ()
    total = len(written.edits)
    for at, edit in enumerate(written.edits, 1):
        try:
            after = apply_edit(state, edit)
        except EditError as error:
            raise EditError(f"edit {at} of sequence {written.number} does not fit: {error}") from error
        _print(console, "")
        _print(console, f"edit {at} of {total}: {_counts(edit)}", "bold")
        for line in format_edit(edit).split("\n"):
            _print(console, line, _DIFF_STYLES[line[0]])
        _print(console, "")
        _state(after, _added(edit), console)
        state = after
        yield at
    if state != split_lines(written.program):
        raise EditError(
            f"the edits of sequence {written.number} do not write its program; make the file again with "
            "`linewise train lintseq`"
        )


def _title(written: WrittenSequence, console: Console) -> None:
    lines = len(split_lines(written.program))
    _print(
        console,
        f"sequence {written.number}: program {written.source}, sample {written.sample}, "
        f"{_plural(lines, 'line')}, {_plural(len(written.edits), 'edit')}",
        "bold cyan",
    )
    for line in written.instruction.split("\n") if written.instruction else ():
        _print(console, line, "italic")


def _counts(edit: Edit) -> str:
    added = sum(len(hunk.added) for hunk in edit.hunks)
    removed = sum(len(hunk.removed) for hunk in edit.hunks)
    at = _plural(len(edit.hunks), "place")
    return f"{_plural(added, 'line')} in{f', {removed} out' if removed else ''}, at {at}"


def _added(edit: Edit) -> frozenset[int]:
    """The lines that `edit` brings in, by their 0-based number in the state after."""
    numbers: set[int] = set()
    growth = 0
    for hunk in edit.hunks:
        start = hunk.start + growth
        numbers.update(range(start, start + len(hunk.added)))
        growth += hunk.growth
    return frozenset(numbers)


def _state(lines: Lines, added: frozenset[int], console: Console) -> None:
    width = len(str(len(lines)))
    for at, line in enumerate(lines):
        new = at in added
        mark = "+" if new else " "
        _print(console, f"{at + 1:>{width}} {mark} {line}".rstrip(), "green" if new else "")


def _print(console: Console, line: str, style: str = "") -> None:
    console.print(Text(printable(line), style=style), soft_wrap=True, highlight=False)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
