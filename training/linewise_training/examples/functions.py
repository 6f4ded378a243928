"""Documented functions of real files: a whole one asked for, or its body below signature and docstring."""

from __future__ import annotations

import ast
import random
from dataclasses import dataclass

from linewise.edits import Edit, EditLog, Hunk, Lines
from linewise.formats.edit_log import INLINE_RUN_UP
from linewise_training.corpus.pairs import first_sentence
from linewise_training.examples.editing import column_in
from linewise_training.examples.example import Example
from linewise_training.examples.form import EditingTask, Form, TaskCursor, WritingTask
from linewise_training.examples.in_edit_log import EDIT_LOG
from linewise_training.examples.instructions import rephrase

MIN_LINES, MAX_LINES = 3, 30  # of a function after its first line
IN_PROGRESS_SHARE = 0.7  # of bodies; the others are asked for by an instruction


@dataclass(frozen=True, slots=True)
class _Function:
    """A documented function: its first sentence, and 0-based lines: of it all, and where its body begins."""

    name: str
    sentence: str
    start: int
    body: int
    end: int


def function_example(
    path: str, text: str, max_characters: int, rng: random.Random, form: Form = EDIT_LOG
) -> Example | None:
    """A window of a file without one documented function, its docstring as instruction, and the edit.

    None where the file has no such function, or none that fits `max_characters` with its surroundings.
    """
    task = function_task(path, text, max_characters, rng)
    return None if task is None else form.writing(task)


def function_task(path: str, text: str, max_characters: int, rng: random.Random) -> WritingTask | None:
    """The task of a `function_example`."""
    drawn = _drawn(text, max_characters, rng)
    if drawn is None:
        return None
    function, lines, first, last = drawn
    opened = _without(lines, first, last, function.start, function.end)
    if opened is None:
        return None
    log, hunk = opened
    return WritingTask(path, log, rephrase(function.sentence, rng), (Edit((hunk,)),))


def body_example(
    path: str, text: str, max_characters: int, rng: random.Random, form: Form = EDIT_LOG
) -> Example | None:
    """A window of a file in which a function is only signature and docstring, and its body to write.

    Most are in progress at a cursor below the docstring, the others asked for by name. None as in
    `function_example`.
    """
    drawn = _drawn(text, max_characters, rng)
    if drawn is None:
        return None
    function, lines, first, last = drawn
    opened = _without(lines, first, last, function.body, function.end)
    if opened is None:
        return None
    log, hunk = opened
    if rng.random() < IN_PROGRESS_SHARE:
        row = rng.randrange(len(hunk.added)) if rng.random() < 0.3 else 0
        cursor = TaskCursor(row, column_in(hunk.added[row], rng), None)
        run_up = INLINE_RUN_UP if rng.random() < 0.5 else rng.randint(1, INLINE_RUN_UP)
        return form.editing(EditingTask(path, log, (hunk,), cursor, run_up))
    asked = rng.choice(("implement {}", "write the body of {}", "complete {}", "fill in {}"))
    return form.writing(WritingTask(path, log, asked.format(function.name), (Edit((hunk,)),)))


def _drawn(text: str, max_characters: int, rng: random.Random) -> tuple[_Function, Lines, int, int] | None:
    """A function of a file, the file's lines, and the bounds of a window around it."""
    functions = _documented(text)
    if not functions:
        return None
    function = rng.choice(functions)
    lines = tuple(text.split("\n"))
    first = max(0, function.start - rng.randrange(40))
    last = function.end + rng.randrange(20)
    if sum(len(line) + 1 for line in lines[first:last]) > max_characters:
        return None
    return function, lines, first, last


def _documented(text: str) -> list[_Function]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return []
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or len(node.body) < 2:
            continue
        docstring, end = ast.get_docstring(node), node.end_lineno or node.lineno
        sentence = first_sentence(docstring) if docstring else None
        if sentence and MIN_LINES <= end - node.lineno <= MAX_LINES:
            start = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
            found.append(_Function(node.name, sentence, start, node.body[0].end_lineno or end, end))
    return found


def _without(lines: Lines, first: int, last: int, start: int, end: int) -> tuple[EditLog, Hunk] | None:
    """The window from `first` to `last` without the lines from `start` to `end`, and the hunk with them."""
    added = lines[start:end]
    snapshot = (*lines[first:start], *lines[end:last])
    log = EditLog.open("\n".join(snapshot).rstrip("\n") + "\n", first_line=first)
    if not any(line.strip() for line in added) or len(log.lines) - 1 < start - first:
        return None
    return log, Hunk(start - first, (), added)
