"""Runs Python code and its tests, one after another, inside a job's process.

The code under test shares this interpreter, so what it can reach it can forge. A test counts as passed only
when the worker outside receives the mark that it drew for it. While a test runs, its mark lies nowhere but on
the interpreter's value stack (those of the tests to come in a C iterator there), which no frame, module or
closure shows; an exception drops it for good. The ways to look there are shut by an audit hook, and the
process cannot open its own memory. See docs/evaluation.md for what stays possible.
"""

from __future__ import annotations

import builtins
import importlib.util
import json
import os
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, NoReturn

from linewise_training.execution.preload import Hooks
from linewise_training.execution.sandbox import CHANNEL

CODE = 0  # the step that runs the code; test i is step i + 1
COMPILE, ASSERTION, MISSING, RAISED, BAD_TEST = "compile", "assertion", "missing", "raised", "bad test"
_MESSAGE_CHARACTERS = 2000
_REHEARSALS = 20


def lay_ready(task: list[Any], namespace: dict[str, Any]) -> list[Iterator[bool]]:
    """What `check` takes; done in the process that the job's is forked from, where it costs no pages.

    Args:
        task: Marks (bytes, for the code and each test), tests, code, these as text or compiled.
        namespace: Of the module that the code is run in, from `make_ready`.
    """
    if all(type(program) is types.CodeType for program in (task[2], *task[1])):
        return [map(step, steps(task, namespace))]
    # What is not compiled yet is not to be, here.
    return [map(step, chain.from_iterable(map(steps, [task], [namespace])))]


def check(
    ready: list[Iterator[bool]], flush: Callable[[], None], leave: Callable[[int], NoReturn], hooks: Hooks
) -> NoReturn:
    """Run a job and end the process.

    Args:
        ready: From `lay_ready`; emptied, since callers' frames are in the sight of the code under test.
        flush: Writes what the code has printed.
        leave: `os._exit`.
        hooks: What the standard library wants to have called when the code forks.
    """
    for functions in hooks:
        os.register_at_fork(**functions)
    run(ready)
    try:
        flush()
    finally:
        leave(0)


def run(ready: list[Iterator[bool]]) -> None:
    """Run the code and the tests, as far as they go."""
    for goes_on in ready.pop():
        if not goes_on:
            break


def make_ready(own: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """In the process that jobs are forked from, once: what every job needs and would pay for.

    The code under test finds no module of ours, so nothing of ours can be imported afterwards. `CHANNEL`
    is written to.

    Args:
        own: This module's functions by their names, or what runs in their place.

    Returns:
        `namespace` of `lay_ready`. Its builtins are a copy: what the code does to the module of that name
        does not reach the tests.
    """
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115
    nothing = compile("", "", "exec")
    for _ in range(_REHEARSALS):  # the interpreter adapts what has run often, by writing to it
        own["run"](own["lay_ready"]([(b"", b""), [nothing], nothing], {}))
    ours = {"linewise", "linewise_training"}
    for name in [name for name in sys.modules if name.partition(".")[0] in ours]:
        del sys.modules[name]
    module = types.ModuleType("solution")
    sys.modules["solution"] = sys.modules["__main__"] = module
    module.__dict__["__builtins__"] = dict(builtins.__dict__)
    sys.addaudithook(own["refuse"])
    return module.__dict__


def compile_source(source: str | types.CodeType, step: int) -> types.CodeType:
    """The code of a step, compiled if it is not yet.

    Raises:
        SyntaxError: And whatever else `compile` raises.
    """
    if isinstance(source, types.CodeType):
        return source
    return compile(source, f"test {step}" if step else "solution.py", "exec", dont_inherit=True)


def refuse(event: str, _: tuple[Any, ...]) -> None:
    """An audit hook: shut the ways to marks."""
    if event in {
        "gc.get_objects",
        "gc.get_referrers",
        "gc.get_referents",
        "sys._current_frames",
        "sys._current_exceptions",
        "sys.settrace",
        "sys.setprofile",
        "sys.addaudithook",
        "sys.monitoring.register_callback",
    }:
        raise RuntimeError(f"{event} is not for code under test")


def steps(task: list[Any], namespace: dict[str, Any]) -> Iterator[list[Any]]:
    """What `step` takes, for the code and for each test that compiles."""
    code, tests, marks = task.pop(), task.pop(), task.pop()
    try:
        program = compile_source(code, CODE)
    except BaseException as error:  # RecursionError and MemoryError, too
        _tell(CODE, COMPILE, error)
        return iter(())
    programs = [(CODE, program)]
    for index, test in enumerate(tests, CODE + 1):
        try:
            programs.append((index, compile_source(test, index)))
        except BaseException as error:
            _tell(index, BAD_TEST, error)
    return iter(
        [[index, namespace, program, exec, marks[index], CHANNEL, os.write] for index, program in programs]
    )


def step(item: list[Any]) -> bool:
    """Run one program and, if it ends well, write its mark; whether the next may run."""
    index = item.pop(0)
    try:
        # write(channel, (mark, exec(program, namespace))[0]): all is on the value stack before exec runs.
        item.pop()(item.pop(), (item.pop(), item.pop()(item.pop(), item.pop()))[0])
    except BaseException as error:  # SystemExit is no pass, either
        kind = RAISED
        if isinstance(error, AssertionError):
            kind = ASSERTION
        elif isinstance(error, ModuleNotFoundError) and _is_missing(error.name):
            kind = MISSING
        _tell(index, kind, error)
        return bool(index != CODE)
    return True


def _is_missing(name: str | None) -> bool:
    """Whether a module's package is not installed; a wrong name in one that is, is the code's fault."""
    root = (name or "").partition(".")[0]
    try:
        return bool(root) and importlib.util.find_spec(root) is None
    except (ImportError, ValueError):
        return False


def _tell(index: int, kind: str, error: BaseException) -> None:
    try:
        message = "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()[-1]
    except BaseException:  # an exception of the code under test may fail to be printed
        message = type(error).__name__
    message = message[:_MESSAGE_CHARACTERS]
    os.write(CHANNEL, json.dumps({"step": index, "kind": kind, "message": message}).encode())
