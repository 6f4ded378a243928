"""LeetCode's `class Solution` with one method is a function in disguise: take the disguise off."""

from __future__ import annotations

import ast
import re
import textwrap


def as_function(source: str) -> str | None:
    """The function that a class of one method without state stands for, in snake case.

    None where the class has more methods, decorators or bases, where the method uses `self`, or where more
    than the class is defined: such code is kept as it is.
    """
    try:
        (definition,) = ast.parse(source).body
        if not isinstance(definition, ast.ClassDef) or definition.bases or definition.decorator_list:
            return None
        (method,) = definition.body
    except (SyntaxError, ValueError):
        return None
    if not isinstance(method, ast.FunctionDef) or method.decorator_list or not method.args.args:
        return None
    receiver = method.args.args[0]
    uses = [node for node in ast.walk(method) if isinstance(node, ast.Name) and node.id == receiver.arg]
    if receiver.arg != "self" or uses or method.args.posonlyargs:
        return None
    lines = source.split("\n")[method.lineno - 1 : method.end_lineno]
    text = textwrap.dedent("\n".join(lines))
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", method.name).lower()
    return re.sub(rf"\bdef\s+{re.escape(method.name)}\(\s*self\s*,?\s*", f"def {name}(", text, count=1)
