"""Cursors in code that no model has seen: a document as an editor would hold it, and what should come.

Three settings, each drawn repeatably from a seed:

- `gap`: a whole file. The rest of the cursor's line and the line after it are missing; everything else of
  the file stands. The line with the cursor was typed, so it is the hunk in progress.
- `editing`: exactly what training calls `editing`: a window of a file from which spans of lines were taken
  and brought back one by one, the last one in progress at the cursor.
- `commit`: a person's change to a file, in the state before it, its hunks typed up to the cursor in one.

Four kinds of cursor: `line end` (the line stands, the next one is wanted), `new line` (only the indentation
is typed), `mid-line`, and `within line` (text is missing, and the line's tail stands after the cursor).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar, get_args

from linewise.assistant.repetition import telling
from linewise.edits import Edit, Hunk, Lines, apply_hunk, join_lines, sequential, split_lines
from linewise.formats import Cursor
from linewise_training.examples import editing_task

Kind: TypeAlias = Literal["line end", "new line", "mid-line", "within line"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_Source = TypeVar("_Source")
Change: TypeAlias = tuple[int, int, str]
"""Start and end offset in code points of what is replaced, and the new text."""

WINDOW_CHARACTERS = 2400  # of the setting `editing`, as in the embedded model's recipe
_ATTEMPTS = 20  # places tried in one file before it is left out


@dataclass(frozen=True, slots=True)
class CursorTask:
    """A document opened with `opened`, then changed by `typed`, one after another; the cursor in it.

    `wanted` are the lines that should stand there from the cursor's line on, in place of that line alone;
    the first `needed` of them decide whether a suggestion is right. `undone` are lines that the change in
    progress has removed.
    """

    task: str
    setting: str
    kind: Kind
    path: str
    opened: str
    typed: tuple[Change, ...]
    cursor: Cursor
    wanted: Lines
    needed: int
    undone: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A held-out file."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class SourceHistory:
    """A held-out file's way through commits: `edits` each against the state that the last one left."""

    path: str
    start: str
    edits: tuple[Edit, ...]


def gap_tasks(files: Sequence[SourceFile], limit: int, seed: int) -> Iterator[CursorTask]:
    """At most `limit` tasks, every file used once before any is used again, kinds in turn."""
    for number, file, rng in _turns(files, limit, seed, "gap"):
        task = _gap(file, KINDS[number % len(KINDS)], rng)
        if task is not None:
            yield task


def editing_tasks(files: Sequence[SourceFile], limit: int, seed: int) -> Iterator[CursorTask]:
    """At most `limit` tasks of training's kind `editing`, those with something missing at a cursor."""
    for _, file, rng in _turns(files, limit, seed, "editing"):
        task = _editing(file, rng)
        if task is not None:
            yield task


def commit_tasks(histories: Sequence[SourceHistory], limit: int, seed: int) -> Iterator[CursorTask]:
    """At most `limit` tasks from commits that added something."""
    for _, history, rng in _turns(histories, limit, seed, "commit"):
        task = _commit(history, rng)
        if task is not None:
            yield task


def _turns(
    sources: Sequence[_Source], limit: int, seed: int, name: str
) -> Iterator[tuple[int, _Source, random.Random]]:
    order = list(range(len(sources)))
    random.Random(f"{seed} {name}").shuffle(order)
    for number in range(limit if sources else 0):
        source = sources[order[number % len(order)]]
        yield number, source, random.Random(f"{seed} {name} {number}")


def _gap(file: SourceFile, kind: Kind, rng: random.Random) -> CursorTask | None:
    lines = split_lines(file.text)
    places = [n for n, line in enumerate(lines[:-1]) if telling(line)]
    for _ in range(_ATTEMPTS if places else 0):
        at = rng.choice(places)
        line, below = lines[at], lines[at + 1]
        indent = len(line) - len(line.lstrip())
        if kind == "within line":
            start, end = sorted(rng.sample(range(indent, len(line)), 2))
            if not line[start:end].strip() or not line[end:].strip():
                continue
            opened = (*lines[:at], line[:start] + line[end:], *lines[at + 1 :])
            return _task("gap", kind, file.path, opened, (), Cursor(at, start), (line,), at)
        if kind == "line end" and not telling(below):
            continue
        column = {"line end": len(line), "new line": indent}.get(kind) or rng.randint(
            indent + 1, len(line) - 1
        )
        column = indent if kind == "new line" else column
        if kind != "line end" and not line[column:].strip():
            continue
        wanted = (line, below) if below.strip() else (line,)
        opened = (*lines[:at], *lines[at + len(wanted) :])
        typed = replacement(opened, Hunk(at, (), (line[:column],)))
        return _task("gap", kind, file.path, opened, (typed,), Cursor(at, column), wanted, at)
    return None


def _editing(file: SourceFile, rng: random.Random) -> CursorTask | None:
    lines = split_lines(file.text.rstrip("\n"))
    for _ in range(_ATTEMPTS):
        drawn = editing_task(file.path, lines, WINDOW_CHARACTERS, rng)
        if drawn is None or drawn.cursor is None:
            continue
        cursor, last = drawn.cursor, drawn.hunks[-1]
        first = last.added[cursor.row]
        tail = "" if cursor.there is None else cursor.there[cursor.column :]
        wanted = (first,) if tail else last.added[cursor.row :]
        kind = _kind(first, cursor.column, tail)
        if kind is None or (kind == "line end" and not "".join(wanted[1:2]).strip()):
            continue
        typed, state = [], drawn.log.lines
        for hunk in drawn.hunks[:-1]:
            typed.append(replacement(state, hunk))
            state = apply_hunk(state, hunk)
        if cursor.there is None:
            rows = (*last.added[: cursor.row], first[: cursor.column])
            typed.append(replacement(state, Hunk(last.start, (), rows)))
        at = Cursor(last.start + cursor.row, cursor.column)
        first_line = drawn.log.first_line
        return _task("editing", kind, file.path, drawn.log.lines, typed, at, wanted, first_line + at.line)
    return None


def _commit(history: SourceHistory, rng: random.Random) -> CursorTask | None:
    for _ in range(_ATTEMPTS if history.edits else 0):
        chosen = rng.randrange(len(history.edits))
        state = split_lines(history.start)
        for edit in history.edits[:chosen]:
            for hunk in sequential(edit):
                state = apply_hunk(state, hunk)
        hunks = list(sequential(history.edits[chosen]))
        places = [n for n, hunk in enumerate(hunks) if any(map(telling, hunk.added))]
        if not places or not state:
            continue
        last = rng.choice(places)
        hunk = hunks[last]
        row = rng.choice([n for n, line in enumerate(hunk.added) if telling(line)])
        line = hunk.added[row]
        indent = len(line) - len(line.lstrip())
        column = rng.choice((indent, rng.randint(indent, len(line)), len(line)))
        kind = _kind(line, column, "")
        wanted = hunk.added[row : row + 2]
        if kind is None or (kind == "line end" and not "".join(wanted[1:]).strip()):
            continue
        opened, typed = state, []
        for earlier in hunks[:last]:
            typed.append(replacement(state, earlier))
            state = apply_hunk(state, earlier)
        typed.append(replacement(state, Hunk(hunk.start, hunk.removed, (*hunk.added[:row], line[:column]))))
        removed = {text.strip() for one in hunks[: last + 1] for text in one.removed if telling(text)}
        added = {text.strip() for one in hunks for text in one.added}
        at = Cursor(hunk.start + row, column)
        number = f"{chosen}.{at.line}"
        return _task(
            "commit", kind, history.path, opened, typed, at, wanted, number, frozenset(removed - added)
        )
    return None


def _kind(line: str, column: int, tail: str) -> Kind | None:
    """The kind of a cursor in `line`, where `tail` stands after it; None where nothing is missing there."""
    if tail:
        return "within line" if line[column : len(line) - len(tail)].strip() and tail.strip() else None
    if not line[column:].strip():
        return "line end" if line[:column].strip() else None
    return "mid-line" if line[:column].strip() else "new line"


def _task(
    setting: str,
    kind: Kind,
    path: str,
    opened: Lines,
    typed: Sequence[Change],
    cursor: Cursor,
    wanted: Lines,
    place: object,
    undone: frozenset[str] = frozenset(),
) -> CursorTask:
    name = f"{setting}/{path}:{place}:{cursor.column}"
    needed = 2 if kind == "line end" else 1
    text = join_lines(opened)
    return CursorTask(name, setting, kind, path, text, tuple(typed), cursor, wanted, needed, undone)


def replacement(lines: Lines, hunk: Hunk) -> Change:
    """The change of a text of `lines` by which an editor makes `hunk` true."""
    start = sum(len(line) + 1 for line in lines[: hunk.start])
    if hunk.end < len(lines):
        end = start + sum(len(line) + 1 for line in hunk.removed)
        return start, end, "".join(f"{line}\n" for line in hunk.added)
    end = len(join_lines(lines))
    if hunk.start == 0:
        return 0, end, join_lines(hunk.added)
    # No newline ends the text's last line: the one before the hunk goes or comes with it.
    return start - 1, end, "".join(f"\n{line}" for line in hunk.added)
