"""Renamings: of a function's parameter or variable, and of a function that is used near by alone."""

from __future__ import annotations

import ast
import keyword
import random
import re
from collections import defaultdict
from typing import TypeVar

from linewise_training.changes.code import (
    Change,
    Code,
    Function,
    Replacement,
    asked,
    first_line,
    last_line,
)

_Node = TypeVar("_Node", bound=ast.AST)

MAX_SPAN = 28  # lines from the first place of a name to the last
_READS_NAMES = {"locals", "vars", "eval", "exec"}  # what asks for variables by their names
_PLAIN_DECORATORS = {"staticmethod", "classmethod", "property", "abstractmethod", "abc.abstractmethod"}

_VARIABLE = (
    "rename {old} to {new}",
    "rename {old} to {new}",
    "rename {old} to {new} in {function}",
    "rename the variable {old} to {new}",
    "call {old} {new} instead",
    "change the name of {old} to {new}",
    "use the name {new} instead of {old}",
)
_VARIABLE_OF = (
    "rename {old} to {new} in {function}",
    "in {function}, rename {old} to {new}",
    "rename the variable {old} of {function} to {new}",
    "in {function}, call {old} {new} instead",
    "change the name of {old} in {function} to {new}",
)
_PARAMETER = (
    *_VARIABLE,
    "rename the argument {old} to {new}",
    "rename the parameter {old} to {new}",
    "rename the parameter {old} of {function} to {new}",
    "rename the argument {old} of {function} to {new}",
)
_PARAMETER_OF = (*_VARIABLE_OF, *_PARAMETER[-2:])
_FUNCTION = (
    "rename {old} to {new}",
    "rename the function {old} to {new}",
    "call the function {new} instead of {old}",
    "change the name of {old} to {new}",
)
_WORDS = (
    "address", "amount", "answer", "array", "base", "body", "buffer", "cache", "child", "choice", "client",
    "code", "color", "column", "command", "config", "content", "context", "count", "current", "data", "date",
    "default", "delay", "depth", "destination", "document", "element", "email", "entry", "error", "event",
    "extra", "factor", "field", "file", "filename", "first", "flag", "folder", "frame", "group", "handler",
    "height", "host", "identifier", "image", "index", "info", "initial", "input", "item", "items", "job",
    "key", "label", "last", "length", "level", "limit", "line", "lines", "location", "lower", "manager",
    "mapping", "matrix", "maximum", "message", "minimum", "mode", "model", "module", "name", "node", "number",
    "numbers", "offset", "options", "order", "origin", "output", "owner", "page", "parent", "part", "parts",
    "path", "pattern", "payload", "place", "point", "points", "port", "position", "prefix", "price",
    "process", "query", "queue", "radius", "rate", "reader", "record", "records", "reply", "request",
    "response", "result", "results", "root", "row", "rows", "rule", "sample", "scale", "schema", "score",
    "seconds", "section", "seed", "session", "settings", "shape", "side", "size", "source", "stack", "start",
    "state", "status", "step", "stop", "stream", "suffix", "table", "tag", "target", "task", "temperature",
    "template", "text", "threshold", "timeout", "title", "token", "tokens", "total", "tree", "unit", "upper",
    "url", "user", "value", "values", "vector", "version", "weight", "width", "window", "word", "words",
    "worker", "writer",
)  # fmt: skip


def renaming(code: Code, rng: random.Random) -> Change | None:
    """A parameter or a variable of a function is called something else."""
    if not code.functions:
        return None
    function = rng.choice(code.functions)
    places = _local_names(function)
    parameters = {arg.arg for arg in _arguments(function)}
    known = {name for name in parameters if _is_known_elsewhere(code, function, name)}
    names = [name for name in sorted(places.keys() - known) if len(places[name]) > 1 or rng.random() < 0.2]
    if not names:
        return None
    old = rng.choice(names)
    new = new_name(old, code, rng)
    replaced = [Replacement(line, column, column + len(old), new) for line, column in places[old]]
    if old in parameters:
        replaced += _documented(code, function, old, new)
    touched = [one.line for one in replaced]
    if max(touched) - min(touched) >= MAX_SPAN:
        return None
    after = code.replace(replaced)
    if after is None:
        return None
    around = (*code.lines[: first_line(function)], *code.lines[last_line(function) :])
    ways: tuple[str, ...] = _PARAMETER if old in parameters else _VARIABLE
    if any(re.search(rf"\b{old}\b", line) for line in around):  # nobody could know which
        ways = _PARAMETER_OF if old in parameters else _VARIABLE_OF
    return Change(asked(ways, rng, old=old, new=new, function=function.name), code.lines, after, True)


def renaming_of_function(code: Code, rng: random.Random) -> Change | None:
    """A function is called something else, where it is defined and wherever it is named."""
    if not code.functions:
        return None
    function = rng.choice(code.functions)
    old = function.name
    if old.startswith("__") or not _is_named_alone(code, function):
        return None
    new = _new_function_name(old, rng)
    word = re.compile(rf"\b{re.escape(old)}\b")
    touched = [number for number, line in enumerate(code.lines) if word.search(line)]
    if new in code.words or max(touched) - min(touched) >= MAX_SPAN:
        return None
    after = tuple(word.sub(new, line) for line in code.lines)
    return Change(asked(_FUNCTION, rng, old=old, new=new), code.lines, after, True)


def new_name(old: str, code: Code, rng: random.Random) -> str:
    """A name for what is called `old` that stands nowhere in the file."""
    while True:
        draw, word = rng.random(), rng.choice(_WORDS)
        if draw < 0.15:
            new = f"new_{old}"
        elif draw < 0.3:
            new = f"{word}_{old.strip('_')}"
        elif draw < 0.4:
            new = f"{old}_{word}"
        elif draw < 0.5:
            new = f"{rng.choice(_WORDS)}_{word}"
        elif draw < 0.58 and len(old) > 1:
            new = old[0]
        else:
            new = word
        if new not in code.words and not keyword.iskeyword(new):
            return new


def _new_function_name(old: str, rng: random.Random) -> str:
    verb, _, rest = old.strip("_").partition("_")
    lead = old[: len(old) - len(old.lstrip("_"))]
    other = rng.choice(
        ("get", "make", "find", "load", "read", "build", "check", "update", "compute", "parse")
    )
    if rest and rng.random() < 0.5:
        return f"{lead}{other}_{rest}"
    if rng.random() < 0.3:
        return f"{lead}{verb}_{rng.choice(_WORDS)}"
    return f"{lead}{other}_{rng.choice(_WORDS)}"


def _local_names(function: Function) -> dict[str, list[tuple[int, int]]]:
    """Where each of a function's own names stands that can be changed: 0-based line and column."""
    if _names_in(function) & _READS_NAMES:
        return {}
    places: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    bound = {arg.arg for arg in _arguments(function)} - {"self", "cls"}
    for node in ast.walk(function):
        match node:
            case ast.Name():
                places[node.id].append((node.lineno - 1, node.col_offset))
                if isinstance(node.ctx, ast.Store):
                    bound.add(node.id)
            case ast.arg():
                places[node.arg].append((node.lineno - 1, node.col_offset))
            case _:
                pass
    return {name: found for name, found in places.items() if name in bound - _barred(function)}


def _barred(function: Function) -> set[str]:
    """Names that cannot be changed.

    These are bound in ways that say no column, or stand in an f-string, whose columns Python tells only since
    version 3.12; or they mean something else in another scope: outside, in the function's first lines, or
    inside, in the arguments of functions and the attributes of classes.
    """
    arguments = _arguments(function)
    hints = [*(one.annotation for one in arguments), function.returns]
    outside = (*function.decorator_list, *function.args.defaults, *function.args.kw_defaults, *hints)
    barred = {"_", *(arg.arg for arg in _inside(function, ast.arg) if arg not in arguments)}
    barred |= _names_in(*(one for one in outside if one is not None))
    barred |= _names_in(*_inside(function, ast.JoinedStr), *_inside(function, ast.ClassDef))
    for node in ast.walk(function):
        match node:
            case ast.Global() | ast.Nonlocal():
                barred.update(node.names)
            case ast.alias():
                barred.add((node.asname or node.name).split(".")[0])
            case ast.MatchMapping():
                barred.add(node.rest or "_")
            case (
                ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.ExceptHandler()
                | ast.MatchAs() | ast.MatchStar()
            ):  # fmt: skip
                barred.add(node.name or "_")
            case _:
                pass
    return barred


def _inside(node: ast.AST, kind: type[_Node]) -> list[_Node]:
    return [one for one in ast.walk(node) if isinstance(one, kind)]


def _names_in(*nodes: ast.AST) -> set[str]:
    return {name.id for node in nodes for name in _inside(node, ast.Name)}


def _is_known_elsewhere(code: Code, function: Function, parameter: str) -> bool:
    """Whether others may go by a parameter's name: who calls the function, its decorator, pytest."""
    plain = {ast.unparse(one) for one in function.decorator_list} <= _PLAIN_DECORATORS
    if not plain or function.name.startswith("test"):
        return True
    return any(
        isinstance(node, ast.Call)
        and any(one.arg == parameter for one in node.keywords)
        and (function.name.startswith("__") or function.name in _words(node.func, *node.args))
        for node in code.nodes
    )


def _words(*nodes: ast.expr) -> set[str]:
    """Names and attributes in expressions."""
    return _names_in(*nodes) | {one.attr for node in nodes for one in _inside(node, ast.Attribute)}


def _is_named_alone(code: Code, function: Function) -> bool:
    """Whether all that has a function's name in the file is the function.

    Another object's method may have it, a parameter or a text; a word of English may stand in a comment.
    """
    old, count = function.name, 1
    owner = next((one for one in code.nodes if isinstance(one, ast.ClassDef) and function in one.body), None)
    for node in code.nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Load()) if name == old:
                count += 1
            case ast.Attribute(attr=name, value=ast.Name(id=base)) if name == old and owner is not None:
                inside = owner.lineno <= node.lineno <= last_line(owner)
                if base != owner.name and not (inside and base in ("self", "cls")):
                    return False
                count += 1
            case (
                ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=name) | ast.arg(arg=name)
                | ast.alias(name=name) | ast.Constant(value=name)
            ) if name == old:  # fmt: skip
                return False
            case ast.alias(asname=name) if name == old:
                return False
            case _:
                pass
    return "_" in old.strip("_") or len(re.findall(rf"\b{old}\b", code.text)) == count


def _arguments(function: Function) -> list[ast.arg]:
    told = function.args
    stars = [one for one in (told.vararg, told.kwarg) if one]
    return [*told.posonlyargs, *told.args, *told.kwonlyargs, *stars]


def _documented(code: Code, function: Function, old: str, new: str) -> list[Replacement]:
    """Where a docstring tells of a parameter, as the usual styles do."""
    if ast.get_docstring(function, clean=False) is None:
        return []
    told = re.compile(rf"^\s*(?::param\s+(?:\w+\s+)?)?({re.escape(old)})\s*(?:\(.*\))?\s*:")
    first = function.body[0]
    found = []
    for line in range(first.lineno - 1, first.end_lineno or first.lineno):
        match = told.match(code.lines[line])
        if match:
            found.append(Replacement(line, match.start(1), match.end(1), new))
    return found
