"""Changes of values: what a name is set to."""

from __future__ import annotations

import ast
import random

from linewise_training.changes.code import Change, Code, Replacement, asked

_SET = (
    "set {name} to {value}",
    "set {name} to {value}",
    "change {name} to {value}",
    "make {name} {value}",
    "let {name} be {value}",
    "use {value} for {name}",
)
_STRINGS = (
    "default", "name", "value", "utf-8", "ascii", "first", "last", "left", "right", "red", "green", "blue",
    "main", "test", "data", "out", "tmp", "json", "text", "none", "all", "unknown", "hello", "start", "stop",
)  # fmt: skip


def constant(code: Code, rng: random.Random) -> Change | None:
    """A name is set to another number, string or truth value."""
    found = [
        (node.targets[0].id, node.value)
        for node in code.nodes
        if isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    ]
    # Asked for by its name, it must be the only one of that name.
    names = [name for name, _ in found]
    found = [(name, value) for name, value in found if names.count(name) == 1]
    if not found:
        return None
    name, node = rng.choice(found)
    changed = other_value(code, node, rng)
    after = None if changed is None else code.replace([changed])
    if changed is None or after is None:
        return None
    return Change(asked(_SET, rng, name=name, value=changed.text), code.lines, after)


def other_value(code: Code, node: ast.Constant, rng: random.Random) -> Replacement | None:
    """Another value of the same kind in the place of a constant; None for one that has no plain other one."""
    if node.end_lineno != node.lineno or node.end_col_offset is None:
        return None
    line, start, end = node.lineno - 1, node.col_offset, node.end_col_offset
    written = code.lines[line][start:end]
    new = _another(node.value, written, rng)
    return None if new is None or new == written else Replacement(line, start, end, new)


def _another(value: object, written: str, rng: random.Random) -> str | None:
    if isinstance(value, bool):
        return str(not value)
    if value is None:
        return rng.choice(("True", "False", "0", "1", '""', "10"))
    if isinstance(value, int):
        near = [value + 1, value - 1, value * 2, value * 10, rng.randrange(10), rng.randrange(10, 1000)]
        return str(rng.choice([one for one in near if one >= 0] or [1]))
    if isinstance(value, float):
        return str(rng.choice((0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, round(rng.uniform(0, 10), 1))))
    if isinstance(value, str) and written[:1] in "\"'" and not written.startswith(('"""', "'''")):
        return f"{written[0]}{rng.choice(_STRINGS)}{written[0]}"
    return None
