"""Runs code that nobody has read, with its tests, in a sandbox, and says what came of it.

    with Runner(workers=2) as runner:
        for verdict in runner.run([Job("def f():\n    return 1\n", ("assert f() == 1",))]):
            print(verdict.status)

docs/evaluation.md tells what the sandbox keeps out, and what it does not.
"""

from linewise_training.execution.job import LANGUAGES, Job, Status, TestResult, Verdict
from linewise_training.execution.limits import Limits
from linewise_training.execution.runner import Layer, Runner

__all__ = ["LANGUAGES", "Job", "Layer", "Limits", "Runner", "Status", "TestResult", "Verdict"]
