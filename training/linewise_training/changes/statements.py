"""Changes of whole lines: docstrings, imports, comments, checks of arguments, functions that go."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Sequence

from linewise.edits import Lines
from linewise_training.changes.code import (
    MAX_LINES,
    NEAR,
    Change,
    Code,
    Definition,
    asked,
    first_line,
    last_line,
    some_of,
)

MAX_DOCSTRING = 14  # lines
MAX_COMMENTS = 4

_DOCSTRING = (
    "add a docstring to {name}",
    "add a docstring to {name}",
    "document {name}",
    "write a docstring for {name}",
    "write the docstring of {name}",
)
_DOCSTRINGS = (
    "add docstrings",
    "add a docstring to every function",
    "document the functions",
    "add the missing docstrings",
    "write docstrings",
)
_NO_DOCSTRING = (
    "remove the docstring of {name}",
    "remove the docstring from {name}",
    "delete {name}'s docstring",
)
_IMPORT = ("import {name}", "add the import of {name}", "add the missing import of {name}")
_SOME_IMPORT = (
    "add the missing import",
    "fix the missing import",
    "import what is missing",
    "fix the imports",
)
_UNUSED = (
    "remove the unused import",
    "remove unused imports",
    "remove the unused import {name}",
    "remove the import of {name}",
    "clean up the imports",
)
_UNUSED_MODULES = (
    "os", "sys", "re", "json", "math", "time", "random", "itertools", "functools", "collections", "logging",
    "subprocess", "shutil", "glob", "copy", "string", "datetime", "hashlib", "tempfile", "threading",
)  # fmt: skip


def _raises(error: str, must: str) -> str:
    return f'    raise {error}("{{name}} must {must}")'


_NO_COMMENTS = (
    "remove the comments in {name}",
    "remove the comments from {name}",
    "delete the comments of {name}",
)
_COMMENTS = ("add comments to {name}", "comment {name}", "explain {name} with comments")
_DELETE = ("remove {name}", "delete {name}", "remove the function {name}", "delete the function {name}")
# How it is asked for, and the lines that do it, `{name}` being the argument.
_CHECKS = (
    ("raise ValueError if {name} is None", "if {name} is None:", _raises("ValueError", "not be None")),
    (
        "raise a ValueError if {name} is negative",
        "if {name} < 0:",
        _raises("ValueError", "not be below 0"),
    ),
    ("check that {name} is not empty", "if not {name}:", _raises("ValueError", "not be empty")),
    (
        "raise TypeError unless {name} is a string",
        "if not isinstance({name}, str):",
        _raises("TypeError", "be a string"),
    ),
    (
        "raise TypeError unless {name} is an int",
        "if not isinstance({name}, int):",
        _raises("TypeError", "be an int"),
    ),
    ("return None if {name} is empty", "if not {name}:", "    return None"),
    ("return early if {name} is None", "if {name} is None:", "    return"),
    ("return {name} if it is empty", "if not {name}:", "    return {name}"),
    ("print {name} at the start", "print({name})"),
    ("print the value of {name}", 'print("{name}:", {name})'),
)


def docstrings(code: Code, rng: random.Random) -> Change | None:
    """A docstring is written, or a few of them, or one is taken away."""
    documented = {one: span for one in code.definitions if (span := _docstring(code, one))}
    if not documented:
        return None
    chosen = some_of(list(documented), 0.3, rng)
    bare = _without(code.lines, [documented[one] for one in chosen])
    if len(chosen) > 1:
        return Change(asked(_DOCSTRINGS, rng), bare, code.lines)
    if rng.random() < 0.15:
        return Change(asked(_NO_DOCSTRING, rng, name=chosen[0].name), code.lines, bare)
    return Change(asked(_DOCSTRING, rng, name=chosen[0].name), bare, code.lines)


def imports(code: Code, rng: random.Random) -> Change | None:
    """An import that is missing is put in, or one that nothing uses taken away."""
    found = [
        node
        for node in code.tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        and node.end_lineno == node.lineno
        and ";" not in code.lines[node.lineno - 1]
        and getattr(node, "module", "") != "__future__"
        and node.names[0].name != "*"
    ]
    if not found:
        return None
    node = rng.choice(found)
    line = node.lineno - 1
    if rng.random() < 0.5:
        unused = [name for name in _UNUSED_MODULES if name not in code.words]
        if not unused:
            return None
        name = rng.choice(unused)
        at = line + rng.randrange(2)
        before = (*code.lines[:at], f"import {name}", *code.lines[at:])
        return Change(asked(_UNUSED, rng, name=name), before, code.lines)
    names = [one.asname or one.name.split(".")[0] for one in node.names]
    bare = _without(code.lines, [(line, line + 1)])
    uses = [_first_use(name, bare) for name in names]
    reason = max((-1 if use is None else use for use in uses), default=-1)
    if None in uses or abs(reason - line) > NEAR:
        return None
    if len(names) > 1 or rng.random() < 0.4:
        return Change(asked(_SOME_IMPORT, rng), bare, code.lines, reason=reason)
    return Change(asked(_IMPORT, rng, name=names[0]), bare, code.lines, reason=reason)


def comments(code: Code, rng: random.Random) -> Change | None:
    """The comments of a function go, or come."""
    found = []
    for one in code.functions:
        inside = range(one.body[0].lineno - 1, last_line(one))
        spans = [(n, n + 1) for n in inside if n in code.comments]
        are_lines = all(re.match(r"\s*#\s*[A-Za-z]", code.lines[n]) for n, _ in spans)
        if 0 < len(spans) <= MAX_COMMENTS and are_lines:
            found.append((one.name, spans))
    if not found:
        return None
    name, spans = rng.choice(found)
    bare = _without(code.lines, spans)
    if rng.random() < 0.5:
        return Change(asked(_NO_COMMENTS, rng, name=name), code.lines, bare)
    return Change(asked(_COMMENTS, rng, name=name), bare, code.lines)


def deletion(code: Code, rng: random.Random) -> Change | None:
    """A function goes that nothing else in the file names."""
    alone = [
        one
        for parent in code.nodes
        if isinstance(parent, (ast.Module, ast.ClassDef)) and len(parent.body) > 1
        for one in parent.body
        if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))
        and last_line(one) - first_line(one) < MAX_LINES
        and not one.name.startswith("__")
        and len(re.findall(rf"\b{one.name}\b", code.text)) == 1
    ]
    if not alone:
        return None
    chosen = rng.choice(alone)
    start, end = first_line(chosen), last_line(chosen)
    while end < len(code.lines) - 1 and not code.lines[end].strip():
        end += 1
    after = _without(code.lines, [(start, end)])
    return Change(asked(_DELETE, rng, name=chosen.name), code.lines, after)


def check(code: Code, rng: random.Random) -> Change | None:
    """A function looks at one of its arguments before all else."""
    found = [
        (one, arg.arg) for one in code.functions for arg in one.args.args if arg.arg not in ("self", "cls")
    ]
    if not found:
        return None
    function, name = rng.choice(found)
    way, *does = rng.choice(_CHECKS)
    yields = any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in ast.walk(function))
    if does[-1].strip().startswith("return ") and (yields or function.name == "__init__"):
        return None  # which cannot return a value
    body = function.body
    first = body[1] if ast.get_docstring(function) is not None and len(body) > 1 else body[0]
    decorators = [one.lineno for one in getattr(first, "decorator_list", ())]
    at = min([first.lineno, *decorators]) - 1
    if body[0].lineno == function.lineno or (first is body[0] and ast.get_docstring(function) is not None):
        return None
    indent = " " * first.col_offset
    if code.lines[at][: first.col_offset] != indent:
        return None  # indented by tabs
    added = [indent + line.format(name=name) for line in does]
    is_only = [other for _, other in found].count(name) == 1
    ways = (f"{way} in {{function}}", f"{way} in {{function}}", f"in {{function}}, {way}", way)[: 3 + is_only]
    instruction = asked([one.replace("{name}", name) for one in ways], rng, function=function.name)
    return Change(instruction, code.lines, (*code.lines[:at], *added, *code.lines[at:]))


def _docstring(code: Code, node: Definition) -> tuple[int, int] | None:
    """0-based lines of a docstring that stands on lines of its own, with blank ones after it."""
    first = node.body[0]
    if len(node.body) < 2 or ast.get_docstring(node) is None or first.end_lineno is None:
        return None
    start, end = first.lineno - 1, first.end_lineno
    if end - start > MAX_DOCSTRING or start == node.lineno - 1 or node.body[1].lineno <= end:
        return None
    if code.lines[end - 1].rstrip()[-3:] not in ('"""', "'''"):
        return None
    while end < len(code.lines) and not code.lines[end].strip():
        end += 1
    return start, end


def _first_use(name: str, lines: Lines) -> int | None:
    word = re.compile(rf"^[^#]*\b{name}\b(?!\")")
    return next((number for number, line in enumerate(lines) if word.search(line)), None)


def _without(lines: Lines, spans: Sequence[tuple[int, int]]) -> Lines:
    gone = {n for start, end in spans for n in range(start, end)}
    return tuple(line for n, line in enumerate(lines) if n not in gone)
