"""The sandbox on benchmark programs: what reference solutions and wrong ones score, and how fast that goes.

    python tests/benchmarks/execution.py --humaneval HumanEval.jsonl.gz [--reference DIR] [--rounds 3]
    python tests/benchmarks/execution.py --humaneval-x DIR [--limit 50]

Each reference solution must pass and each wrong one must not; a wrong one is the problem's function returning
nothing, and again one that exits with 0. DIR of --reference is a checkout of github.com/openai/human-eval:
its `evaluate_functional_correctness` then runs the same samples with as many workers, in turns with ours;
the start of our workers is counted, the imports of neither. DIR of --humaneval-x holds HumanEval-X's
`humaneval_{cpp,go,java,js}.jsonl.gz` (github.com/THUDM/CodeGeeX, codegeex/benchmark/humaneval-x); its
JavaScript is run as TypeScript, too, its types unchecked. Prints one JSON object; exit status 1 if a verdict
is wrong.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import click

from linewise_training.execution import Job, Runner, Status

# Runs in a process of its own: a file of samples in, seconds and pass@1 out.
REFERENCE = """
import json, sys, time
checkout, samples, problems, workers = sys.argv[1:]
sys.path.insert(0, checkout)
told, sys.stdout = sys.stdout, sys.stderr
from human_eval.evaluation import evaluate_functional_correctness
began = time.monotonic()
scores = evaluate_functional_correctness(samples, [1], int(workers), 5.0, problems)
print(json.dumps({"seconds": time.monotonic() - began, "pass@1": float(scores["pass@1"])}), file=told)
"""
# HumanEval-X's tests in Go use testify, which would have to be installed; this is what they need of it.
GO_ASSERT = """
type assertions struct{}

func (assertions) New(_ any) assertions { return assertions{} }

func (assertions) Equal(expected, actual any, _ ...any) {
	if !reflect.DeepEqual(expected, actual) {
		panic("assertion failed")
	}
}

var assert assertions
"""
# What HumanEval-X's own evaluation puts before a solution, or its tests lean on.
HEADS = {
    "cpp": "".join(
        f"#include <{name}>\n"
        for name in ("algorithm", "cmath", "cstdio", "cstdlib", "map", "set", "string", "vector")
    )
    + "using namespace std;\n",
    "typescript": "// @ts-nocheck\n",
}
# In place of a solution: what fails, and what ends the program as if all were well.
WRONG = {
    "cpp": ("    throw 1;\n}\n", "    std::exit(0);\n}\n"),
    "go": ('    panic("wrong")\n}\n', '    os.Exit(0)\n    panic("wrong")\n}\n'),
    "java": tuple(
        f'        {first}throw new RuntimeException("wrong");\n    }}\n}}\n'
        for first in ("", "System.exit(0); ")
    ),
    "javascript": ("  throw new Error('wrong')\n}\n", "  process.exit(0)\n}\n"),
}
WRONG["typescript"] = WRONG["javascript"]
GO_IMPORTS = re.compile(r'^import\s*(?:\([^)]*\)|"[^"]*")', re.MULTILINE)
GO_FORGOTTEN = {"math", "os", "sort", "strings"}  # some solutions use them without an import
GO_NAMES = {"testing", "github.com/stretchr/testify/assert"}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a gzipped JSONL file."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def humaneval_job(row: dict[str, Any], body: str) -> Job:
    """A problem with a body for its function; 20 seconds, for machines that are busy."""
    return Job(row["prompt"] + body, (f"{row['test']}\ncheck({row['entry_point']})",), timeout=20)


def humaneval_x_jobs(folder: Path, limit: int | None) -> Iterator[tuple[str, str, Job]]:
    """HumanEval-X's solutions with their tests: kind (reference, fails, exits), name and job."""
    for name, language in (
        ("cpp", "cpp"), ("go", "go"), ("java", "java"), ("js", "javascript"), ("js", "typescript"),
    ):  # fmt: skip
        for row in read_rows(folder / f"humaneval_{name}.jsonl.gz")[:limit]:
            fails, exits = WRONG[language]
            bodies = {"reference": row["canonical_solution"], "fails": fails, "exits": exits}
            for kind, body in bodies.items():
                code = HEADS.get(language, "") + row["prompt"] + body
                job = Job(code, (row["test"],), language, 60)
                yield kind, f"{language}/{row['task_id']}", go_job(row, job) if name == "go" else job


def go_job(row: dict[str, Any], job: Job) -> Job:
    """A Go problem as one program with a main."""
    parts = "".join(GO_IMPORTS.findall(f"{row['prompt']}\n{row['import']}\n{row['test_setup']}"))
    found = set(re.findall(r'"([^"]+)"', parts)) - GO_NAMES | GO_FORGOTTEN
    code = GO_IMPORTS.sub("", job.code)
    whole = re.sub(r"//.*", "", code + row["test"])
    # Go refuses an import that is not used.
    imports = {"reflect", *(name for name in found if re.search(rf"\b{name.rpartition('/')[2]}\.", whole))}
    head = "package main\n\nimport (\n" + "".join(f'\t"{name}"\n' for name in sorted(imports)) + ")\n"
    test = row["test"].replace("*testing.T", "int")
    entry = re.search(r"func (Test\w*)\(", test)
    assert entry
    return replace(
        job, code=head + code, tests=(f"{GO_ASSERT}\n{test}\nfunc main() {{ {entry.group(1)}(0) }}",)
    )


def processor_seconds() -> float:
    """Processor time of all processes that have ended below this one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_reference(
    checkout: Path, problems: Path, rows: list[dict[str, Any]], workers: int
) -> tuple[float, float]:
    """Seconds that human-eval takes for the rows' reference solutions: by the clock, of processors."""
    used = processor_seconds()
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder, "samples.jsonl")
        with samples.open("w", encoding="utf-8") as stream:
            for row in rows:
                sample = {"task_id": row["task_id"], "completion": row["canonical_solution"]}
                stream.write(json.dumps(sample) + "\n")
        arguments = [str(checkout.resolve()), str(samples), str(problems.resolve()), str(workers)]
        run = subprocess.run(
            [sys.executable, "-c", REFERENCE, *arguments], capture_output=True, text=True, check=False
        )
    if run.returncode:
        raise click.ClickException(f"the reference failed:\n{run.stderr}")
    return float(json.loads(run.stdout.splitlines()[-1])["seconds"]), processor_seconds() - used


def run_ours(jobs: list[Job], workers: int) -> tuple[float, float]:
    """Seconds that a new runner takes for the jobs: by the clock, of processors."""
    began, used = time.monotonic(), processor_seconds() + time.process_time()
    with Runner(workers) as runner:
        assert len(list(runner.run(jobs))) == len(jobs)
        seconds = time.monotonic() - began
    return seconds, processor_seconds() + time.process_time() - used


def humaneval(path: Path, runner: Runner) -> dict[str, Any]:
    """Statuses of reference solutions and of wrong ones."""
    rows = read_rows(path)
    right = list(runner.run(humaneval_job(row, row["canonical_solution"]) for row in rows))
    told: dict[str, Any] = {"reference": Counter(verdict.status.value for verdict in right)}
    for name, body in (("returns nothing", "    return None\n"), ("exits", "    raise SystemExit(0)\n")):
        wrong = list(runner.run(humaneval_job(row, body) for row in rows))
        told[name] = Counter(verdict.status.value for verdict in wrong)
    return told


@click.command()
@click.option("--humaneval", "problems", type=click.Path(path_type=Path, exists=True))
@click.option("--humaneval-x", "folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--reference", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--workers", type=int, default=os.cpu_count(), show_default=True)
@click.option("--rounds", type=int, default=3, show_default=True, help="Of timing; the median is told.")
@click.option("--samples", type=int, default=5, show_default=True, help="Of each problem, when timed.")
@click.option("--limit", type=int, help="Problems of each language of HumanEval-X.")
def main(
    problems: Path | None,
    folder: Path | None,
    reference: Path | None,
    workers: int,
    rounds: int,
    samples: int,
    limit: int | None,
) -> None:
    """Measure the sandbox."""
    if problems is None and folder is None:
        raise click.UsageError("give --humaneval FILE or --humaneval-x DIR")
    told: dict[str, Any] = {"workers": workers}
    wrong: list[str] = []
    with Runner(workers) as runner:
        if problems:
            told["humaneval"] = humaneval(problems, runner)
            passes = {name: statuses[Status.PASS.value] for name, statuses in told["humaneval"].items()}
            if passes != {"reference": 164, "returns nothing": 0, "exits": 0}:
                wrong.append(f"HumanEval: {passes}")
        if folder:
            named = list(humaneval_x_jobs(folder, limit))
            statuses: dict[str, Counter[str]] = {}
            began = time.monotonic()
            for (kind, name, job), verdict in zip(named, runner.run(job for *_, job in named), strict=True):
                statuses.setdefault(f"{job.language}, {kind}", Counter())[verdict.status.value] += 1
                if (verdict.status is Status.PASS) is not (kind == "reference"):
                    wrong.append(f"{name}, {kind}: {verdict.status.value}: {verdict.message}")
            told["humaneval-x"] = {**statuses, "seconds": round(time.monotonic() - began, 1)}
    if problems and reference:
        rows = read_rows(problems) * samples
        jobs = [humaneval_job(row, row["canonical_solution"]) for row in rows]
        pairs = [
            (run_ours(jobs, workers), run_reference(reference, problems, rows, workers))
            for _ in range(rounds)
        ]
        told["timed_programs"] = len(jobs)
        for at, name in enumerate(("seconds", "processor_seconds")):
            told[name] = round(median(ours[at] for ours, _ in pairs), 2)
            told[f"reference_{name}"] = round(median(theirs[at] for _, theirs in pairs), 2)
            told[f"times_less_{name}"] = round(median(theirs[at] / ours[at] for ours, theirs in pairs), 1)
    click.echo(json.dumps({**told, "not_as_expected": wrong}, indent=1))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
