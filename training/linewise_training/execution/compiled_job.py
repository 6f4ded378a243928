"""A job in another language than Python: one program for each test, judged by what is heard and printed."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from linewise_training.execution import checker
from linewise_training.execution.job import Job, Status, TestResult, Verdict
from linewise_training.execution.languages import (
    OTHERS,
    GoTools,
    Program,
    fault_in,
    is_assertion,
    is_missing,
)
from linewise_training.execution.limits import Limits
from linewise_training.execution.python_job import Heard, failed, why_it_ended
from linewise_training.execution.sandbox import Walls, launch
from linewise_training.execution.watch import channel, watch

_MARK_BYTES = 16


@dataclass(frozen=True, slots=True)
class Drive:
    """In a job's own process: what it is to run, and the mark of success."""

    program: Program
    mark: bytes


class ProgramError(Exception):
    """A program was found not to compile before it was launched."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Translate(Protocol):
    """The TypeScript compiler."""

    @property
    def processes(self) -> frozenset[int]:
        """Process IDs that are not a job's."""

    def __call__(self, source: str, deadline: float) -> str:
        """TypeScript in, JavaScript out.

        Raises:
            ProgramError: It does not compile.
            TimeoutError: Not done by the deadline (on `time.monotonic`'s clock).
        """


def run_compiled(
    job: Job, walls: Walls, limits: Limits, translate: Translate, others: frozenset[int], go: GoTools | None
) -> Verdict | Drive:
    """Run a job.

    Returns:
        In the worker the verdict; in the process of one of its programs what that is to do.
    """
    started = time.monotonic()
    deadline = started + job.timeout
    language = OTHERS[job.language]
    if reason := language.missing():
        return failed(job, Status.ENVIRONMENT, reason, "", 0.0)
    results: list[tuple[str, str]] = []  # kind, empty if passed, and message
    output = ""
    for test in job.tests or ("",):
        source = f"{job.code}\n{test}"
        try:
            if job.language == "typescript":
                source = translate(source, deadline)
            program = language.program(source, limits, go)
            done = _run(
                job, program, walls, limits, deadline, others | translate.processes, language.reserves
            )
        except ProgramError as fault:
            done = (fault.kind, str(fault), "")
        except TimeoutError:
            done = ("timeout", f"not done in {job.timeout:g} seconds", "")
        if isinstance(done, Drive):
            return done
        results.append(done[:2])
        output += done[2][: limits.output - len(output)]
        if done[0] == "timeout" or time.monotonic() >= deadline:
            break
    return _judge(job, results, output, time.monotonic() - started)


def _run(
    job: Job,
    program: Program,
    walls: Walls,
    limits: Limits,
    deadline: float,
    others: frozenset[int],
    reserves: bool,
) -> tuple[str, str, str] | Drive:
    mark = os.urandom(_MARK_BYTES)
    ours, theirs = channel()
    launched = launch(walls, limits, job.timeout, theirs.fileno(), reserves=reserves)
    if launched is None:
        for end in (ours, theirs):
            end.detach()
        return Drive(program, mark)
    theirs.close()
    heard = Heard((b"", mark), {checker.CODE})
    with closing(ours):
        ended = watch(launched, walls, limits, deadline, ours, heard, others, messages=1)
    output = ended.output.decode("utf-8", "replace")
    if 1 in heard.passed:
        return "", "", output
    if ended.timed_out:
        return "timeout", why_it_ended(job, ended, limits), output
    kind, message = heard.failures.get(1, (checker.RAISED, why_it_ended(job, ended, limits)))
    if ended.too_much:
        kind, message = checker.RAISED, why_it_ended(job, ended, limits)
    elif kind in {checker.COMPILE, checker.RAISED}:
        message = fault_in(output) or message
        if is_missing(output):
            kind = checker.MISSING
        elif kind == checker.RAISED and is_assertion(message):
            kind = checker.ASSERTION
    return kind, message, output


def _judge(job: Job, results: list[tuple[str, str]], output: str, seconds: float) -> Verdict:
    kinds = [kind for kind, _ in results]
    first = next((message for kind, message in results if kind), "")
    left = len(job.tests) - len(results)
    tests = [TestResult(not kind, message) for kind, message in results[: len(job.tests)]]
    tests += [TestResult(False, first or "not run")] * left
    if "timeout" in kinds or left > 0:
        status = Status.TIMEOUT
        first = first or f"not done in {job.timeout:g} seconds"
    elif not any(kinds):
        status = Status.PASS
    elif checker.MISSING in kinds:
        status = Status.ENVIRONMENT
    elif all(kind == checker.COMPILE for kind in kinds):
        status = Status.COMPILE_ERROR
    elif all(kinds) and set(kinds) != {checker.ASSERTION}:
        status = Status.RUNTIME_ERROR
    else:
        status = Status.PARTIAL
    return Verdict(status, tuple(tests), output, first, seconds)
