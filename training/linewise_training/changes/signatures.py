"""Changes of functions' first lines: type hints, a parameter more, another default value."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Sequence

from linewise_training.changes.code import Change, Code, Definition, Function, Replacement, asked, some_of
from linewise_training.changes.values import other_value

_HINTS = (
    "add type hints to {function}",
    "add type hints to {function}",
    "annotate {function}",
    "add type annotations to {function}",
    "add types to the arguments of {function}",
)
_ALL_HINTS = (
    "add type hints",
    "add type hints to the functions",
    "annotate the functions",
    "add type annotations",
    "add the missing type hints",
)
_NO_HINTS = (
    "remove the type hints from {function}",
    "remove the type annotations of {function}",
    "drop the types from {function}",
)
_PARAMETER = (
    "add a parameter {name} to {function}",
    "add an argument {name} to {function}",
    "add the parameter {name} to {function}",
    "let {function} take {name}",
    "give {function} a parameter {name}",
)
_WITH_DEFAULT = (
    "add a parameter {name} to {function}, {value} by default",
    "add an argument {name}={value} to {function}",
    "add an optional argument {name} to {function} with default {value}",
    "give {function} a parameter {name} that is {value} by default",
    "add a parameter {name} with default {value} to {function}",
)
_DEFAULT_OF = (
    "change the default of {name} in {function} to {value}",
    "in {function}, make {name} default to {value}",
    "set the default value of {name} of {function} to {value}",
)
_DEFAULT = (
    "make {name} default to {value}",
    "change the default of {name} to {value}",
    "change the default of {name} in {function} to {value}",
    "set the default value of {name} to {value}",
    "{name} should be {value} by default",
)
_PARAMETERS = (
    ("verbose", "bool", "False"), ("timeout", "float", "10.0"), ("encoding", "str", '"utf-8"'),
    ("limit", "int", "100"), ("strict", "bool", "True"), ("default", "str", '""'), ("indent", "int", "4"),
    ("debug", "bool", "False"), ("retries", "int", "3"), ("separator", "str", '","'), ("prefix", "str", '""'),
    ("suffix", "str", '""'), ("reverse", "bool", "False"), ("start", "int", "0"), ("step", "int", "1"),
    ("name", "str", '""'), ("count", "int", "1"), ("force", "bool", "False"), ("dry_run", "bool", "False"),
    ("seed", "int", "0"), ("size", "int", "10"), ("title", "str", '""'), ("precision", "int", "2"),
    ("recursive", "bool", "False"), ("path", "str", '"."'), ("mode", "str", '"r"'), ("level", "int", "1"),
    ("quiet", "bool", "False"), ("width", "int", "80"), ("delay", "float", "0.5"), ("index", "int", "0"),
)  # fmt: skip


def type_hints(code: Code, rng: random.Random) -> Change | None:
    """Type hints are put in one function or in all of a few, or taken away."""
    hinted: dict[Definition, Sequence[Replacement]] = {one: _hints(code, one) for one in code.functions}
    hinted = {one: cuts for one, cuts in hinted.items() if cuts}
    if not hinted:
        return None
    chosen = some_of(list(hinted), 0.35, rng)
    bare = code.replace(cut for one in chosen for cut in hinted[one])
    if bare is None:
        return None
    if len(chosen) > 1:
        return Change(asked(_ALL_HINTS, rng), bare, code.lines)
    name = chosen[0].name
    if rng.random() < 0.15:
        return Change(asked(_NO_HINTS, rng, function=name), code.lines, bare)
    return Change(asked(_HINTS, rng, function=name), bare, code.lines)


def parameter(code: Code, rng: random.Random) -> Change | None:
    """A function takes one parameter more, its last."""
    simple = [one for one in code.functions if _takes_another(one)]
    if not simple:
        return None
    function, (name, kind, value) = rng.choice(simple), rng.choice(_PARAMETERS)
    told = function.args
    names = [one.arg for one in (*told.posonlyargs, *told.args)]
    if name in names or name in {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}:
        return None
    place = _end_of_arguments(code, function)
    if place is None:
        return None
    has_hints = any(one.annotation for one in told.args)
    is_called = len(re.findall(rf"\b{function.name}\b", code.text)) > 1  # without the new argument
    has_default = bool(told.defaults) or is_called or rng.random() < 0.7
    text = f"{name}: {kind}" if has_hints else name
    if has_default:
        text += f" = {value}" if has_hints else f"={value}"
    line, column = place
    after = code.replace([Replacement(line, column, column, f", {text}" if names else text)])
    if after is None:
        return None
    if has_default and rng.random() < 0.8:
        way = asked(_WITH_DEFAULT, rng, name=name, function=function.name, value=value)
    else:
        way = asked(_PARAMETER, rng, name=name, function=function.name)
        if has_default:
            return None  # nobody could know the value
    return Change(way, code.lines, after)


def default_value(code: Code, rng: random.Random) -> Change | None:
    """A parameter's default value becomes another one."""
    found: list[tuple[Function, str, ast.Constant]] = []
    for function in code.functions:
        told = function.args
        last = [*told.posonlyargs, *told.args][-len(told.defaults) :] if told.defaults else []
        pairs = [*zip(last, told.defaults, strict=True), *zip(told.kwonlyargs, told.kw_defaults, strict=True)]
        found += [(function, one.arg, value) for one, value in pairs if isinstance(value, ast.Constant)]
    if not found:
        return None
    function, name, node = rng.choice(found)
    changed = other_value(code, node, rng)
    if changed is None:
        return None
    after = code.replace([changed])
    if after is None:
        return None
    is_only = [other for _, other, _ in found].count(name) == 1
    way = asked(
        _DEFAULT if is_only else _DEFAULT_OF, rng, name=name, function=function.name, value=changed.text
    )
    return Change(way, code.lines, after)


def _hints(code: Code, function: Function) -> Sequence[Replacement]:
    """What is to be cut for a function's first lines to have no type hints; none where that is not plain."""
    told = function.args
    stars = [one for one in (told.vararg, told.kwarg) if one]
    cuts = []
    for one in (*told.posonlyargs, *told.args, *told.kwonlyargs, *stars):
        if one.annotation is None:
            continue
        line, start = one.lineno - 1, one.col_offset + len(one.arg)
        end = one.annotation.end_col_offset
        if one.annotation.end_lineno != one.lineno or end is None:
            return ()
        if code.lines[line][start : one.annotation.col_offset].strip() != ":":
            return ()  # in parentheses
        if code.lines[line][end : end + 3] == " = ":
            cuts.append(Replacement(line, start, end + 3, "="))
        else:
            cuts.append(Replacement(line, start, end, ""))
    if function.returns is not None:
        line, end = function.returns.lineno - 1, function.returns.end_col_offset
        arrow = re.search(r"\s*->\s*$", code.lines[line][: function.returns.col_offset])
        if arrow is None or end is None or function.returns.end_lineno != line + 1:
            return ()
        cuts.append(Replacement(line, arrow.start(), end, ""))
    return cuts


def _takes_another(function: Function) -> bool:
    told = function.args
    return not (told.vararg or told.kwarg or told.kwonlyargs or function.name.startswith("__"))


def _end_of_arguments(code: Code, function: Function) -> tuple[int, int] | None:
    """Line and column after a function's last argument, where all stands on its first line."""
    line = function.lineno - 1
    told = function.args
    nodes: list[ast.expr | ast.arg] = [*told.posonlyargs, *told.args, *told.defaults]
    if not nodes:
        empty = code.lines[line].find("()")
        return None if empty < 0 else (line, empty + 1)
    ends = [(one.end_lineno or 0, one.end_col_offset or 0) for one in nodes]
    end = max(ends)
    if end[0] != function.lineno or code.lines[line][end[1] : end[1] + 1] != ")":
        return None
    if code.lines[line].count("(", 0, end[1]) != code.lines[line].count(")", 0, end[1]) + 1:
        return None  # the argument's own
    return line, end[1]
