"""From samples to scores: each program runs with its problem's tests, in the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from linewise_training.evaluation.problems import Problem
from linewise_training.evaluation.scores import pass_at_k, wilson
from linewise_training.evaluation.writing import Asked
from linewise_training.execution import Job, Runner, Status, Verdict
from linewise_training.sampling import JsonlFile, Sample

_SHOWN = 2000  # characters of a program's output that are kept


@dataclass(frozen=True, slots=True)
class Item:
    """One problem in one shape of prompt, with its samples."""

    problem: Problem
    shape: str
    asked: Asked
    samples: tuple[Sample, ...]


def grade(
    items: Sequence[Item],
    path: Path,
    runner: Runner,
    *,
    ks: Sequence[int],
    timeout: float,
    advance: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """A row for each item, in their order, each a line of the file at `path`; what stands there is kept.

    A row has `task`, `shape`, `scores` (pass@k by name), `interval` (Wilson's, of a sample's probability to
    pass) and `samples`, each with its program, status, tests and, for models that write edits, hunks.
    `timeout` is in seconds, for all tests of a program.
    """
    with JsonlFile(path) as file:
        rows = list(file.rows)
        if advance is not None:
            advance(len(rows))
        for row in _graded(items[len(rows) :], runner, ks, timeout):
            file.append(row)
            rows.append(row)
            if advance is not None:
                advance(1)
    return rows


def check_programs(
    problems: Iterable[Problem], program: Callable[[Problem], str], runner: Runner, timeout: float
) -> Iterator[tuple[Problem, Verdict]]:
    """What comes of one program a problem, such as its reference solution."""
    problems = list(problems)
    verdicts = runner.run(_job(problem, program(problem), timeout) for problem in problems)
    yield from zip(problems, verdicts, strict=True)


def _graded(
    items: Sequence[Item], runner: Runner, ks: Sequence[int], timeout: float
) -> Iterator[dict[str, Any]]:
    read = [[item.asked.read(sample.text) for sample in item.samples] for item in items]
    # The same program fails the same way twice: it runs once.
    distinct = [list(dict.fromkeys(one.program for one in written)) for written in read]
    verdicts = runner.run(
        _job(item.problem, program, timeout)
        for item, programs in zip(items, distinct, strict=True)
        for program in programs
    )
    for item, written, programs in zip(items, read, distinct, strict=True):
        verdict_of = {program: next(verdicts) for program in programs}
        samples = [
            {
                "sample": sample.sample,
                **_told(verdict_of[one.program]),
                "tokens": sample.tokens,
                "ended": sample.ended,
                **{name: value for name, value in asdict(one).items() if value is not None},
            }
            for sample, one in zip(item.samples, written, strict=True)
        ]
        passed = sum(one["status"] == Status.PASS.value for one in samples)
        yield {
            "task": item.problem.task,
            "shape": item.shape,
            "scores": {f"pass@{k}": pass_at_k(len(samples), passed, k) for k in ks},
            "interval": list(wilson(passed, len(samples))),
            "samples": samples,
        }


def _job(problem: Problem, program: str, timeout: float) -> Job:
    return Job(program, problem.tests, problem.language, timeout)


def _told(verdict: Verdict) -> Mapping[str, Any]:
    failed = [test.message for test in verdict.tests if not test.passed]
    return {
        "status": verdict.status.value,
        "passed": sum(test.passed for test in verdict.tests),
        "tests": len(verdict.tests),
        "message": verdict.message or (failed[0] if failed else ""),
        "output": verdict.output[:_SHOWN],
    }
