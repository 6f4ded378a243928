"""Whether the pylint verifier says of states on LintSeq's way what plain pylint says of them.

    python tests/benchmarks/verdicts.py --folder DIR [--states 3000] [--seed 0]

The verifier leaves out much of what pylint does: sources that differ in comments, blank lines or docstrings
share a verdict, syntax errors are told by the parser alone, and what can only find disabled messages is not
walked. This takes the Python files of a folder in random order, deletes lines and their blocks from each as
LintSeq does, and compares each state's verdict with what `pylint` prints, run unchanged over the states of
one file in a process of its own: place, code and message. Prints one JSON object; exits with 1 if any differ.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from linewise.verify import SYNTAX_CODES, Problem, PylintVerifier
from linewise.verify.pylint_verifier import WARNINGS_THAT_COUNT
from linewise_training.lintseq.sampler import indented_blocks

# Imports pylint once, then runs its command in a fork for each line of file names.
OUTSIDE = """
import os, sys
from pylint.lint import Run
for row in sys.stdin:
    if not os.fork():
        try:
            Run(["--rcfile=", "--disable=C,R,I", "--reports=n", "--score=n", "--generated-members=cv2.*",
                 "--msg-template={path}|{C}|{msg_id}|{line}|{column}|{msg}", *row.split()], exit=False)
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.wait()
"""


def states(
    lines: list[str], draw: random.Random, verifier: PylintVerifier
) -> Iterator[tuple[str, list[Problem]]]:
    """Texts on a way from `lines` to few, and what the verifier says of each."""
    blocks = indented_blocks(lines)
    kept = list(range(len(lines)))
    for _ in range(40):
        first = draw.choice(kept)
        rest = [line for line in kept if line != first and line not in blocks[first]]
        text = "\n".join(lines[line] for line in rest)
        (problems,) = verifier.problems([text])
        yield text, list(problems)
        if not any(problem.code in SYNTAX_CODES for problem in problems):
            kept = rest
        if len(kept) < 3:
            return


def outside(groups: list[list[str]], folder: Path) -> dict[str, list[Problem]]:
    """What pylint prints of each file in each of the groups of names."""
    run = subprocess.run(
        [sys.executable, "-c", OUTSIDE],
        input="".join(" ".join(group) + "\n" for group in groups), cwd=folder, capture_output=True,
        text=True, check=True, env={**os.environ, "PYLINTHOME": str(folder)},
    )  # fmt: skip
    found: dict[str, list[Problem]] = {name: [] for group in groups for name in group}
    for row in run.stdout.split("\n"):
        name, _, told = row.partition("|")
        if name in found and told.count("|") >= 4:
            category, code, line, column, message = told.split("|", 4)
            if category in "EF" or code in WARNINGS_THAT_COUNT:
                message = re.sub(r"\([\w.-]+, line (\d+)\)", r"(line \1)", message)
                found[name].append(Problem(max(0, int(line) - 1), max(0, int(column)), code, message))
    return found


@click.command()
@click.option("--folder", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--states", "wanted", type=click.IntRange(min=1), default=3000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def main(folder: Path, wanted: int, seed: int) -> None:
    """Compare verdicts."""
    draw = random.Random(seed)
    paths = sorted(folder.rglob("*.py"))
    draw.shuffle(paths)
    verifier = PylintVerifier()
    ours: dict[str, list[Problem]] = {}
    groups: list[list[str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for path in paths:
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
            if len(ours) >= wanted:
                break
            if not 5 < len(lines) < 400:
                continue
            groups.append([])
            for text, problems in states(lines, draw, verifier):
                name = f"state-{len(ours)}.py"
                ours[name] = problems
                groups[-1].append(name)
                (Path(scratch) / name).write_text(text, encoding="utf-8", newline="")
        theirs = outside(groups, Path(scratch))
        kinds = Counter[str]()
        for name, problems in ours.items():
            syntax = any(problem.code in SYNTAX_CODES for problem in problems)
            kinds["syntax_errors" if syntax else "with_problems" if problems else "clean"] += 1
            if sorted(theirs[name]) != sorted(problems):
                kinds["different"] += 1
                click.echo(
                    f"ours: {problems}\npylint: {theirs[name]}\n{(Path(scratch) / name).read_text()}",
                    err=True,
                )
    click.echo(json.dumps({"files": len(groups), "states": len(ours), "different": 0, **kinds}))
    sys.exit(bool(kinds["different"]))


if __name__ == "__main__":
    main()
