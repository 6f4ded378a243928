"""What is run, and what came of it: jobs and verdicts, and their JSON between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

DEFAULT_TIMEOUT = 5.0
LANGUAGES = ("python", "java", "javascript", "typescript", "c", "cpp", "go")


class Status(str, Enum):
    """How a job ended, worst first but for `ENVIRONMENT`, which says nothing about the code (SODA, 3.3.2)."""

    COMPILE_ERROR = "compile_error"
    """The code does not parse or compile."""
    RUNTIME_ERROR = "runtime_error"
    """The code failed when it ran, or no test passed and at least one failed by more than an assertion."""
    TIMEOUT = "timeout"
    """Not done in the job's seconds; tests that had passed before stay passed."""
    PARTIAL = "partial"
    """It runs, but not all tests passed: n of m, where n may be 0 if all failures are failed assertions."""
    PASS = "pass"
    """Every test passed (without tests: the code ran to its end)."""
    ENVIRONMENT = "environment"
    """A module, a header or a compiler is missing here: the same code may pass elsewhere."""


@dataclass(frozen=True, slots=True)
class Job:
    """A program and its tests.

    Python: `code` is run, then each of `tests` (statements) in the same namespace, whatever became of the
    one before. Other languages: `code` and one test are one program, compiled and run for each test; the
    test brings the program's `main` where the language has one. `timeout` is in seconds, for all of it.
    """

    code: str
    tests: tuple[str, ...]
    language: str = "python"
    timeout: float = DEFAULT_TIMEOUT

    def __post_init__(self) -> None:
        """Check what a caller may get wrong.

        Raises:
            ValueError: An unknown language, or a timeout that is no positive number.
        """
        if self.language not in LANGUAGES:
            raise ValueError(f"unknown language {self.language!r}; known are {', '.join(LANGUAGES)}")
        if not 0 < self.timeout < float("inf"):
            raise ValueError(f"timeout is {self.timeout}; it must be a number of seconds above 0")


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test's own result; `message` is its exception's last line or a like reason, empty if it passed."""

    __test__ = False  # pytest takes every class named Test... for one of tests

    passed: bool
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a job: `tests` in the job's order, what it printed, why it is no pass, wall seconds."""

    status: Status
    tests: tuple[TestResult, ...]
    output: str
    message: str
    seconds: float


def job_to_json(job: Job) -> dict[str, Any]:
    """A job as JSON takes it."""
    return {"code": job.code, "tests": job.tests, "language": job.language, "timeout": job.timeout}


def job_from_json(row: Mapping[str, Any]) -> Job:
    """The job that `job_to_json` wrote."""
    return Job(row["code"], tuple(row["tests"]), row["language"], row["timeout"])


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON takes it."""
    return {
        "status": verdict.status.value,
        "tests": [(test.passed, test.message) for test in verdict.tests],
        "output": verdict.output,
        "message": verdict.message,
        "seconds": verdict.seconds,
    }


def verdict_from_json(row: Mapping[str, Any]) -> Verdict:
    """The verdict that `verdict_to_json` wrote."""
    tests = tuple(TestResult(passed, message) for passed, message in row["tests"])
    return Verdict(Status(row["status"]), tests, row["output"], row["message"], row["seconds"])
