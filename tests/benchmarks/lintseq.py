"""LintSeq's speed per core and its mean number of edits, ours and those of the paper's code.

    python tests/benchmarks/lintseq.py --programs FILE [--reference DIR] [--limit 100]
    python tests/benchmarks/lintseq.py --folder DIR [--reference DIR] [--limit 10]

FILE is JSONL, gzipped or not, of {"program"} or MBPP's {"prompt", "canonical_solution"}; of a folder's Python
files those of 100 to 400 lines are taken. The reference is a checkout of github.com/upiterbarg/lintseq, run
unchanged in a process of its own; it needs numpy and torch.

Both sides see the same programs, draw from all lines alike (the reference can prefer indented ones; the paper
does not), and are given the same random numbers for their first sequence of each program. `identical` is the
share of those that agree in every state; the blank lines at both ends, which the reference cuts off, aside.
Programs that do not parse are left out, and so, unless --faulty, are those with problems of their own (often
W0311, indentation that is not four spaces): the reference deletes the lines of such problems in its first
step, where we expect them, so the two do not do the same work. Seconds are processor time of one process,
imports left out. Prints one JSON object. `difference` is in edits a program, all of ours less theirs.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from statistics import mean, stdev

import click

from linewise.edits import apply_edit, join_lines
from linewise.verify import CRASH, SYNTAX_CODES, PylintVerifier
from linewise_training.lintseq import Plan, Program, Sampled, Written, sample_in_processes, sample_sequences
from linewise_training.lintseq.worker import collect_seldom

# Runs in the reference's process: programs in, sequences' numbers of edits and the seconds out.
REFERENCE = """
import json, os, random, sys, tempfile, time
import numpy
checkout, = sys.argv[1:]
sys.path[:0] = [os.path.join(checkout, "src"), os.path.join(checkout, "src", "data_gen")]
if sys.version_info < (3, 12):
    # It asks for a file that closing deletes, as every temporary file of an older Python is.
    plain = tempfile.NamedTemporaryFile
    tempfile.NamedTemporaryFile = lambda *a, delete_on_close=True, **k: plain(*a, **k)
from lintseq import lintseq_backward_sampling_pythonic, inflate_edit_path
told = sys.stdout
programs = json.load(sys.stdin)
sequences, began = [], time.process_time()
for index, program in enumerate(programs):
    ours = random.Random(f"0/{index}/0")
    numpy.random.choice = lambda lines, size, p, replace: numpy.array(
        [ours.choice([line for line, chance in zip(lines, p) if chance])]
    )
    try:
        found = lintseq_backward_sampling_pythonic(
            program, children_per_round=1, top_k=1, max_population_size=1, max_depth=512,
            indent_bias_sampling_factor=None, ignore_imports=False, ignore_comments=False,
            ignore_global_defs=False, verbose=False, ignore_init_errors=False,
        )
    except Exception:
        found = None
    sequences.append(found and inflate_edit_path(program, found[0][0])[0])
print(json.dumps({"sequences": sequences, "seconds": time.process_time() - began}), file=told)
"""


def read_programs(path: Path) -> Iterator[str]:
    """The programs of a JSONL file; MBPP's without their docstrings."""
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as stream
    ):
        for line in stream:
            row = json.loads(line)
            if "program" in row:
                yield row["program"]
            else:
                yield row["prompt"].strip().split('"""')[0].rstrip() + "\n" + row["canonical_solution"]


def read_folder(folder: Path) -> Iterator[str]:
    """The Python files of 100 to 400 lines below a folder, shuffled."""
    paths = sorted(folder.rglob("*.py"))
    random.Random(0).shuffle(paths)
    for path in paths:
        text = path.read_text(encoding="utf-8", errors="replace")
        if 100 <= text.count("\n") <= 400:
            yield text


def usable(sources: Iterator[str], faulty: bool) -> Iterator[str]:
    """The sources that parse; without problems of their own, unless `faulty`."""
    verifier = PylintVerifier()
    while chunk := list(islice(sources, 20)):
        for source, problems in zip(chunk, verifier.problems(chunk), strict=True):
            codes = {problem.code for problem in problems}
            if not codes & (SYNTAX_CODES | {CRASH}) and (faulty or not codes):
                yield source


def figures(edits: list[int], seconds: float) -> dict[str, float]:
    """What is told of one side."""
    return {
        "sequences": len(edits),
        "cpu_seconds": round(seconds, 2),
        "sequences_per_second_per_core": round(len(edits) / seconds, 3),
        "mean_edits": round(mean(edits), 3),
    }


def states(result: Sampled) -> Iterator[str]:
    """The texts that a sequence leads through."""
    lines: tuple[str, ...] = ()
    for edit in result.edits:
        lines = apply_edit(lines, edit)
        yield join_lines(lines)


def trimmed(texts: Iterable[str]) -> list[str]:
    """The texts without blank lines at their ends, the empty one and repeats left out."""
    return [text for text, _ in groupby(re.sub(r"^(\s*\n)+|\s+$", "", text) for text in texts) if text]


@click.command()
@click.option("--programs", type=click.Path(path_type=Path, exists=True))
@click.option("--folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--reference", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--limit", type=int, default=100, show_default=True, help="Programs.")
@click.option("--samples", type=int, default=5, show_default=True, help="Ours; the reference draws one.")
@click.option("--faulty", is_flag=True, help="Keep programs that have problems of their own.")
@click.option("--workers", type=int, default=1, show_default=True, help="Compare so many with one, if more.")
def main(
    programs: Path | None,
    folder: Path | None,
    reference: Path | None,
    limit: int,
    samples: int,
    faulty: bool,
    workers: int,
) -> None:
    """Measure LintSeq."""
    if (programs is None) == (folder is None):
        raise click.UsageError("give --programs FILE or --folder DIR")
    found = read_programs(programs) if programs else read_folder(folder) if folder else iter(())
    sources = list(islice(usable(found, faulty), limit))
    plan = Plan(samples, 0)
    numbered = [Program(at, source) for at, source in enumerate(sources)]

    collect_seldom()  # as worker processes do
    began = time.process_time()
    results = [r for r in sample_sequences(numbered, PylintVerifier(), plan) if isinstance(r, Sampled)]
    seconds_of_ours = time.process_time() - began
    by_program: dict[int, list[int]] = {}
    for result in results:
        by_program.setdefault(result.index, []).append(len(result.edits))
    ours = figures([len(result.edits) for result in results], seconds_of_ours)
    told = {
        "programs": len(sources),
        "mean_lines": round(mean(source.count("\n") + 1 for source in sources), 1),
        "cores": os.cpu_count(),
        "ours": ours,
    }
    if reference:
        run = subprocess.run(
            [sys.executable, "-c", REFERENCE, str(reference.resolve())],
            input=json.dumps(sources), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if run.returncode:
            raise click.ClickException(f"the reference failed:\n{run.stderr}")
        answer = json.loads(run.stdout.splitlines()[-1])
        sequences = [sequence and trimmed(sequence) for sequence in answer["sequences"]]
        theirs = figures([len(sequence) for sequence in sequences if sequence], answer["seconds"])
        rate = "sequences_per_second_per_core"
        told |= {"reference": theirs, "times_as_fast": round(ours[rate] / theirs[rate], 1)}
        first = {result.index: trimmed(states(result)) for result in results if result.sample == 0}
        same = [first[at] == sequence for at, sequence in enumerate(sequences) if sequence]
        told |= {"identical": round(mean(map(float, same)), 4)}
        less = [mean(by_program[at]) - len(sequence) for at, sequence in enumerate(sequences) if sequence]
        error = stdev(less) / len(less) ** 0.5 if len(less) > 1 else 0.0
        told |= {"difference": round(mean(less), 3), "standard_error": round(error, 3)}
    if workers > 1:
        seconds = {count: wall_seconds(numbered, plan, count) for count in (1, workers)}
        told[f"speed_of_{workers}_workers"] = round(seconds[1] / seconds[workers], 2)
    click.echo(json.dumps(told))


def wall_seconds(programs: list[Program], plan: Plan, workers: int) -> float:
    """How long worker processes take, their start included."""
    began = time.monotonic()
    outcomes = sample_in_processes(programs, PylintVerifier, plan, workers=workers, timeout=600)
    assert all(isinstance(outcome, Written) for outcome in outcomes)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
