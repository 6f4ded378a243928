"""Hunks by instruction: a file without one documented function, and its docstring as the instruction.

The product writes it, without sampling a hunk again that was dropped: what is measured is the first try.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from linewise.assistant import Document, HunkDropped, HunkLanded, WriteDone, WriteEvent, WriteOptions, write
from linewise.edits import Lines, apply_edit, join_lines
from linewise.engines.protocol import Engine
from linewise.errors import ContextError, EditError
from linewise.formats import Format
from linewise.verify.protocol import Verifier
from linewise_training.evaluation.edits.measure import chrf
from linewise_training.evaluation.edits.tasks import WINDOW_CHARACTERS, SourceFile
from linewise_training.examples import function_task

OPTIONS = WriteOptions(max_edits=8, max_tokens=400, max_tries=1)
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class InstructionTask:
    """A document, an instruction, the lines that are wanted, and those of them that are new."""

    task: str
    path: str
    lines: Lines
    instruction: str
    wanted: Lines
    missing: Lines


def instruction_tasks(files: Sequence[SourceFile], limit: int, seed: int) -> Iterator[InstructionTask]:
    """At most `limit` tasks, each from a file of its own."""
    order = list(files)
    random.Random(f"{seed} write").shuffle(order)
    found = 0
    for number, file in enumerate(order):
        if found == limit:
            return
        rng = random.Random(f"{seed} write {number}")
        drawn = (function_task(file.path, file.text, WINDOW_CHARACTERS, rng) for _ in range(_ATTEMPTS))
        task = next((one for one in drawn if one is not None), None)
        if task is None:
            continue
        found += 1
        lines = task.log.lines
        place = task.edits[0].hunks[0]
        yield InstructionTask(
            f"write/{file.path}:{task.log.first_line + place.start}",
            task.path,
            lines,
            task.instruction,
            apply_edit(lines, task.edits[0]),
            place.added,
        )


def written(
    task: InstructionTask, engine: Engine, form: Format, verifier: Verifier
) -> tuple[dict[str, float], str, list[str]]:
    """Scores of what the product writes, the lines that it added, and why hunks were dropped.

    `parses`: share of hunks that parsed and stood somewhere, `mended`: those among them that had to be begun
    in the model's place; `clean`: share of those judged by the
    verifier that could land; `hunks`, `tokens` and `tokens an edit`: counts; `exact`: the document is the
    wanted one; `chrf` of the added lines against the missing ones.
    """
    document = Document(task.path, join_lines(task.lines))
    hunks = parsed = unclean = landed = mended = tokens = 0
    added: list[str] = []
    reasons: list[str] = []
    for event in _events(document, task, engine, form, verifier):
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
    text = "\n".join(added)
    scores = {
        "exact": float(document.snapshot().lines == task.wanted),
        "suggested": float(landed > 0),
        "chrf": chrf(text, "\n".join(task.missing)),
        "hunks": float(hunks),
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
    document: Document, task: InstructionTask, engine: Engine, form: Format, verifier: Verifier
) -> Iterator[WriteEvent]:
    """The events of a write; it ends early where the document does not fit the model or its Format."""
    with suppress(ContextError, EditError):
        yield from write(
            document, task.instruction, engine=engine, format=form, verifier=verifier, options=OPTIONS
        )
