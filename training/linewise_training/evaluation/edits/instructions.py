"""Hunks by instruction: a function that is missing, by its docstring; or a small change of what stands there.

Two settings of the same functions: `write` shows a window of the file as a document, as in training; `write
in file` has the whole file open and says where the function goes, as an editor does. A window is seldom
Python by itself, so little that is written into it brings a *new* problem. `change` and `change in file` are
the same for renamings, type hints, docstrings and the other kinds of `linewise_training.changes`.

The product writes it, without sampling a hunk again that was dropped: what is measured is the first try.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from linewise.assistant import Document, HunkDropped, HunkLanded, WriteDone, WriteEvent, WriteOptions, write
from linewise.edits import Edit, Hunk, Lines, apply_edit, join_lines, split_lines
from linewise.engines.protocol import Engine
from linewise.errors import ContextError, EditError
from linewise.formats import Format
from linewise.verify.protocol import Verifier
from linewise_training.changes import read_code
from linewise_training.evaluation.edits.measure import chrf
from linewise_training.evaluation.edits.tasks import WINDOW_CHARACTERS, SourceFile
from linewise_training.examples import ChangingTask, WritingTask, changing_task, function_task

OPTIONS = WriteOptions(max_edits=8, max_tokens=400, max_tries=1)
IN_WINDOW, IN_FILE = "write", "write in file"
CHANGE, CHANGE_IN_FILE = "change", "change in file"
_ATTEMPTS = 5
_Task = TypeVar("_Task")


@dataclass(frozen=True, slots=True)
class InstructionTask:
    """A document, an instruction, the lines that are wanted, and those of them that are new.

    `line` is the 0-based place where an editor would ask, None where it says nothing; `kind` is that of a
    change.
    """

    task: str
    setting: str
    path: str
    lines: Lines
    instruction: str
    wanted: Lines
    missing: Lines
    line: int | None = None
    kind: str = ""

    @property
    def shape(self) -> str:
        """The setting, and the kind of a change in it."""
        return f"{self.setting}, {self.kind}" if self.kind else self.setting


def instruction_tasks(files: Sequence[SourceFile], limit: int, seed: int) -> Iterator[InstructionTask]:
    """At most `limit` functions, each from a file of its own, as a task of both settings."""

    def draw(file: SourceFile, rng: random.Random) -> Iterator[WritingTask | None]:
        while True:
            yield function_task(file.path, file.text, WINDOW_CHARACTERS, rng)

    for file, task in _one_each(files, limit, f"{seed} write", draw):
        yield _in_window(task)
        yield _in_file(task, split_lines(file.text))


def change_tasks(files: Sequence[SourceFile], limit: int, seed: int) -> Iterator[InstructionTask]:
    """At most `limit` small changes, each in a file of its own, as a task of both settings."""

    def draw(file: SourceFile, rng: random.Random) -> Iterator[ChangingTask | None]:
        code = read_code(file.text)
        while code is not None:
            yield changing_task(file.path, code, WINDOW_CHARACTERS, rng)

    for _, task in _one_each(files, limit, f"{seed} change", draw):
        yield from _changes(task)


def _one_each(
    files: Sequence[SourceFile],
    limit: int,
    seed: str,
    draw: Callable[[SourceFile, random.Random], Iterator[_Task | None]],
) -> Iterator[tuple[SourceFile, _Task]]:
    """Files in random order, each with its task, at most `limit`; without those where no draw finds one."""
    order = list(files)
    random.Random(seed).shuffle(order)
    found = 0
    for number, file in enumerate(order):
        if found == limit:
            return
        drawn = islice(draw(file, random.Random(f"{seed} {number}")), _ATTEMPTS)
        task = next((one for one in drawn if one is not None), None)
        if task is not None:
            found += 1
            yield file, task


def _changes(drawn: ChangingTask) -> Iterator[InstructionTask]:
    """The change in its window, and in its whole file, asked for where it begins."""
    task, first = drawn.task, drawn.task.log.first_line
    hunks = task.edits[0].hunks
    missing = tuple(line for hunk in hunks for line in hunk.added)
    moved = Edit(tuple(Hunk(first + hunk.start, hunk.removed, hunk.added) for hunk in hunks))
    place = moved.hunks[0].start
    for setting, lines, edit, line in (
        (CHANGE, task.log.lines, task.edits[0], None),
        (CHANGE_IN_FILE, drawn.before, moved, place),
    ):
        yield InstructionTask(
            f"{setting}/{task.path}:{place}", setting, task.path, lines, task.instruction,
            apply_edit(lines, edit), missing, line, drawn.kind,
        )  # fmt: skip


def _in_window(task: WritingTask) -> InstructionTask:
    lines, place = task.log.lines, task.edits[0].hunks[0]
    name = f"{IN_WINDOW}/{task.path}:{task.log.first_line + place.start}"
    wanted = apply_edit(lines, task.edits[0])
    return InstructionTask(name, IN_WINDOW, task.path, lines, task.instruction, wanted, place.added)


def _in_file(task: WritingTask, wanted: Lines) -> InstructionTask:
    """The same function missing in its whole file, whose lines are `wanted`."""
    missing = task.edits[0].hunks[0].added
    line = task.log.first_line + task.edits[0].hunks[0].start
    lines = (*wanted[:line], *wanted[line + len(missing) :])
    name = f"{IN_FILE}/{task.path}:{line}"
    return InstructionTask(name, IN_FILE, task.path, lines, task.instruction, wanted, missing, line)


def written(
    task: InstructionTask, engine: Engine, form: Format, verifier: Verifier, *, check_early: bool = True
) -> tuple[dict[str, float], str, list[str]]:
    """Scores of what the product writes, the lines that it added, and why hunks were dropped.

    `parses`: share of hunks that parsed and stood somewhere (one that did not end within the tokens of a
    write did not); `mended`: those among them that had to be begun in the model's place; `clean`: share of
    those judged by the verifier that could land; `hunks`, `turned` (ways out of loops), `averted`
    (ways around problems that were known early, unless `check_early` is off), `tokens` and
    `tokens an edit`: counts;
    `exact`: the document is the wanted one; `chrf` of the added lines against the missing ones.
    """
    document = Document(task.path, join_lines(task.lines))
    hunks = parsed = unclean = landed = mended = turned = averted = tokens = 0
    added: list[str] = []
    reasons: list[str] = []
    for event in _events(document, task, engine, form, verifier, check_early):
        if isinstance(event, HunkLanded):
            hunks, parsed, landed = hunks + 1, parsed + 1, landed + 1
            added += event.hunk.added
        elif isinstance(event, HunkDropped):
            hunks += 1
            reasons.append(event.reason)
            parsed += event.hunk is not None
            unclean += bool(event.problems)
        elif isinstance(event, WriteDone):
            tokens, mended = event.tokens, event.mended
            turned, averted = event.turned, event.averted
            if event.reason == "max_tokens":
                hunks += 1
                reasons.append("the tokens of the write ended before the hunk")
    text = "\n".join(added)
    scores = {
        "exact": float(document.snapshot().lines == task.wanted),
        "suggested": float(landed > 0),
        "chrf": chrf(text, "\n".join(task.missing)),
        "hunks": float(hunks),
        "turned": float(turned),
        "averted": float(averted),
        "tokens": float(tokens),
    }
    if hunks:
        scores["parses"] = parsed / hunks
        scores["mended"] = min(1.0, mended / hunks)  # header and run-up of one hunk may both be
        scores["tokens an edit"] = tokens / hunks
    if landed + unclean:
        scores["clean"] = landed / (landed + unclean)
    return scores, text, reasons


def _events(
    document: Document,
    task: InstructionTask,
    engine: Engine,
    form: Format,
    verifier: Verifier,
    check_early: bool,
) -> Iterator[WriteEvent]:
    """The events of a write; it ends early where the document does not fit the model or its Format."""
    with suppress(ContextError, EditError):
        options = replace(OPTIONS, line=task.line, check_early=check_early)
        yield from write(
            document, task.instruction, engine=engine, format=form, verifier=verifier, options=options
        )
