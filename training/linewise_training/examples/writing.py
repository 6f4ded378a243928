"""Writing by instruction: an empty file, an instruction, and the LintSeq edits of a program."""

from __future__ import annotations

import random
from collections.abc import Sequence

from linewise.edits import Edit, EditLog
from linewise_training.examples.example import Example
from linewise_training.examples.form import Form, WritingTask
from linewise_training.examples.in_edit_log import EDIT_LOG


def file_name(program: str, rng: random.Random) -> str:
    """A name under which someone might begin `program`: from what it defines, or one of the usual ones."""
    defined = [line.split("(")[0].split(":")[0].split()[1] for line in program.splitlines() if _defines(line)]
    usual = ("main", "new", "solution", "example", "demo", "untitled", "app", "tools")
    stem = rng.choice(defined).strip("_").lower() if defined and rng.random() < 0.4 else rng.choice(usual)
    return f"{stem or 'main'}.py"


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


def _defines(line: str) -> bool:
    words = line.split()
    return len(words) > 1 and words[0] in ("def", "class")
