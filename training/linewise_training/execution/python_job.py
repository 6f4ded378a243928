"""A Python job: starts the checker behind the walls and judges what is heard from it."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import types
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from linewise_training.execution import checker
from linewise_training.execution.folder import Folder
from linewise_training.execution.job import Job, Status, TestResult, Verdict, job_from_json, verdict_to_json
from linewise_training.execution.limits import Limits
from linewise_training.execution.preload import RARE
from linewise_training.execution.sandbox import Walls
from linewise_training.execution.watch import Ended, channel, watch
from linewise_training.execution.zygote import Zygote

_MARK_BYTES = 16
_SANDBOX_FAILED = 70
_COMPILED_HERE = 1 << 16  # characters of a source, at most
_KEPT = 1 << 21  # characters of sources that are kept compiled, in some five bytes each
_EACH = 100  # characters that a source counts besides its own, for a line of code takes some 700 bytes
_COMPILE_SECONDS = 0.5  # of processor time
_SEEN = 8  # jobs that import a module before it is loaded once for all that come
_IMPORT = re.compile(r"^[ \t]*(?:from|import)[ \t]+(\w+)", re.MULTILINE)


class Heard:
    """What a job's process said: steps whose mark came, in order, and the failures it told."""

    __slots__ = ("failures", "marks", "passed")

    def __init__(self, marks: tuple[bytes, ...], passed: Iterable[int] = ()) -> None:
        self.marks = marks
        self.passed = set(passed)
        self.failures: dict[int, tuple[str, str]] = {}
        """By step: kind and message."""

    def __call__(self, message: bytes) -> bool:
        """Take a message; what is neither a mark nor a failure is no message of ours.

        Returns:
            Whether there are marks that have not come.
        """
        if message in self.marks:
            step = self.marks.index(message)
            # The code comes first, a step once, and a failure that was told is not taken back.
            if step not in self.failures and (step == checker.CODE or checker.CODE in self.passed):
                self.passed.add(step)
            return len(self.passed) < len(self.marks)
        # Code under test can write here, too: infinite numbers, or lists in lists without end.
        with suppress(ValueError, KeyError, TypeError, OverflowError, RecursionError):
            told: Mapping[str, Any] = json.loads(message)
            self.failures.setdefault(int(told["step"]), (str(told["kind"]), str(told["message"])))
        return True


class PythonJobs:
    """Runs Python jobs, one after another."""

    def __init__(self, zygote: Zygote, walls: Walls, limits: Limits, folder: Folder | None) -> None:
        """Take what there is one of.

        Args:
            zygote: Forks the jobs' processes.
            walls: What the worker is behind.
            limits: Bounds of each job.
            folder: Where the jobs are to be; none where there are no namespaces, then each gets one.
        """
        self._zygote = zygote
        self._walls = walls
        self._limits = limits
        self._folder = folder
        self._imports: Counter[str] = Counter()
        self._compiled = CompiledSources()

    def __call__(self, row: dict[str, Any], others: frozenset[int]) -> dict[str, Any]:
        """Run a job.

        Args:
            row: The job as JSON has it; `careful` in it if a worker has died over it.
            others: Children of this worker that are not the job's.

        Returns:
            The verdict as JSON has it.
        """
        self._preload(row["code"])
        walls, limits, folder = self._walls, self._limits, self._folder
        code, tests, timeout = row["code"], row["tests"], row["timeout"]
        started = time.monotonic()
        secret = os.urandom(_MARK_BYTES * (len(tests) + 1))
        marks = tuple(secret[at : at + _MARK_BYTES] for at in range(0, len(secret), _MARK_BYTES))
        programs = [code, *tests]
        if not row.get("careful"):
            programs = self._compiled.all_of(programs)
        ours, theirs = channel()
        launched = self._zygote.launch([marks, programs[1:], programs[0]], timeout, theirs.fileno())
        theirs.close()
        heard = Heard(marks)
        try:
            ended = watch(
                launched, walls, limits, started + timeout, ours, heard, others, messages=len(marks)
            )
        finally:
            ours.close()
        if folder:
            folder.renew()
        seconds = time.monotonic() - started
        if len(heard.passed) == len(marks) and not ended.output:  # what `judge` would say, in less time
            passed = [(True, "")] * len(tests)
            return {"status": "pass", "tests": passed, "output": "", "message": "", "seconds": seconds}
        return verdict_to_json(judge(job_from_json(row), heard, ended, limits, seconds))

    def _preload(self, code: str) -> None:
        """Count what is imported; where that pays, have it loaded for the jobs to come."""
        found = {name for name in _IMPORT.findall(code) if name in RARE}
        self._imports.update(found)
        if wanted := [name for name in found if self._imports[name] == _SEEN]:
            self._zygote.import_modules(wanted)


class CompiledSources:
    """Code that was compiled, for the samples of one problem have its tests, and often each other's text.

    What was used last is kept, as long as the sources together are not too long: a source is at hand for
    its second use whatever the number of problems between.
    """

    def __init__(self, most: int = _KEPT) -> None:
        """Start with none; `most` characters of sources are kept, of which each counts `_EACH` more."""
        self._most = most
        self._characters = 0
        self._kept: OrderedDict[tuple[str, int], types.CodeType | str] = OrderedDict()

    def all_of(self, sources: list[str]) -> list[types.CodeType | str]:
        """The code of each step, in bounded time."""
        steps = list(enumerate(sources))
        at_hand = all((source, step) in self._kept for step, source in steps)
        if not at_hand:
            signal.setitimer(signal.ITIMER_PROF, _COMPILE_SECONDS)
        found = [self(source, step) for step, source in steps]
        if not at_hand:
            signal.setitimer(signal.ITIMER_PROF, 0)
        return found

    def __call__(self, source: str, step: int) -> types.CodeType | str:
        """A step's code; or its source, where `compile` has something to say, which the job's process will.

        Not in the process of the job, since what it costs there is memory: half of the job's, most often. To
        compile runs nothing of the source. One that takes long or kills this process is compiled by its job
        when it comes again.
        """
        key = source, step
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        if len(source) > _COMPILED_HERE:
            return source
        try:
            found = checker.compile_source(source, step)  # a warning is an error here
        except Exception:
            found = source
        self._kept[key] = found
        self._characters += len(source) + _EACH
        while self._characters > self._most:
            (dropped, _), _ = self._kept.popitem(last=False)
            self._characters -= len(dropped) + _EACH
        return found


def judge(job: Job, heard: Heard, ended: Ended, limits: Limits, seconds: float) -> Verdict:
    """What was heard and how the process ended, as a verdict."""
    output = ended.output.decode("utf-8", "replace")
    if ended.status == _SANDBOX_FAILED and checker.CODE not in heard.passed and not heard.failures:
        reason = output.strip() or "the sandbox could not be made"
        return failed(job, Status.ENVIRONMENT, reason, "", seconds)
    why = why_it_ended(job, ended, limits)
    if checker.CODE not in heard.passed:
        kind, message = heard.failures.get(checker.CODE, (checker.RAISED, why))
        status = {checker.COMPILE: Status.COMPILE_ERROR, checker.MISSING: Status.ENVIRONMENT}.get(kind)
        if status is None:
            status = Status.TIMEOUT if ended.timed_out else Status.RUNTIME_ERROR
        return failed(job, status, message, output, seconds)
    results, kinds = [], []
    for step in range(1, len(job.tests) + 1):
        if step in heard.passed:
            results.append(TestResult(True, ""))
        else:
            kind, message = heard.failures.get(step, (checker.RAISED, why))
            kinds.append(kind)
            results.append(TestResult(False, message))
    status = Status.PASS
    if kinds:
        if ended.timed_out:
            status = Status.TIMEOUT
        elif {checker.MISSING, checker.BAD_TEST} & set(kinds):
            status = Status.ENVIRONMENT
        elif len(kinds) == len(results) and set(kinds) != {checker.ASSERTION}:
            status = Status.RUNTIME_ERROR
        else:
            status = Status.PARTIAL
    first = next((result.message for result in results if not result.passed), "")
    return Verdict(status, tuple(results), output, first, seconds)


def failed(job: Job, status: Status, message: str, output: str, seconds: float) -> Verdict:
    """The verdict on a job of which no test could run."""
    results = tuple(TestResult(False, message) for _ in job.tests)
    return Verdict(status, results, output, message, seconds)


def why_it_ended(job: Job, ended: Ended, limits: Limits) -> str:
    """Why a process ended before it was done, in words."""
    if ended.timed_out:
        return f"not done in {job.timeout:g} seconds"
    if ended.too_much:
        return f"stopped: it used {ended.too_much}, more than {limits.total_memory >> 20} MiB"
    if ended.status < 0:
        with suppress(ValueError):
            return f"the process was killed by {signal.Signals(-ended.status).name}"
        return f"the process was killed by signal {-ended.status}"
    return f"the process exited with status {ended.status} before the test was done"
