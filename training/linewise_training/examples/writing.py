"""LintSeq edits of a program: all of them after an instruction, in an empty file, or the next few of them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from linewise.edits import Edit, EditLog, sequential
from linewise.formats.edit_log import INLINE_RUN_UP
from linewise_training.examples.editing import column_in
from linewise_training.examples.example import Example
from linewise_training.examples.form import EditingTask, Form, TaskCursor, WritingTask
from linewise_training.examples.in_edit_log import EDIT_LOG

USUAL_NAMES = ("main", "new", "solution", "example", "demo", "untitled", "app", "tools")
TELLING_NAMES = (
    "average", "bank", "basket", "calendar", "chess", "convert", "count", "dates", "distance", "fibo",
    "fizzbuzz", "graph", "greeting", "invoice", "lists", "matrix", "median", "names", "orders",
    "palindrome", "parser", "polygon", "prices", "primes", "queue", "recipes", "report", "reverse",
    "robot", "scores", "search", "shapes", "sorting", "stack", "students", "temperature", "tickets",
    "tree", "vowels", "weather", "words",
)  # fmt: skip


def file_name(program: str, rng: random.Random) -> str:
    """A name under which someone might begin `program`: from what it defines, or one of the usual ones."""
    defined = [line.split("(")[0].split(":")[0].split()[1] for line in program.splitlines() if _defines(line)]
    # Seldom from the program, and as often as not a telling name that has nothing to do with it: else a model
    # calls whatever it writes as the file is called.
    if defined and rng.random() < 0.1:
        stem = rng.choice(defined).strip("_").lower() or "main"
    else:
        stem = rng.choice(USUAL_NAMES if rng.random() < 0.5 else TELLING_NAMES)
    return f"{stem}.py"


def writing_example(
    instruction: str,
    program: str,
    edits: Sequence[Edit],
    rng: random.Random,
    form: Form = EDIT_LOG,
) -> Example:
    """An empty file, an instruction, and the edits that write `program`."""
    task = WritingTask(file_name(program, rng), EditLog.open(""), instruction, tuple(edits))
    return form.writing(task)


def continuing_example(
    program: str, edits: Sequence[Edit], max_characters: int, rng: random.Random, form: Form = EDIT_LOG
) -> Example | None:
    """A program half written by its LintSeq edits, some of them in the log, and the next ones to write.

    What is missing from the snapshot is what LintSeq took away, so that each state is as clean as the
    program. Two times in three the last edit is in progress at a cursor. None for a single edit, or where
    the snapshot and the edits are longer than `max_characters`.
    """
    hunks = [hunk for edit in edits for hunk in sequential(edit)]
    if len(hunks) < 2 or len(program) > max_characters:
        return None
    known = rng.randrange(1, len(hunks))
    shown = rng.randint(max(0, known - 2), known)
    log = EditLog.open("")
    for hunk in hunks[:shown]:
        log = log.record(hunk)
    log = EditLog.open((*log.lines, "") if log.lines[-1:] != ("",) else log.lines)
    for hunk in hunks[shown:known]:
        log = log.record(hunk)
    new = hunks[known : known + rng.randint(1, 4)]
    path, cursor = file_name(program, rng), None
    added = new[-1].added
    if any(line.strip() for line in added) and rng.random() < 0.67:
        row = rng.randrange(len(added))
        cursor = TaskCursor(row, column_in(added[row], rng), None)
    run_up = INLINE_RUN_UP if rng.random() < 0.5 else rng.randint(1, INLINE_RUN_UP)
    return form.editing(EditingTask(path, log, tuple(new), cursor, run_up))


def _defines(line: str) -> bool:
    words = line.split()
    return len(words) > 1 and words[0] in ("def", "class")
