"""Runs code that nobody has read, with its tests, in a sandbox, and says what came of it.

    with Runner(workers=2) as runner:
        for verdict in runner.run([Job("def f():\n    return 1\n", ("assert f() == 1",))]):
            print(verdict.status)

docs/evaluation.md tells what the sandbox keeps out, and what it does not.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` is among what a worker needs not load at its very start
if TYPE_CHECKING:
    from typing import Any

    from linewise_training.execution.job import LANGUAGES, Job, Status, TestResult, Verdict
    from linewise_training.execution.limits import Limits
    from linewise_training.execution.runner import Layer, Runner

__all__ = ["LANGUAGES", "Job", "Layer", "Limits", "Runner", "Status", "TestResult", "Verdict"]


def __getattr__(name: str) -> Any:
    """Load what is asked for: a worker needs little of this package, and its jobs pay for all that it has."""
    if name in __all__:
        import importlib  # noqa: PLC0415 -- nor this

        for module in ("job", "limits", "runner"):
            found = importlib.import_module(f"{__name__}.{module}")
            if hasattr(found, name):
                return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
