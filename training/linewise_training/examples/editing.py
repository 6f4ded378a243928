"""Editing in a real file: parts of it are taken away, and the edits that bring them back are learned.

The snapshot is a window of a file without some spans of lines; the log brings the spans back one by one,
from the top or in any order. One of them may be **in progress**: header, run-up of any length and the typed
part of a line are given, the rest is learned, which is inline completion. At a cursor within a line, what
follows the cursor stays (text is put in its middle), goes, or was never there: the model learns all three.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from dataclasses import dataclass

from linewise.edits import Edit, EditLog, Hunk, Lines, apply_hunk
from linewise.formats.edit_log import DIFF, END, INLINE_RUN_UP, hunk_text, log_segments
from linewise_training.examples.example import NO_LOSS, Example, Piece, read_only
from linewise_training.examples.writing import edit_pieces, instruction_pieces


@dataclass(frozen=True, slots=True)
class Window:
    """Lines of a file from its 0-based line `first_line` on."""

    lines: Lines
    first_line: int


def window_of(lines: Sequence[str], max_characters: int, rng: random.Random) -> Window:
    """A random window of `lines` of at most `max_characters`, often from the file's start."""
    start = 0 if rng.random() < 0.3 else rng.randrange(max(1, len(lines)))
    budget = max_characters * rng.uniform(0.3, 1.0)
    end, size = start, 0
    while end < len(lines) and size + len(lines[end]) + 1 <= budget:
        size += len(lines[end]) + 1
        end += 1
    return Window(tuple(lines[start:end]), start)


def editing_example(
    path: str, lines: Sequence[str], max_characters: int, rng: random.Random
) -> Example | None:
    """An edit log of a window of a file, with one hunk in progress two times in three; None if too short."""
    window = window_of(lines, max_characters, rng)
    if len(window.lines) < 4:
        return None
    spans = _spans(window.lines, rng)
    order = spans if rng.random() < 0.5 else rng.sample(spans, len(spans))
    cursor = _cursor_in(window.lines[slice(*order[-1])], rng) if rng.random() < 0.67 else None
    taken = {i for start, end in spans for i in range(start, end)}
    shown = {i: line for i, line in enumerate(window.lines) if i not in taken}
    if cursor and cursor.there is not None:
        shown[order[-1][0]] = cursor.there
    snapshot = "".join(f"{shown[i]}\n" for i in sorted(shown))
    log = EditLog.open(snapshot, first_line=window.first_line)
    state = log.lines
    pieces = read_only(log_segments(log, path))
    for start, end in order:
        place = sum(i < start for i in shown)
        added = window.lines[start:end]
        if cursor and start == order[-1][0]:
            replaced = () if cursor.there is None else (cursor.there,)
            pieces += _in_progress(state, Hunk(place, replaced, added), cursor, window.first_line, rng)
        else:
            hunk = Hunk(place, (), added)
            pieces += [Piece(DIFF, special=True), Piece(hunk_text(state, hunk, window.first_line))]
            state = apply_hunk(state, hunk)
        shown |= dict(enumerate(added, start))
    return (*pieces, Piece(END, special=True))


def function_example(path: str, text: str, max_characters: int, rng: random.Random) -> Example | None:
    """A window of a file without one documented function, its docstring as instruction, and the edit.

    None where the file has no such function, or none that fits `max_characters` with its surroundings.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    documented = [
        (node, doc)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and (doc := ast.get_docstring(node))
        and 3 <= (node.end_lineno or 0) - node.lineno <= 30
    ]
    if not documented:
        return None
    node, doc = rng.choice(documented)
    lines = text.split("\n")
    start = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
    end = node.end_lineno or node.lineno
    first = max(0, start - rng.randrange(40))
    last = end + rng.randrange(20)
    if sum(len(line) + 1 for line in lines[first:last]) > max_characters:
        return None
    sentence = " ".join(doc.split("\n\n")[0].split()).rstrip(".")
    snapshot = (*lines[first:start], *lines[end:last])
    log = EditLog.open("\n".join(snapshot).rstrip("\n") + "\n", first_line=first)
    if len(log.lines) - 1 < start - first:
        return None
    edit = Edit((Hunk(start - first, (), tuple(lines[start:end])),))
    written = edit_pieces(log.lines, [edit], first)
    return (*read_only(log_segments(log, path)), *instruction_pieces(sentence[:200]), *written)


def _spans(lines: Lines, rng: random.Random) -> list[tuple[int, int]]:
    """One to four disjoint spans of lines to take away, in order; short ones are the commonest."""
    spans: list[tuple[int, int]] = []
    position = 0
    for start in sorted(rng.sample(range(len(lines)), min(rng.randint(1, 4), len(lines)))):
        length = min(1 + int(rng.expovariate(1 / 3)), 16)
        end = min(start + length, len(lines))
        if start >= position and any(line.strip() for line in lines[start:end]):
            spans.append((start, end))
            position = end + 1
    return spans or [(0, 1)]


@dataclass(frozen=True, slots=True)
class _Cursor:
    """A place in the lines of a hunk; `there` is what already stands of its first line, if anything."""

    row: int
    column: int
    there: str | None


def _cursor_in(added: Lines, rng: random.Random) -> _Cursor:
    row = rng.randrange(len(added))
    line = added[row]
    indent = len(line) - len(line.lstrip())
    column = rng.choice((0, indent, rng.randint(indent, len(line)), rng.randint(indent, len(line))))
    kind = rng.random()
    if row or kind < 0.5:
        return _Cursor(row, column, None)  # new lines, typed one after another
    if kind < 0.75:
        return _Cursor(row, column, line[:column])  # the line stands there up to the cursor
    tail = line[rng.randint(column, len(line)) :]
    return _Cursor(row, column, line[:column] + tail)  # text is missing in the middle of the line


def _in_progress(
    state: Lines, hunk: Hunk, cursor: _Cursor, first_line: int, rng: random.Random
) -> list[Piece]:
    """The hunk with a run-up of random length, learned from the cursor on."""
    longest = INLINE_RUN_UP if rng.random() < 0.5 else rng.randint(1, INLINE_RUN_UP)
    run_up = min(longest, hunk.start)
    header = f"@{first_line + hunk.start - run_up + 1},{run_up + len(hunk.removed)}\n"
    typed = (*state[hunk.start - run_up : hunk.start], *hunk.added[: cursor.row])
    given = header + "".join(f"{line}\n" for line in typed)
    rest = "".join(f"{line}\n" for line in hunk.added[cursor.row :])
    return [
        Piece(DIFF, special=True, learned_from=NO_LOSS),
        Piece(given + rest, learned_from=len(given) + cursor.column),
    ]
