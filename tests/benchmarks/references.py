"""What the reference solutions of a benchmark score, read and tested as `linewise eval` does it.

    python tests/benchmarks/references.py mbpp mbpp_release_v1.jsonl.gz [--limit 200]

Prints one JSON object: how many solutions came to which status, and what was the matter with each that does
not pass. A benchmark whose own solutions fail its tests sets a bound to every score.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import click

from linewise_training.evaluation.grading import check_programs
from linewise_training.evaluation.problems import BENCHMARKS, read_problems
from linewise_training.execution import Runner, Status


@click.command()
@click.argument("benchmark", type=click.Choice(list(BENCHMARKS)))
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--limit", type=click.IntRange(min=1), help="Only the first problems of the file.")
@click.option("--timeout", type=float, default=20.0, show_default=True, help="Seconds a program.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes. Default: all processors.")
def main(benchmark: str, path: Path, limit: int | None, timeout: float, workers: int | None) -> None:
    """Run the reference solutions of BENCHMARK in the file PATH."""
    problems = [one for one in read_problems(benchmark, path, limit) if one.reference is not None]
    statuses: Counter[str] = Counter()
    others: dict[str, str] = {}
    with Runner(workers) as runner:
        for problem, verdict in check_programs(problems, lambda one: one.reference or "", runner, timeout):
            statuses[verdict.status.value] += 1
            if verdict.status is not Status.PASS:
                others[problem.task] = f"{verdict.status.value}: {verdict.message}"
    click.echo(json.dumps({"problems": len(problems), "statuses": statuses, "others": others}, indent=1))


if __name__ == "__main__":
    main()
