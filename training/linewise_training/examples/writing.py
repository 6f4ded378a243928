"""Writing by instruction: a LintSeq edit sequence as the edit log that the editor would hold."""

from __future__ import annotations

import random
from collections.abc import Sequence

from linewise.edits import Edit, EditLog, apply_hunk, sequential
from linewise.formats.edit_log import DIFF, END, INSTRUCTION, hunk_text, log_segments, shown_hunk
from linewise_training.examples.example import NO_LOSS, Example, Piece, read_only


def edit_pieces(before: Sequence[str], edits: Sequence[Edit], first_line: int = 0) -> list[Piece]:
    """Pieces that write `edits` on the state `before`, each hunk with a run-up of one line, then the end."""
    state = tuple(before)
    pieces: list[Piece] = []
    for edit in edits:
        for hunk in sequential(edit):
            seen = shown_hunk(state, hunk)
            if seen.removed != seen.added:
                pieces += [Piece(DIFF, special=True), Piece(hunk_text(state, seen, first_line))]
            state = apply_hunk(state, hunk)
    return [*pieces, Piece(END, special=True)]


def instruction_pieces(instruction: str) -> list[Piece]:
    """Pieces of an instruction, which the model reads and never writes."""
    return [
        Piece(INSTRUCTION, special=True, learned_from=NO_LOSS),
        Piece(f"{instruction}\n", learned_from=NO_LOSS),
    ]


def file_name(program: str, rng: random.Random) -> str:
    """A name under which someone might begin `program`: from what it defines, or one of the usual ones."""
    defined = [line.split("(")[0].split(":")[0].split()[1] for line in program.splitlines() if _defines(line)]
    usual = ("main", "new", "solution", "example", "demo", "untitled", "app", "tools")
    stem = rng.choice(defined).strip("_").lower() if defined and rng.random() < 0.4 else rng.choice(usual)
    return f"{stem or 'main'}.py"


def writing_example(instruction: str, program: str, edits: Sequence[Edit], rng: random.Random) -> Example:
    """An empty file, an instruction, and the edits that write `program`."""
    log = EditLog.open("")
    prompt = read_only(log_segments(log, file_name(program, rng)))
    return (*prompt, *instruction_pieces(instruction), *edit_pieces((), edits))


def _defines(line: str) -> bool:
    words = line.split()
    return len(words) > 1 and words[0] in ("def", "class")
