"""What a worker loads once, so that no job need."""

from __future__ import annotations

import importlib
import marshal
import os
import sys
import types
from collections.abc import Callable
from typing import Any

Hooks = list[dict[str, Callable[[], Any]]]

# What solutions of small problems import, and what it takes to run them.
_COMMON = (
    "abc", "bisect", "collections", "collections.abc", "contextlib", "copy", "ctypes", "enum", "functools",
    "heapq", "itertools", "json", "math", "operator", "random", "re", "string", "time", "traceback",
    "types", "typing", "warnings",
)  # fmt: skip
# What some do: each takes more time of every job than it saves, where few import it.
RARE = (
    "array", "calendar", "cmath", "dataclasses", "datetime", "decimal", "fractions", "hashlib", "inspect",
    "io", "numbers", "pprint", "queue", "statistics", "struct", "textwrap", "threading", "unicodedata",
)  # fmt: skip
_GAPS = 1 << 14  # bytes to take of objects of one size: what may be free in pages in use


def preload() -> Hooks:
    """Import modules; what they want to have called around a fork is not, but handed back.

    It costs a job more than its start. A worker has one thread and no use for it; `checker.check` has it
    called again, since the code under test may fork with threads.
    """
    hooks: Hooks = []
    register = os.register_at_fork
    os.register_at_fork = lambda **functions: hooks.append(functions)
    try:
        for name in _COMMON:
            importlib.import_module(name)
    finally:
        os.register_at_fork = register
    return hooks


def fill_gaps() -> list[object]:
    """Take what is free in pages that are in use, as long as the result lives; what comes next lies together.

    A process that was forked, and the one that it was forked from, copy each page that they write to. What a
    job's start touches lay on some hundred pages otherwise, a few bytes on each.
    """
    header = sys.getsizeof(b"")
    small: list[object] = [object() for _ in range(_GAPS // 16)]
    small += [float(number) for number in range(_GAPS // 32)]
    return small + [bytes(size - header) for size in range(48, 513, 16) for _ in range(_GAPS // size)]


def lay_together(*functions: Any) -> dict[str, Any]:
    """Copies of functions that lie side by side, after `fill_gaps`, and what they name; they call each other.

    Python writes to a function, its code and its constants when it runs: where each lies among what has
    been imported, a job copies a page for each.

    Raises:
        ValueError: A name stands for different things.
    """
    together: dict[str, Any] = {"__builtins__": __builtins__}
    copies = {}
    for function in functions:
        code = marshal.loads(marshal.dumps(function.__code__))
        copies[function.__name__] = types.FunctionType(
            code, together, function.__name__, function.__defaults__
        )
        for name in _names(code) & function.__globals__.keys():
            if together.setdefault(name, function.__globals__[name]) is not function.__globals__[name]:
                raise ValueError(f"{name} is not the same everywhere")
    together.update(copies)
    return together


def _names(code: types.CodeType) -> set[str]:
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*inner)
